/**
 * Text of others, made safe for a terminal: the one function for all that qmpmux shows there. Names, errors and answers come from
 * clients, guests, images and files, and a terminal acts on some characters in them: it moves its cursor, hides a line, changes the
 * order of the text, or shows nothing where something is.
 *
 * Such a character is spelled as JSON spells it (`\u001b`; two of them beyond U+FFFF), so JSON that is shown is the same JSON.
 * Text for a pipe or a file must not be changed at all; the caller decides that.
 *
 * Bounded: one pass, and at most six times the input's length.
 */

/**
 * Controls (C0, DEL, C1), format characters (zero width, directions, the byte order mark, tags), private use, lone surrogates, separators
 * of lines and paragraphs: the categories Cc, Cf, Co, Cs, Zl, Zp of Unicode. Code points reserved for more of them are included:
 * U+2065, and the block of the tags with its selectors, which nothing shows.
 */
const ACTED_ON = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\u2065\u{e0000}-\u{e0fff}]/gu;
/** The same but for line feeds and tabs. */
const ACTED_ON_IN_LINES = /(?![\n\t])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\u2065\u{e0000}-\u{e0fff}]/gu;

/** @returns `text` for one line of a terminal: line feeds and tabs are spelled too. */
export function printable(text: string): string {
  return text.replace(ACTED_ON, spelled);
}

/** @returns `text` for a terminal, with its line feeds and tabs, such as an answer of the human monitor. */
export function printableLines(text: string): string {
  return text.replace(ACTED_ON_IN_LINES, spelled);
}

function spelled(character: string): string {
  let text = '';
  for (let at = 0; at < character.length; at++) {
    text += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }
  return text;
}
