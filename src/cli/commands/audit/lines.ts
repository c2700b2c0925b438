/** One occurrence as a line for people. */

import { clientText } from '../../../audit/read/client-text.js';
import type { Entry } from '../../../audit/read/join-replies.js';
import { type MomentParts, momentParts, type Zone } from '../../../audit/read/moment.js';
import { printable } from '../../../shared/printable.js';
import type { Colour, Style } from '../../screen/colour.js';
import { cell, columnsOf, cut } from '../../screen/columns.js';
import { showTime } from '../../screen/quantities.js';
import { inShort, type Outcome, outcomeOf, whatOf } from './outcome.js';

export interface LineStyle {
  readonly colour: Colour;
  /** Longer lines are cut; 0 for never. */
  readonly width: number;
  /** The most characters that are shown of arguments and answer, each; 0 for all. */
  readonly most: number;
  readonly zone: Zone;
  /** Times with microseconds. */
  readonly isPrecise: boolean;
  /** Whether lines say which log they are from. */
  readonly hasLogs: boolean;
}

/** Below this width the day has a separate line. */
const WIDE = 110;
/** The least width left for arguments and answer: this many columns, or this part of the line. */
const LEAST_DETAIL = 22;
const DETAIL_SHARE = 0.3;
/** No column is cut below this, nor, where lines have no width, above that. */
const NARROWEST = 8;
const WIDEST = 64;

/** The columns of a line, but for the time and the last one. */
interface Cells {
  readonly log: string;
  readonly who: string;
  /** The same, for a column in which that has no room. */
  readonly shortWho: string;
  readonly what: string;
  readonly word: string;
  readonly took: string;
}

type Widths = Record<Exclude<keyof Cells, 'shortWho'>, number>;

/**
 * Lays lines out in columns as wide as their contents. Later lines may need more: the column grows, and earlier lines keep the narrower
 * one.
 */
export class LineLayout {
  readonly #style: LineStyle;
  readonly #widest: Widths = { log: 0, who: 0, what: 0, word: 0, took: 0 };
  #day = '';

  constructor(style: LineStyle) {
    this.#style = style;
  }

  /** Makes columns wide enough for these entries. */
  prepare(entries: readonly Entry[]): void {
    for (const entry of entries) this.#grow(this.#cells(entry, outcomeOf(entry, 1)));
  }

  /**
   * @returns the lines of an occurrence, without their ends: one, and before it, where lines are short, a day that begins. Nothing in
   * them can move a terminal's cursor, whatever a client has sent
   */
  format(entry: Entry): string[] {
    const { colour, width, most, zone, isPrecise } = this.#style;
    const outcome = outcomeOf(entry, most === 0 ? Number.POSITIVE_INFINITY : most);
    const cells = this.#cells(entry, outcome);
    this.#grow(cells);
    const paint = (text: string, style: Style) => (text === '' ? '' : colour(style, text));
    const parts = momentParts(entry.record.time, zone, isPrecise);
    const time = this.#time(parts, entry.record.time);
    const widths = this.#widths(time.length);
    const whatStyle: Style = entry.record.kind === 'command' || entry.record.kind === 'denied' ? 'bold' : 'dim';
    const columns: [text: string, style: Style][] = [
      [time, 'dim'],
      [cell(cells.log, widths.log), 'dim'],
      [cell(columnsOf(cells.who) > widths.who ? cells.shortWho : cells.who, widths.who), 'cyan'],
      [cell(cells.what, widths.what), whatStyle],
      [cell(cells.word, widths.word), outcome.style],
      [cells.took.padStart(widths.took), 'dim'],
    ];
    const shown = columns.filter(([text]) => text !== '');
    const before = shown.reduce((sum, [text]) => sum + columnsOf(text) + GAP.length, 0);
    const detail =
      width === 0 ? printable(outcome.detail) : cut(printable(outcome.detail), Math.max(0, width - before));
    const line = [...shown, [detail, 'dim'] as const].map(([text, style]) => paint(text, style)).join(GAP);
    const lines = [line.trimEnd()];
    const day = parts === null ? '' : `${parts.day}, UTC${parts.offset === 'Z' ? '' : parts.offset}`;
    if (this.#hasDays && day !== '' && day !== this.#day) {
      this.#day = day;
      lines.unshift(paint(day, 'dim'));
    }
    return lines;
  }

  get #hasDays(): boolean {
    return this.#style.width > 0 && this.#style.width < WIDE;
  }

  #time(parts: MomentParts | null, written: string): string {
    if (parts === null) return cut(printable(written), 24);
    return this.#hasDays ? parts.clock : `${parts.day} ${parts.clock}${parts.offset}`;
  }

  #cells(entry: Entry, outcome: Outcome): Cells {
    const { record } = entry;
    return {
      log: this.#style.hasLogs ? printable(inShort(entry.log)) : '',
      who: printable(inShort(clientText(entry))),
      shortWho: printable(inShort(clientText(entry, true))),
      what: printable(inShort(whatOf(record))),
      word: printable(inShort(outcome.word)),
      took: outcome.took === null ? '' : showTime(outcome.took / 1e6),
    };
  }

  #grow(cells: Cells): void {
    for (const name of ['log', 'who', 'what', 'word', 'took'] as const) {
      this.#widest[name] = Math.min(WIDEST, Math.max(this.#widest[name], columnsOf(cells[name])));
    }
  }

  /** @returns the widths of the columns: as names need, unless that leaves too little for arguments. */
  #widths(time: number): Widths {
    const { width } = this.#style;
    const widths = { ...this.#widest };
    if (width === 0) return widths;
    const fixed = time + widths.word + widths.took;
    const gaps = GAP.length * (widths.log === 0 ? 5 : 6);
    let excess =
      fixed +
      gaps +
      widths.log +
      widths.who +
      widths.what +
      Math.max(LEAST_DETAIL, Math.floor(width * DETAIL_SHARE)) -
      width;
    // The widest gives way first.
    while (excess > 0) {
      const name = (['who', 'what', 'log'] as const).reduce((a, b) => (widths[b] > widths[a] ? b : a));
      if (widths[name] <= NARROWEST) break;
      widths[name]--;
      excess--;
    }
    return widths;
  }
}

const GAP = '  ';
