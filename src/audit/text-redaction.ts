/** Secrets inside of one string: a URL's password, a key in an rbd: name, the members of a json: file name. */
import type { Mark } from './secret-mark.js';

/** A piece of a text that is to be taken out. */
export interface Cut {
  readonly start: number;
  readonly end: number;
  /** What it is, for the list of what was removed. */
  readonly what: readonly string[];
  /** The secrets themselves, decoded, so that their echo can be found in the answer. The mark is made of the first. */
  readonly values: readonly string[];
  /** What to put there, or null for the mark of the first of `values`. */
  readonly replacement: string | null;
}

/** What the readers of texts share: how to look into a JSON text, and what to put in place of a secret. */
export interface SecretReader {
  readonly mark: Mark;
  /**
   * @param text a JSON value in QEMU's dialect, and nothing else
   * @returns null when it holds no secret. A text that cannot be read is withheld where it may hold one
   */
  nested(text: string): NestedSecrets | null;
}

export interface NestedSecrets {
  /** The text without its secrets. */
  readonly text: string;
  readonly paths: readonly string[];
  readonly values: readonly string[];
}

/** `scheme://user:password@`; iSCSI names of QEMU's write `user%password@`. The last `@` before the path ends it. */
const URL_PASSWORD = /\b([a-z][a-z0-9+.-]*):\/\/([^/?#\s"':@%]*)([:%])([^/?#\s"']*)@/gi;
/** Signed and token-bearing URLs. */
const URL_TOKEN = /[?&;]([\w.-]*(?:passw(?:or)?d|secret|token|signature|credential|api-?key)[\w.-]*)=([^&;#\s"']+)/gi;
/** QEMU's rbd:pool/image:option=value:…, a backslash escapes. */
const RBD_KEY = /:(key)=((?:\\.|[^:\\])*)/g;

/** @returns the secrets in a string value, in order; none in nearly every string. */
export function secretsInText(text: string, reader: SecretReader): Cut[] {
  if (text.startsWith('json:')) {
    const inner = reader.nested(text.slice(5));
    if (inner === null) return [];
    return [{ start: 5, end: text.length, what: inner.paths, values: inner.values, replacement: inner.text }];
  }
  const cuts: Cut[] = [];
  if (text.includes('rbd:')) collect(text, RBD_KEY, 1, 2, cuts);
  if (text.includes('://')) {
    for (const match of text.matchAll(URL_PASSWORD)) {
      const [whole, scheme = '', , separator = '', value = ''] = match;
      // Elsewhere a percent sign begins an escape within the user's name.
      const isPassword = separator === ':' || /^(?:iscsi|iser)$/i.test(scheme);
      const colon = value.indexOf(':');
      const secret = isPassword ? value : colon < 0 ? '' : value.slice(colon + 1);
      if (secret === '') continue;
      const end = match.index + whole.length - 1;
      cuts.push({ start: end - secret.length, end, what: ['password'], values: [secret], replacement: null });
    }
    collect(text, URL_TOKEN, 1, 2, cuts);
  }
  return cuts.sort((a, b) => a.start - b.start);
}

function collect(text: string, pattern: RegExp, nameGroup: number, valueGroup: number, cuts: Cut[]): void {
  for (const match of text.matchAll(pattern)) {
    const value = match[valueGroup] ?? '';
    if (value === '') continue;
    const end = match.index + match[0].length;
    cuts.push({ start: end - value.length, end, what: [match[nameGroup] ?? ''], values: [value], replacement: null });
  }
}

/** @returns `text` with the pieces replaced; pieces that overlap an earlier one are part of it. */
export function cutOut(text: string, cuts: readonly Cut[], mark: Mark): string {
  let result = '';
  let from = 0;
  for (const cut of cuts.toSorted((a, b) => a.start - b.start)) {
    if (cut.start < from) continue;
    result += text.slice(from, cut.start) + (cut.replacement ?? mark(cut.values[0] ?? ''));
    from = cut.end;
  }
  return result + text.slice(from);
}
