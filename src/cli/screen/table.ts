/** Tables on a terminal, or for a pipe: columns two blanks apart, no lines. */
import stringWidth from 'string-width';
import { type Colour, colourOf } from './colour.js';
import { cut } from './columns.js';

export interface Column {
  readonly head: string;
  /** Numbers are aligned to the right. */
  readonly isNumber?: boolean;
  /** Whether it may be cut where a line is too long for the terminal; of several, the last is cut first. */
  readonly mayShrink?: boolean;
}

export interface TableOptions {
  /** How long a line may be; any length when null. */
  readonly width: number | null;
  readonly colour: Colour;
}

const GAP = '  ';
/** No column is cut below this. */
const NARROWEST = 8;

/** @returns the table's lines, the first with the heads. Cells may be coloured where their column may not shrink; nothing in them may steer the terminal: see `printable`. */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { width, colour }: TableOptions,
): string[] {
  const widths = widthsOf(columns, rows, width);
  const line = (cells: readonly string[], paint: (text: string) => string): string => {
    const padded = columns.map(({ isNumber }, at) => {
      const room = widths[at] ?? 0;
      const text = cutTo(cells[at] ?? '', room);
      const blank = ' '.repeat(room - stringWidth(text));
      return isNumber === true ? blank + paint(text) : paint(text) + blank;
    });
    return padded.join(GAP).trimEnd();
  };
  const heads = columns.map(({ head }) => head);
  return [
    line(heads, (head) => (head === '' ? '' : colour('bold', head))),
    ...rows.map((row) => line(row, (text) => text)),
  ];
}

/** @returns the part of a text without colours that fits into `columns` of a terminal; coloured text that fits stays as it is */
export function cutTo(text: string, columns: number): string {
  return stringWidth(text) <= columns ? text : cut(text, columns);
}

function widthsOf(columns: readonly Column[], rows: readonly (readonly string[])[], width: number | null): number[] {
  const widths = columns.map(({ head }, at) =>
    Math.max(1, ...[head, ...rows.map((row) => row[at] ?? '')].map((cell) => stringWidth(cell))),
  );
  if (width === null) return widths;
  let excess = widths.reduce((sum, each) => sum + each, GAP.length * (widths.length - 1)) - width;
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
