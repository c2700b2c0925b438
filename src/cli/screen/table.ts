/** Tables on a terminal, or for a pipe: columns two blanks apart, no lines; by cli-table3. */
import CliTable from 'cli-table3';
import stringWidth from 'string-width';
import { type Colour, colourOf } from './colour.js';

export interface Column {
  readonly head: string;
  /** Numbers stand to the right. */
  readonly isNumber?: boolean;
  /** What may be cut where a line is too long for the terminal; of several, the last is cut first. */
  readonly mayShrink?: boolean;
}

export interface TableOptions {
  /** How long a line may be; any length when null. */
  readonly width: number | null;
  readonly colour: Colour;
}

const GAP = 2;
/** No column is cut below this. */
const NARROWEST = 8;

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: ' '.repeat(GAP),
};

/** @returns the table's lines, the first with the heads. Cells may be coloured; nothing in them may steer the terminal: see `printable`. */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { width, colour }: TableOptions,
): string[] {
  const table = new CliTable({
    chars: NO_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: columns.map(({ isNumber }) => (isNumber === true ? 'right' : 'left')),
    colWidths: widthsOf(columns, rows, width),
  });
  table.push(
    columns.map(({ head }) => (head === '' ? '' : colour('bold', head))),
    ...rows.map((row) => [...row]),
  );
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
}

function widthsOf(columns: readonly Column[], rows: readonly (readonly string[])[], width: number | null): number[] {
  const widths = columns.map(({ head }, at) =>
    Math.max(1, ...[head, ...rows.map((row) => row[at] ?? '')].map((cell) => stringWidth(cell))),
  );
  if (width === null) return widths;
  let excess = widths.reduce((sum, each) => sum + each, GAP * (widths.length - 1)) - width;
  for (let at = columns.length - 1; at >= 0 && excess > 0; at--) {
    if (columns[at]?.mayShrink !== true) continue;
    const present = widths[at] ?? 0;
    const shrunk = Math.max(Math.min(present, NARROWEST), present - excess);
    widths[at] = shrunk;
    excess -= present - shrunk;
  }
  return widths;
}

/** For tables on standard output. */
export function outputOptions(): TableOptions {
  return { width: process.stdout.isTTY ? process.stdout.columns : null, colour: colourOf(process.stdout) };
}
