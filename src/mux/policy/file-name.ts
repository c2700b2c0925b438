/**
 * How a deny rule reads a text that may be the name of a file: the ways in which QEMU, or Linux below it, could come to the same file.
 *
 * - `//` and `/./` are `/`, and a `/` at the end does nothing.
 * - A protocol can come first (`file:`, `fat:rw:`, `blkdebug:CONFIG:`), and options last (`,offset=`, `?socket=`): each piece between such
 *   signs that begins with `/` is looked at. So is a `/` that a URL writes as `%2f`.
 * - A name that does not begin with `/` depends on QEMU's working directory, `..` on existing links, and names in `/proc` or `/dev/fd`
 *   on open files: such a name can lead anywhere.
 *
 * This is no fence: names alone do not show links and mounts.
 */

/** Linux opens no longer name (PATH_MAX), and a name has only short text around it. A longer text may lead anywhere. */
const LONGEST = 8192;
/** More pieces than these make a text that may lead anywhere. */
const MOST_PIECES = 16;

export interface FileName {
  /** Ways to write it, itself included. */
  readonly readings: readonly string[];
  /** Whether it may lead anywhere. */
  readonly isAnywhere: boolean;
}

const MAGIC = ['/proc/', '/dev/fd', '/dev/stdin', '/dev/stdout', '/dev/stderr'];

/** Reads a text as a name. The work is linear in its length. */
export function readFileName(text: string): FileName {
  if (text.length > LONGEST) return { readings: [text], isAnywhere: true };
  const plain = readPlain(text);
  const decoded = text.includes('%') ? decodePercent(text) : text;
  if (decoded === text) return plain;
  const other = readPlain(decoded);
  return { readings: [...plain.readings, ...other.readings], isAnywhere: plain.isAnywhere || other.isAnywhere };
}

/** @returns a URL as it is read: `%41` is `A` */
function decodePercent(text: string): string {
  return text.replace(/%[0-9A-Fa-f]{2}/g, (code) => String.fromCharCode(Number.parseInt(code.slice(1), 16)));
}

function readPlain(text: string): FileName {
  if (isSimple(text)) return { readings: [text], isAnywhere: !text.startsWith('/') || isMagic(text) };
  const readings = new Set([text]);
  let isAbsolute = false;
  let isAnywhere = hasUpward(text);
  let pieces = 0;
  let start = 0;
  for (let at = 0; at <= text.length; at++) {
    if (at < text.length && !SIGNS.includes(text[at] ?? '')) continue;
    const piece = text.slice(start, at);
    if (++pieces > MOST_PIECES) return { readings: [text], isAnywhere: true };
    if (piece.startsWith('/')) {
      const short = withoutEmptyParts(piece);
      readings
        .add(withoutEmptyParts(text.slice(start)))
        .add(short)
        .add(piece);
      if (isMagic(short)) isAnywhere = true;
      // After a protocol a name is absolute; after a name it is a part of that name.
      if (!text.slice(0, start).includes('/')) isAbsolute = true;
    }
    start = at + 1;
  }
  return { readings: [...readings], isAnywhere: isAnywhere || !isAbsolute };
}

/** Whether a text is one name, written as names are: most are. */
function isSimple(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    if (SIGNS.includes(char) || (char === '.' && text[at + 1] === '.')) return false;
    if (char === '/' && (at + 1 === text.length || text[at + 1] === '/' || text[at + 1] === '.')) return false;
  }
  return true;
}

function isMagic(name: string): boolean {
  return MAGIC.some((place) => name.startsWith(place) || `${name}/` === place);
}

/** The separators between names and the text around them. */
const SIGNS = ':,=?&';

/** @returns whether a part of a name is `..`, even after a protocol */
export function hasUpward(text: string): boolean {
  for (let at = text.indexOf('..'); at >= 0; at = text.indexOf('..', at + 1)) {
    const before = text[at - 1] ?? '/';
    const after = text[at + 2] ?? '/';
    if ((before === '/' || SIGNS.includes(before)) && (after === '/' || SIGNS.includes(after))) return true;
  }
  return false;
}

/** Also for a rule's own text, in which `*` is a character like any other. @returns `path` without the parts that do nothing */
export function withoutEmptyParts(path: string): string {
  if (!path.startsWith('/')) return path;
  return `/${path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')}`;
}
