/** Colours on a terminal, and nowhere else; none where NO_COLOR is set (no-color.org) or the terminal has none. */
import type { WriteStream } from 'node:tty';
import { styleText } from 'node:util';
import type { Paint, TokenKind } from './json-layout.js';

export type Style = Parameters<typeof styleText>[0];
/** Puts a style on a text, or leaves it as it is. */
export type Colour = (style: Style, text: string) => string;

function hasColour(stream: WriteStream): boolean {
  // NO_COLOR counts if it is not empty (no-color.org); Node would take an empty one for set. hasColors looks for the other signs.
  const { NO_COLOR = '', ...others } = process.env;
  return stream.isTTY && NO_COLOR === '' && stream.hasColors(16, others);
}

export function colourOf(stream: WriteStream): Colour {
  return hasColour(stream) ? painted : plain;
}

/** Always with its style. */
export function painted(style: Style, text: string): string {
  // Without that, Node looks for itself whether standard output has colours, whatever the text is for.
  return styleText(style, text, { validateStream: false });
}

/** Without any. */
export function plain(_style: Style, text: string): string {
  return text;
}

const TOKENS: Readonly<Record<TokenKind, Style>> = {
  name: 'blue',
  string: 'green',
  number: 'cyan',
  keyword: 'magenta',
};

/** For `layOut`. */
export function paintWith(colour: Colour): Paint {
  return (kind, text) => colour(TOKENS[kind], text);
}
