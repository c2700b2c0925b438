/** Text in columns of a terminal: how wide it is, and how it is cut. */
import stringWidth from 'string-width';

/** Characters that take a column each. */
const PLAIN = /^[\x20-\x7e…→µ]*$/;

/** @returns a text cut to, or filled up to, `width` columns */
export function cell(text: string, width: number): string {
  const shown = cut(text, width);
  return shown + ' '.repeat(Math.max(0, width - columnsOf(shown)));
}

/** @returns how many columns of a terminal a text takes. */
export function columnsOf(text: string): number {
  return PLAIN.test(text) ? text.length : stringWidth(text);
}

/** @returns as much of a text as a terminal shows in `width` columns. */
export function cut(text: string, width: number): string {
  if (width <= 0) return '';
  if (PLAIN.test(text)) return text.length > width ? `${text.slice(0, width - 1)}…` : text;
  const room = text.slice(0, 2 * width + 1);
  if (room.length === text.length && stringWidth(text) <= width) return text;
  let shown = '';
  let taken = 0;
  for (const { segment } of new Intl.Segmenter().segment(room)) {
    taken += stringWidth(segment);
    if (taken > width - 1) break;
    shown += segment;
  }
  return `${shown}…`;
}
