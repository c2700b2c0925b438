/**
 * Secrets inside one string: the password and the tokens of an URL, a key in an rbd: name, the members of a json: file name.
 *
 * What must hold: the work is linear in the text's length; and a removal never hides what QEMU executes or opens. A command line
 * (`exec:`) is not searched, a URL's password ends with its `@` and is short, and of a name that holds a secret only the secret is removed.
 */
import { isPlainName } from './opened-places.js';
import type { Mark } from './secret-mark.js';
import { isSecretName, isSecretParameter } from './secret-names.js';
import { maySecretsBeIn } from './suspect-text.js';

/** A piece of a text that is to be taken out. */
export interface Cut {
  readonly start: number;
  readonly end: number;
  /** Its kind, for the list of removals. */
  readonly what: readonly string[];
  /** The secrets themselves, decoded, so that their echo can be found in the answer. The mark is made of the first. */
  readonly values: readonly string[];
  /** Its replacement, or null for the mark of the first of `values`. */
  readonly replacement: string | null;
}

/** Shared by the readers of texts: how to search a JSON text, and how to replace a secret. */
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

/** Marks of a text that may hold a secret: a URL, JSON or the name of an rbd: image. */
const TELLTALE = /:\/\/|json:|rbd:/i;
const NEARLY_URL = /^\s{0,8}(?:https?|ftps?)(?::\/?|\/\/)(?!\/)/i;
const NO_OPTIONS: ReadonlySet<string> = new Set();
/** Shorter texts hold no secret. */
const SHORTEST_TEXT = 7;
const LONGEST_SCHEME = 32;
/** Schemes under which QEMU's block drivers, and those of other builds, reach a server. A text that begins with one is a URL to its end. */
const NETWORK_SCHEMES: ReadonlySet<string> = new Set(
  'http https ftp ftps sftp ssh ssh+tcp tftp iscsi iser nbd nbds nbd+tcp nfs gluster gluster+tcp gluster+rdma rbd sheepdog sheepdog+tcp vxhs smb webdav webdavs s3 vnc spice rtmp ldap ldaps'.split(
    ' ',
  ),
);
/** The longest password: in a text that is a URL as a whole, and in a possible URL within another text. */
const LONGEST_PASSWORD = 4096;
const LONGEST_EMBEDDED = 256;
const LONGEST_PARAMETER = 128;
/** A text with more secrets than this is removed as a whole: no name of a file or a server has as many. */
const MOST_CUTS = 1024;

/** @returns whether a text may hold any of the secrets that `secretsInText` finds. */
export function mayHoldSecrets(text: string): boolean {
  if (text.length < SHORTEST_TEXT || isPlainName(text)) return false;
  return TELLTALE.test(text) || NEARLY_URL.test(text.slice(0, LONGEST_SCHEME)) || isBracketed(text);
}

/** @returns the secrets in a string value, in order; none in nearly every string. */
export function secretsInText(text: string, reader: SecretReader): Cut[] {
  if (!mayHoldSecrets(text)) return [];
  const cuts: Cut[] = [];
  let from = 0;
  const json = /json:/gi;
  const isJson = isBracketed(text);
  for (let at = isJson ? 0 : nextMatch(json, text, 0); at >= 0 && cuts.length <= MOST_CUTS; ) {
    let start = skipBlanks(text, at === 0 && isJson && from === 0 ? 0 : at + 5);
    secretsInNames(text, from, at, cuts);
    // One value, or by mistake several; anything else is judged as a whole.
    do {
      if (!isBracket(text[start])) {
        from = wordEnd(text, start);
        const rest = text.slice(start, from);
        if (rest !== '' && maySecretsBeIn(Buffer.from(rest), [])) {
          cuts.push({ start, end: from, what: ['*'], values: [rest], replacement: null });
        }
        break;
      }
      from = valueEnd(text, start);
      const inner = reader.nested(text.slice(start, from));
      if (inner !== null) {
        cuts.push({ start, end: from, what: inner.paths, values: inner.values, replacement: inner.text });
      }
      start = skipBlanks(text, from);
    } while (isBracket(text[start]) && cuts.length <= MOST_CUTS);
    at = nextMatch(json, text, from);
  }
  secretsInNames(text, from, text.length, cuts);
  return cuts.length > MOST_CUTS ? [wholeOf(text)] : cuts;
}

function nextMatch(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.exec(text)?.index ?? -1;
}

function isBracket(character: string | undefined): boolean {
  return character === '{' || character === '[';
}

/** @returns whether a text is JSON that its name `json:` is missing from: an object, or a list that has one. */
function isBracketed(text: string): boolean {
  const start = skipBlanks(text, 0);
  return isBracket(text[start]) && text.includes('"');
}

/** @returns the end of the text after `json:` where it is not an object: at the next name of a file, or the end of the whole text. */
function wordEnd(text: string, start: number): number {
  const next = nextMatch(/json:/gi, text, start);
  return next < 0 ? text.length : next;
}

function wholeOf(text: string): Cut {
  return { start: 0, end: text.length, what: ['*'], values: [text], replacement: null };
}

/** Variables are named without hyphens between words: `SSHPASS`. */
const SECRET_VARIABLE = /pass?w|pass$|pwd$/i;
/** Variables that every shell sets. */
const HARMLESS_VARIABLES: ReadonlySet<string> = new Set(['PWD', 'OLDPWD', 'SSH_AUTH_SOCK', 'XAUTHORITY']);

/** @returns the value of an environment variable, `NAME=VALUE`, where its name says that it is a secret */
export function secretOfVariable(text: string): Cut[] {
  const equals = text.slice(0, LONGEST_PARAMETER).indexOf('=');
  if (equals < 0 || equals + 1 === text.length) return [];
  const name = text.slice(0, equals);
  if (HARMLESS_VARIABLES.has(name) || !(SECRET_VARIABLE.test(name) || isSecretParameter(name) || isSecretName(name)))
    return [];
  const start = equals + 1;
  return [{ start, end: text.length, what: [name], values: [text.slice(start)], replacement: null }];
}

/**
 * @returns the secrets in options (`a=b,c=d`, where two commas mean one), a file name or JSON. `harmless`: keep no member but these.
 * `opened`: options that are not searched.
 */
export function secretsInOptions(
  text: string,
  harmless: ReadonlySet<string> | null,
  reader: SecretReader,
  opened: ReadonlySet<string> = NO_OPTIONS,
): Cut[] {
  const start = skipBlanks(text, 0);
  if (text[start] === '{') {
    const inner = reader.nested(text);
    const all = { start: 0, end: text.length };
    if (inner !== null) return [{ ...all, what: inner.paths, values: inner.values, replacement: inner.text }];
    // Where secrets are expected, unreadable text is not kept.
    if (harmless === null || valueEnd(text, start) === text.trimEnd().length) return [];
    return [{ ...all, what: ['options'], values: [text], replacement: null }];
  }
  const cuts: Cut[] = [];
  let equals = text.indexOf('=');
  for (let at = 0; equals >= 0 && cuts.length <= MOST_CUTS; ) {
    const end = optionEnd(text, at);
    if (equals < end) {
      cutOption(text, at, equals, end, harmless, reader, cuts, opened);
      equals = text.indexOf('=', end);
    }
    at = end + 1;
  }
  if (cuts.length > MOST_CUTS) return [wholeOf(text)];
  return cuts.length > 0 || opened.size > 0 ? cuts : secretsInText(text, reader);
}

function cutOption(
  text: string,
  at: number,
  equals: number,
  end: number,
  harmless: ReadonlySet<string> | null,
  reader: SecretReader,
  cuts: Cut[],
  opened: ReadonlySet<string>,
): void {
  const name = text.slice(at, Math.min(equals, at + LONGEST_PARAMETER)).trim();
  const start = equals + 1;
  if (start === end) return;
  const value = text.slice(start, end).replaceAll(',,', ',');
  if (harmless === null ? isSecretName(name) : !harmless.has(name)) {
    cuts.push({ start, end, what: [name], values: [value], replacement: null });
    return;
  }
  const inner = opened.has(name) ? [] : secretsInText(value, reader);
  if (inner.length === 0) return;
  cuts.push({
    start,
    end,
    what: inner.flatMap((cut) => cut.what),
    values: inner.flatMap((cut) => cut.values),
    replacement: cutOut(value, inner, reader.mark).replaceAll(',', ',,'),
  });
}

/** @returns where the option that begins at `at` ends: at a comma that is not doubled, or with the text. */
function optionEnd(text: string, at: number): number {
  for (let comma = text.indexOf(',', at); comma >= 0; comma = text.indexOf(',', comma + 2)) {
    if (text[comma + 1] !== ',') return comma;
  }
  return text.length;
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
  return at;
}

/** @returns the end of the JSON object that begins at `start`: where its braces and brackets balance, or of the text. */
function valueEnd(text: string, start: number): number {
  let depth = 0;
  let quote = '';
  for (let at = start; at < text.length; at++) {
    const character = text[at] ?? '';
    if (quote !== '') {
      if (character === '\\') at++;
      else if (character === quote) quote = '';
    } else if (character === '"' || character === "'") quote = character;
    else if (character === '{' || character === '[') depth++;
    else if ((character === '}' || character === ']') && --depth === 0) return at + 1;
  }
  return text.length;
}

/** Finds the secrets in file names and URLs between `from` and `end`, which hold no JSON. */
function secretsInNames(text: string, from: number, end: number, cuts: Cut[]): void {
  if (end - from < SHORTEST_TEXT) return;
  const part = from === 0 && end === text.length ? text : text.slice(from, end);
  const found: Cut[] = [];
  const rbd = part.search(/rbd:/i);
  if (rbd >= 0) cutRbdOptions(part, rbd + 4, found);
  const url = part.indexOf('://');
  if (url < 0 && from === 0) cutNearlyUrl(part, found);
  if (url >= 0) {
    const isWhole = cutFirstPassword(part, url, found);
    for (
      let at = part.indexOf('://', url + 3);
      at >= 0 && found.length <= MOST_CUTS;
      at = part.indexOf('://', at + 3)
    ) {
      cutPassword(part, at, embeddedPasswordEnd(part, at + 3), LONGEST_EMBEDDED, found);
    }
    cutParameters(part, url + 3, isWhole, found);
  }
  if (found.length === 0) return;
  // A piece in two of them is taken out once.
  let last = 0;
  for (const cut of found.sort((a, b) => a.start - b.start || b.end - a.end)) {
    if (cut.start < last) continue;
    last = cut.end;
    cuts.push({ ...cut, start: cut.start + from, end: cut.end + from });
  }
}

/** QEMU's `rbd:pool/image:option=value:…`; a backslash escapes. */
function cutRbdOptions(text: string, from: number, cuts: Cut[]): void {
  let at = optionColon(text, from);
  let equals = text.indexOf('=', at);
  while (equals >= 0 && at < text.length && cuts.length <= MOST_CUTS) {
    const end = optionColon(text, at + 1);
    if (equals < end) {
      cutNamed(text, at + 1, equals, end, cuts);
      equals = text.indexOf('=', end);
    }
    at = end;
  }
}

function optionColon(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== ':') at += text[at] === '\\' ? 2 : 1;
  return Math.min(at, text.length);
}

function cutNamed(text: string, start: number, equals: number, end: number, cuts: Cut[]): void {
  if (equals + 1 >= end || equals - start > LONGEST_PARAMETER) return;
  const name = text.slice(start, equals);
  if (!isSecretParameter(name)) return;
  cuts.push({ start: equals + 1, end, what: [name], values: [text.slice(equals + 1, end)], replacement: null });
}

/** @param at of the first `://`. @returns whether a URL begins there that goes on to the text's end */
function cutFirstPassword(text: string, at: number, cuts: Cut[]): boolean {
  const first = schemeStart(text, at);
  const before = text[first - 1];
  // At the text's start, or after the name of a driver or an option, as in `blkdebug:file:https://…`.
  const isNameStart = before === undefined || before === ':' || before === '=' || skipBlanks(text, 0) === first;
  const isWhole = isNameStart && NETWORK_SCHEMES.has(text.slice(first, at).toLowerCase());
  if (isWhole) cutPassword(text, at, passwordEnd(text, at + 3), LONGEST_PASSWORD, cuts);
  else cutPassword(text, at, embeddedPasswordEnd(text, at + 3), LONGEST_EMBEDDED, cuts);
  return isWhole;
}

/**
 * `scheme://user:password@host`; QEMU's iSCSI names may have `user%password@`.
 * @param at of the `://`
 * @param end of the password, or -1 where there is none
 */
function cutPassword(text: string, at: number, end: number, longest: number, cuts: Cut[]): void {
  const first = schemeStart(text, at);
  if (end < 0 || first === at) return;
  const scheme = text.slice(first, at).toLowerCase();
  const separators = /^(?:iscsi|iser)/.test(scheme) ? ':%' : ':';
  let separator = at + 3;
  while (separator < end && !separators.includes(text[separator] ?? '')) separator++;
  if (separator + 1 >= end || end - separator > longest) return;
  const secret = text.slice(separator + 1, end);
  cuts.push({ start: separator + 1, end, what: ['password'], values: [secret], replacement: null });
}

/** `https:/u:password@h`, with slashes or the colon forgotten: no name of a file that QEMU opens. */
function cutNearlyUrl(text: string, cuts: Cut[]): void {
  const scheme = NEARLY_URL.exec(text.slice(0, LONGEST_SCHEME));
  if (scheme === null) return;
  const start = scheme[0].length;
  const end = passwordEnd(text, start);
  const colon = text.indexOf(':', start);
  if (end < 0 || colon < 0 || colon + 1 >= end) return;
  const secret = text.slice(colon + 1, end);
  cuts.push({ start: colon + 1, end, what: ['password'], values: [secret], replacement: null });
}

function schemeStart(text: string, at: number): number {
  let first = at;
  while (first > 0 && at - first < LONGEST_SCHEME && isSchemeCharacter(text.charCodeAt(first - 1))) first--;
  return first;
}

function isSchemeCharacter(code: number): boolean {
  const lower = code | 0x20;
  return (
    (lower >= 0x61 && lower <= 0x7a) ||
    isDigit(code) ||
    code === 0x2b ||
    code === 0x2e ||
    code === 0x2d ||
    code === 0x5f
  );
}

/** @returns the `@` after the password of a URL that takes the whole rest, or -1. */
function passwordEnd(text: string, start: number): number {
  if (text[start] === '[') return -1;
  const limit = Math.min(text.length, start + LONGEST_PASSWORD);
  let last = -1;
  let at = start;
  let colon = -1;
  for (; at < limit; at++) {
    const character = text[at];
    if (character === '/' || character === '?' || character === '#') break;
    if (character === '@') last = at;
    else if (character === ':' && colon < 0) colon = at;
  }
  if (last >= 0 || colon < 0) return last;
  // No port, so not a URL that works: a password with a slash in it. A text that climbs folders is a name.
  let port = colon + 1;
  while (port < at && isDigit(text.charCodeAt(port))) port++;
  if (port === at) return -1;
  const rest = text.slice(colon, limit);
  const sign = rest.lastIndexOf('@');
  return sign < 0 || rest.includes('..') ? -1 : colon + sign;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Characters that end a URL within a text, or that a shell would interpret. */
const EMBEDDED_END = new Set('/?#\\`$();|&<>');

/** @returns the last `@` in the possible user, password and host of a URL within a text, or -1. */
function embeddedPasswordEnd(text: string, start: number): number {
  const limit = Math.min(text.length, start + 2 * LONGEST_EMBEDDED);
  let last = -1;
  for (let at = start; at < limit && text.charCodeAt(at) > 0x20 && !EMBEDDED_END.has(text[at] ?? ''); at++) {
    if (text[at] === '@') last = at;
  }
  return last;
}

/** Characters that end a parameter's value in a URL within a text, or that a shell would interpret. */
const EMBEDDED_VALUE_END = new Set('"\'\\`$()|<>');

/** Signed and token-bearing URLs: `?name=value&…`. One walk from the first URL on, whatever URLs are within others. */
function cutParameters(text: string, from: number, isWhole: boolean, cuts: Cut[]): void {
  let start = -1;
  let equals = -1;
  for (let at = from; at <= text.length && cuts.length <= 2 * MOST_CUTS; at++) {
    const code = at < text.length ? text.charCodeAt(at) : 0x26;
    // ? & ; #
    const isSeparator = code === 0x3f || code === 0x26 || code === 0x3b || code === 0x23;
    if (isSeparator || (!isWhole && (code <= 0x20 || EMBEDDED_VALUE_END.has(text[at] ?? '')))) {
      if (start >= 0 && equals >= 0) cutNamed(text, start, equals, at, cuts);
      start = isSeparator ? at + 1 : -1;
      equals = -1;
    } else if (code === 0x3d && equals < 0) equals = at;
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
