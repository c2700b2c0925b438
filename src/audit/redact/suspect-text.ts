/** Whether bytes that cannot be read as QMP may hold a secret: then none of them is kept. */
import { classOfCommand, harmlessMembers, SUSPECT_WORDS } from './redaction-table.js';
import { classOfName, isSecretName, isSecretParameter, NameClass } from './secret-names.js';

/** Longer input is not judged: it may hold one. */
export const MOST_JUDGED = 64 * 1024;
/** Words of fewer letters, misspelt, are found in any garbage. */
const SHORTEST_WORD = 5;
const LONGEST_WORD = 32;
/** But where a word is a name: these come after it. */
const SHORTEST_NAME = 2;
const NAME_END = '"\':=';

/** Behind such a name a client gives a secret, or the data of an object that is one. */
const GIVEN = NameClass.Parameter | NameClass.Data;
/** An URL, its slashes forgotten or not. */
const WEB = /\b(?:https?|ftps?)[:/]/;

const BACKSLASH = 0x5c;
const LETTER_U = 0x75;

/** @param more further words, in lower case, of which none may occur */
export function maySecretsBeIn(bytes: Uint8Array, more: readonly string[]): boolean {
  if (bytes.length > MOST_JUDGED) return true;
  const text = unescaped(bytes);
  if ([...SUSPECT_WORDS, ...more].some((word) => text.includes(word))) return true;
  if (text.includes('@') && WEB.test(text)) return true;
  // Words, and words joined by hyphens and underscores: `set-pasword` is near to a command, `vnc_pasword` holds a word.
  let start = 0;
  let joined = 0;
  for (let at = 0; at <= text.length; at++) {
    const code = at < text.length ? text.charCodeAt(at) : 0;
    if ((code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39)) continue;
    const isJoint = code === 0x2d || code === 0x5f;
    if (isSuspectWord(text, start, at) || (!isJoint && joined !== start && isSuspectWord(text, joined, at)))
      return true;
    start = at + 1;
    if (!isJoint) joined = start;
  }
  return false;
}

function isSuspectWord(text: string, start: number, end: number): boolean {
  if (end - start > LONGEST_WORD) return false;
  const isNamed = NAME_END.includes(text[end] ?? ' ');
  if (end - start < (isNamed ? SHORTEST_NAME : SHORTEST_WORD)) return false;
  const word = text.slice(start, end);
  if (isSecretName(word) || harmlessMembers(word) !== null) return true;
  if (isNamed && (isSecretParameter(word) || (classOfName(word) & GIVEN) !== 0)) return true;
  const command = classOfCommand(word);
  return command.harmless !== null || command.makesObjects || command.setsProperty || command.readsProperty;
}

/** @returns `bytes` as Latin-1 text in lower case, with \u escapes of JSON decoded; a character beyond Latin-1 is a blank. */
function unescaped(bytes: Uint8Array): string {
  const plain = Buffer.alloc(bytes.length);
  let length = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === BACKSLASH && bytes[at + 1] === LETTER_U) {
      const digits = Buffer.from(bytes.subarray(at + 2, at + 6)).toString('latin1');
      if (/^[0-9a-f]{4}$/i.test(digits)) {
        const code = Number.parseInt(digits, 16);
        plain[length++] = code < 0x100 ? code : 0x20;
        at += 5;
        continue;
      }
    }
    // Any other escape is the character after it, or a blank.
    if (byte !== BACKSLASH) plain[length++] = byte;
  }
  return plain.subarray(0, length).toString('latin1').toLowerCase();
}
