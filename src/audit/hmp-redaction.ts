/**
 * Secrets in a line of HMP, QEMU's text monitor (`human-monitor-command`). Rows as in redaction-table.ts, source hmp-commands.hx: set_password,
 * expire_password, block_passwd, change vnc password, object_add, qom-set, qom-get. What else there is (drive_add, device_add, netdev_add,
 * chardev-add, chardev-change, migrate …) takes options or file names, which are looked through in every line.
 */
import { harmlessMembers, isSecretProperty, lastPart, SECRET_MEMBERS } from './redaction-table.js';
import { type Cut, cutOut, type SecretReader, secretsInText } from './text-redaction.js';

export interface HmpRedaction {
  /** The line without its secrets. */
  readonly text: string;
  readonly cuts: readonly Cut[];
  /** Whether the answer is itself a secret. */
  readonly hidesAnswer: boolean;
}

interface Word {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/**
 * @param line as QEMU gets it, decoded
 * @param reader how to look into a JSON text that stands in the line, and what to put in place of a secret
 * @returns null when there is nothing to hide
 */
export function redactHmp(line: string, reader: SecretReader): HmpRedaction | null {
  const words = splitWords(line);
  const cuts: Cut[] = [];
  const hidesAnswer = cutByCommand(line, words, cuts, reader);
  // What a row of the table has taken out, or judged as a whole, need not be looked at again.
  const judged = cuts.length === 0 ? (words[0]?.end ?? 0) : Number.POSITIVE_INFINITY;
  for (const word of words) if (word.start >= judged) cutOptions(line, word, null, cuts, reader);
  if (cuts.length === 0) return hidesAnswer ? { text: line, cuts, hidesAnswer } : null;
  return { text: cutOut(line, cuts, reader.mark), cuts, hidesAnswer };
}

/** Applies the row for the line's command. @returns whether the answer is a secret. */
function cutByCommand(line: string, words: readonly Word[], cuts: Cut[], reader: SecretReader): boolean {
  const plain = words.filter((word, index) => index === 0 || !/^-\w$/.test(word.text));
  const [command, first, second] = plain;
  if (command === undefined) return false;
  const restFrom = (word: Word | undefined, what: string) => {
    if (word === undefined) return;
    const end = line.trimEnd().length;
    const text = line.slice(word.start, end);
    cuts.push({ start: word.start, end, what: [what], values: [unquote(text), text], replacement: null });
  };
  switch (command.text) {
    case 'set_password':
    case 'block_passwd':
      restFrom(second, 'password');
      return false;
    case 'expire_password':
      if (second !== undefined && !/^(?:now|never|\+?\d{1,12})$/.test(second.text)) restFrom(second, 'time');
      return false;
    case 'change':
      if (first?.text === 'vnc') {
        restFrom(second !== undefined && /^passw(?:or)?d$/.test(second.text) ? plain[3] : second, 'password');
      }
      return false;
    case 'qom-set':
      if (second !== undefined && isSecretProperty(second.text)) restFrom(plain[3], 'value');
      return false;
    case 'qom-get':
      return second !== undefined && isSecretProperty(second.text);
    case 'object_add': {
      if (first === undefined) return false;
      const rest: Word = { start: first.start, end: line.trimEnd().length, text: line.slice(first.start).trimEnd() };
      const harmless = harmlessMembers(objectKind(unquote(rest.text)));
      if (harmless !== null || unquote(rest.text).startsWith('{')) cutOptions(line, rest, harmless, cuts, reader);
      return false;
    }
    default:
      return false;
  }
}

/** @returns the kind of object that option text `kind,id=…` or `qom-type=kind,…` is about. */
function objectKind(options: string): string {
  return /(?:^|,)\s*qom-type=([^,]*)/.exec(options)?.[1] ?? /^[^,=]*/.exec(options)?.[0] ?? '';
}

/** Cuts the secrets out of a word of options, a file name or JSON. `harmless`: keep no member but these. */
function cutOptions(line: string, word: Word, harmless: ReadonlySet<string> | null, cuts: Cut[], reader: SecretReader) {
  const quoted = line.slice(word.start, word.end);
  if (!quoted.startsWith('"')) {
    for (const cut of secretsInOptions(quoted, harmless, reader)) {
      cuts.push({ ...cut, start: word.start + cut.start, end: word.start + cut.end });
    }
    return;
  }
  const text = unquote(quoted);
  const inner = secretsInOptions(text, harmless, reader);
  if (inner.length === 0) return;
  const what = inner.flatMap((cut) => cut.what);
  const values = inner.flatMap((cut) => cut.values);
  const replacement = `"${cutOut(text, inner, reader.mark).replace(/["\\]/g, '\\$&')}"`;
  cuts.push({ start: word.start, end: word.end, what, values, replacement });
}

/** @returns the secrets in options (`a=b,c=d`), a file name or JSON, unquoted. */
function secretsInOptions(text: string, harmless: ReadonlySet<string> | null, reader: SecretReader): Cut[] {
  if (/^\s*\{/.test(text)) {
    const inner = reader.nested(text);
    const all = { start: 0, end: text.length };
    if (inner !== null) return [{ ...all, what: inner.paths, values: inner.values, replacement: inner.text }];
    // Where secrets are expected, what cannot be read is not kept.
    return harmless === null ? [] : [{ ...all, what: ['options'], values: [text], replacement: null }];
  }
  const cuts: Cut[] = [];
  // An option's value ends at a comma; two commas stand for one.
  for (const match of text.matchAll(/(?<=^|,)([^=,]+)=((?:[^,]|,,)*)/g)) {
    const [, key = '', value = ''] = match;
    const name = key.trim();
    const isSecret = harmless === null ? SECRET_MEMBERS.has(lastPart(name)) : !harmless.has(name);
    if (!isSecret || value === '') continue;
    const start = match.index + key.length + 1;
    const values = [value.replaceAll(',,', ','), value];
    cuts.push({ start, end: start + value.length, what: [name], values, replacement: null });
  }
  return cuts.length > 0 ? cuts : secretsInText(text, reader);
}

/** Splits a line as QEMU does: at blanks, but not inside double quotes, where a backslash escapes. */
function splitWords(line: string): Word[] {
  const words: Word[] = [];
  for (const match of line.matchAll(/(?:"(?:[^"\\]|\\.)*"?|\S)+/g)) {
    words.push({ start: match.index, end: match.index + match[0].length, text: unquote(match[0]) });
  }
  return words;
}

function unquote(text: string): string {
  if (!text.startsWith('"')) return text;
  return text.slice(1, text.endsWith('"') && text.length > 1 ? -1 : undefined).replace(/\\(.)/g, '$1');
}
