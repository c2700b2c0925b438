/**
 * JSON laid out for people: indented, one member a line. Every token stays as it was written, so integers of any size, escapes
 * and the spelling of numbers survive; only the blanks between tokens change.
 */

export type TokenKind = 'name' | 'string' | 'number' | 'keyword';
/** Puts colour on a token. */
export type Paint = (kind: TokenKind, text: string) => string;

const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const INDENT = '  ';

/** @param json JSON text; other text comes back changed, but never throws */
export function layOut(json: string, paint: Paint = (_kind, text) => text): string {
  const tokens = json.match(token) ?? [];
  let out = '';
  let depth = 0;
  for (const [index, text] of tokens.entries()) {
    const next = tokens[index + 1];
    switch (text) {
      case '{':
      case '[':
        if (next === '}' || next === ']') out += text;
        else out += text + lineBreak(++depth);
        break;
      case '}':
      case ']': {
        const before = tokens[index - 1];
        out += before === '{' || before === '[' ? text : lineBreak(--depth) + text;
        break;
      }
      case ',':
        out += text + lineBreak(depth);
        break;
      case ':':
        out += ': ';
        break;
      default:
        out += paint(kindOf(text, next), text);
    }
  }
  return out;
}

function kindOf(text: string, next: string | undefined): TokenKind {
  if (text.startsWith('"')) return next === ':' ? 'name' : 'string';
  return /^[-\d]/.test(text) ? 'number' : 'keyword';
}

function lineBreak(depth: number): string {
  return `\n${INDENT.repeat(Math.max(0, depth))}`;
}
