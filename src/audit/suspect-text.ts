/** Whether bytes that cannot be read as QMP may hold a secret: then none of them is kept. */
import { SUSPECT_WORDS } from './redaction-table.js';
import { isSecretName } from './secret-names.js';

/** Longer input is not judged: it may hold one. */
export const MOST_JUDGED = 64 * 1024;
/** Words of fewer letters, misspelt, are found in any garbage. */
const SHORTEST_WORD = 5;
const LONGEST_WORD = 32;

const BACKSLASH = 0x5c;
const LETTER_U = 0x75;

/** @param more further words, in lower case, of which none may occur */
export function maySecretsBeIn(bytes: Uint8Array, more: readonly string[]): boolean {
  if (bytes.length > MOST_JUDGED) return true;
  const text = unescaped(bytes);
  if ([...SUSPECT_WORDS, ...more].some((word) => text.includes(word))) return true;
  let start = 0;
  for (let at = 0; at <= text.length; at++) {
    const code = at < text.length ? text.charCodeAt(at) : 0;
    if ((code >= 0x61 && code <= 0x7a) || code === 0x2d || code === 0x5f) continue;
    const length = at - start;
    if (length >= SHORTEST_WORD && length <= LONGEST_WORD && isSecretName(text.slice(start, at))) return true;
    start = at + 1;
  }
  return false;
}

/** @returns `bytes` as Latin-1 text in lower case, in which \u escapes of JSON are what they stand for; a character beyond Latin-1 is a blank. */
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
    plain[length++] = byte;
  }
  return plain.subarray(0, length).toString('latin1').toLowerCase();
}
