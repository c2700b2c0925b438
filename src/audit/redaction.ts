/**
 * Takes secrets out of messages before they reach the audit log. What is looked for is in redaction-table.ts; here it is found, on names
 * and texts decoded as QEMU decodes them, at any depth.
 *
 * What must hold: what is not removed stays byte for byte as it was; what cannot be read where a secret may be is not kept.
 */
import { Parser } from '../qmp/parser.js';
import { Scan, Scanner } from '../qmp/scanner.js';
import { Token, type TokenList } from '../qmp/tokens.js';
import { redactHmp } from './hmp-redaction.js';
import { compileRules, type CompiledRules, RuleSet } from './redaction-rules.js';
import {
  harmlessMembers,
  isSecretProperty,
  SECRET_MEMBERS,
  type RedactionRule,
  SUSPECT_WORDS,
  TELLTALE_ANSWERS,
} from './redaction-table.js';
import { SecretMarks } from './secret-mark.js';
import { type Cut, cutOut, type NestedSecrets, type SecretReader, secretsInText } from './text-redaction.js';

/** A message without its secrets. */
export interface Redacted {
  readonly bytes: Uint8Array;
  /** Where something was removed, `*` for everything; after a `!`, what within a text that has a syntax of its own. */
  readonly paths: readonly string[];
}

/** What a command tells about the answer to it. */
export interface AnswerSecrets {
  /** Texts that were removed from the command, which the answer may repeat. */
  readonly values: readonly string[];
  /** What of the answer is not to be kept: what the command asked for is a secret, or the command could not be read. */
  readonly hides: 'nothing' | 'return' | 'all';
}

export interface RedactedCommand {
  /** Null when nothing was removed. */
  readonly message: Redacted | null;
  /** Null when nothing is known against the answer. */
  readonly answer: AnswerSecrets | null;
}

const BRACE = 0x7b;
const AT = 0x40;
const NO_VALUES: readonly string[] = [];
const NOTHING = new Uint8Array(0);

export class Redactor {
  readonly #rules: RuleSet;
  readonly #marks: SecretMarks;

  /**
   * @param extra the user's own rows, beside those of the table
   * @param marks what to put in place of secrets
   */
  constructor(extra: readonly RedactionRule[] = [], marks = new SecretMarks()) {
    this.#rules = new RuleSet(extra);
    this.#marks = marks;
  }

  /** @returns what is recorded of a message that cannot be shown at all. */
  withheld(raw: Uint8Array): Redacted {
    return { bytes: Buffer.from(JSON.stringify(this.#marks.withheld(raw))), paths: ['*'] };
  }

  #search(rules: CompiledRules, echoes: readonly string[], isAnswerSecret: boolean): Search {
    return new Search(this.#marks, rules, echoes, isAnswerSecret);
  }

  /**
   * @param name the command's name, decoded
   * @param raw its bytes, which QEMU's parser accepts
   * @returns null when there is nothing to remove, nor to beware of in the answer
   */
  command(name: string, raw: Uint8Array): RedactedCommand | null {
    // Without a second object there are no arguments: true for most commands, and quickly seen.
    if (raw.indexOf(BRACE, 1) < 0) return null;
    if (!this.#rules.concernsCommand(name) && !mentions(raw, name === 'qom-get' ? QUERY_HINTS : HINTS)) return null;
    const search = this.#search(this.#rules.forCommand(name), NO_VALUES, false);
    if (!search.message(raw)) return { message: this.withheld(raw), answer: { values: [], hides: 'all' } };
    if (name === 'qom-get' && isSecretProperty(search.textAt('arguments.property'))) search.hidesAnswer = true;
    const message = search.result(raw);
    if (message === null && !search.hidesAnswer) return null;
    const values = echoesOf(search.values);
    return { message, answer: { values, hides: search.hidesAnswer ? 'return' : 'nothing' } };
  }

  /**
   * @param name the command that is answered
   * @param secrets what `command` found about it
   * @param raw the answer, without its line end
   * @returns null when there is nothing to remove
   */
  answer(name: string, secrets: AnswerSecrets | null, raw: Uint8Array): Redacted | null {
    if (secrets === null && !this.#rules.concernsAnswers(name) && raw.indexOf(AT) < 0) {
      if (!TELLTALE_ANSWERS.has(name) || !mentions(raw, HINTS)) return null;
    }
    if (secrets?.hides === 'all') return this.withheld(raw);
    const search = this.#search(this.#rules.forAnswer(name), secrets?.values ?? NO_VALUES, secrets?.hides === 'return');
    return search.message(raw) ? search.result(raw) : this.withheld(raw);
  }

  /** As `answer`, for events and for whatever else comes from QEMU. */
  other(raw: Uint8Array): Redacted | null {
    if (raw.indexOf(AT) < 0) return null;
    const search = this.#search(this.#rules.forAnswer(''), NO_VALUES, false);
    return search.message(raw) ? search.result(raw) : this.withheld(raw);
  }

  /**
   * Input that QEMU would have refused.
   * @param before the end of the input before it, if that could not be read either: it may be the beginning of this
   * @returns null when there is nothing to remove
   */
  malformed(raw: Uint8Array, before: Uint8Array = NOTHING): Redacted | null {
    const search = this.#search(this.#rules.forCommand(null), NO_VALUES, false);
    if (search.message(raw)) return search.result(raw);
    const text = Buffer.concat([before, raw])
      .toString('latin1')
      .replace(/\\u([0-9a-f]{4})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
      .toLowerCase();
    const isSuspect = [...SUSPECT_WORDS, ...this.#rules.userWords].some((word) => text.includes(word));
    return isSuspect ? this.withheld(raw) : null;
  }
}

/** A piece of a secret that is shorter than this is not looked for in answers. */
const SHORTEST_PIECE = 4;

/** @returns what an answer may repeat of the texts that were removed: all of one, or one of its words. */
function echoesOf(values: readonly string[]): string[] {
  const pieces = values
    .flatMap((value) => value.split(/[\s,;:=[\]{}"'\\]+/))
    .filter((piece) => piece.length >= SHORTEST_PIECE);
  return [...new Set([...values, ...pieces])].filter((echo) => echo !== '');
}

/** What the rows for any command look for, as text; a backslash may hide any of it. Without one of these there is nothing to find. */
const HINTS = new RegExp(
  [...SECRET_MEMBERS, 'qom-type', '://', 'json:', 'rbd:'].map(escapeRegExp).join('|') + '|\\\\',
  'i',
);
/** The same, and the names of properties that are secrets. */
const QUERY_HINTS = new RegExp(`${HINTS.source}|data|secret`, 'i');

function mentions(raw: Uint8Array, hints: RegExp): boolean {
  return hints.test(Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('latin1'));
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

const NESTED_LIMIT = 8;

/** One walk through one message. */
class Search {
  readonly values: string[] = [];
  hidesAnswer = false;
  readonly #rules: CompiledRules;
  readonly #echoes: readonly string[];
  readonly #isAnswerSecret: boolean;
  readonly #depth: number;
  readonly #scanner = new Scanner();
  readonly #parser = new Parser();
  readonly #paths: string[] = [];
  readonly #path: string[] = [];
  readonly #edits: { start: number; end: number; by: Uint8Array }[] = [];
  /** For each token that opens an object or a list, the token that closes it. */
  #close = new Int32Array(0);
  #tokens: TokenList;

  readonly #marks: SecretMarks;
  readonly #reader: SecretReader;

  constructor(marks: SecretMarks, rules: CompiledRules, echoes: readonly string[], isAnswerSecret: boolean, depth = 0) {
    this.#marks = marks;
    this.#reader = { mark: marks.mark, nested: (text) => this.#nested(text) };
    this.#rules = rules;
    this.#echoes = echoes;
    this.#isAnswerSecret = isAnswerSecret;
    this.#depth = depth;
    this.#tokens = this.#scanner.tokens;
  }

  /** @returns whether `raw` could be read; then what is to be removed has been found. */
  message(raw: Uint8Array): boolean {
    this.#scanner.push(raw);
    if (this.#scanner.next() !== Scan.Message || this.#scanner.bytes !== raw) return false;
    for (let i = this.#scanner.end; i < raw.length; i++) if ((raw[i] ?? 0) > 0x20) return false;
    this.#tokens = this.#scanner.tokens;
    this.#parser.parse(raw, this.#tokens);
    if (this.#parser.error !== null) return false;
    this.#pair();
    this.#visit(0, null);
    return true;
  }

  result(raw: Uint8Array): Redacted | null {
    if (this.#edits.length === 0) return null;
    const pieces: Uint8Array[] = [];
    let from = 0;
    for (const edit of this.#edits) {
      pieces.push(raw.subarray(from, edit.start), edit.by);
      from = edit.end;
    }
    pieces.push(raw.subarray(from));
    return { bytes: Buffer.concat(pieces), paths: this.#paths };
  }

  /** @returns the text at `path`, or an empty one. */
  textAt(path: string): string {
    let at = 0;
    for (const name of path.split('.')) {
      const member = this.#member(at, name);
      if (member < 0) return '';
      at = member;
    }
    return this.#text(at) ?? '';
  }

  #pair(): void {
    const tokens = this.#tokens;
    const open: number[] = [];
    this.#close = new Int32Array(tokens.count);
    for (let i = 0; i < tokens.count; i++) {
      const kind = tokens.kind(i);
      this.#close[i] = i;
      if (kind === Token.LeftBrace || kind === Token.LeftBracket) open.push(i);
      else if (kind === Token.RightBrace || kind === Token.RightBracket) this.#close[open.pop() ?? 0] = i;
    }
  }

  #closeOf(token: number): number {
    return this.#close[token] ?? token;
  }

  /** @returns the decoded text of a string token, or null for another one. */
  #text(token: number): string | null {
    const kind = this.#tokens.kind(token);
    return kind === Token.PlainString || kind === Token.RichString ? this.#parser.text(token) : null;
  }

  /** @returns the value of an object's member, or -1. */
  #member(object: number, name: string): number {
    if (this.#tokens.kind(object) !== Token.LeftBrace) return -1;
    const end = this.#closeOf(object);
    for (let key = object + 1; key < end; ) {
      if (this.#parser.text(key) === name) return key + 2;
      key = this.#closeOf(key + 2) + 2;
    }
    return -1;
  }

  /** @param harmless the members to keep of an object made of secrets, whose `props` this may be; null elsewhere. */
  #visit(token: number, harmless: ReadonlySet<string> | null): void {
    const tokens = this.#tokens;
    switch (tokens.kind(token)) {
      case Token.LeftBrace:
        this.#visitObject(token, harmless);
        return;
      case Token.LeftBracket: {
        const end = this.#closeOf(token);
        let index = 0;
        for (let element = token + 1; element < end; ) {
          this.#path.push(String(index++));
          this.#visit(element, null);
          this.#path.pop();
          element = this.#closeOf(element) + 2;
        }
        return;
      }
      case Token.PlainString:
      case Token.RichString:
        this.#visitText(token);
        return;
      default:
    }
  }

  #visitObject(token: number, outer: ReadonlySet<string> | null): void {
    const kindToken = this.#member(token, 'qom-type');
    const kind = kindToken < 0 ? null : this.#text(kindToken);
    const harmless = (kind === null ? null : harmlessMembers(kind)) ?? outer;
    const end = this.#closeOf(token);
    for (let key = token + 1; key < end; ) {
      const value = key + 2;
      const name = this.#parser.text(key);
      this.#path.push(name);
      const isSecretMember = harmless !== null && !harmless.has(name);
      if (isSecretMember || (this.#isAnswerSecret && this.#path.length === 1 && name === 'return')) this.#remove(value);
      else if (!this.#applyRule(token, value, name)) this.#visit(value, name === 'props' ? harmless : null);
      this.#path.pop();
      key = this.#closeOf(value) + 2;
    }
  }

  /** @returns whether a row of the table has dealt with the value. */
  #applyRule(object: number, value: number, name: string): boolean {
    for (const rule of this.#rules.at(name, this.#path)) {
      const removal = rule.removal;
      switch (removal.kind) {
        case 'value':
          this.#remove(value);
          return true;
        case 'value-if': {
          const sibling = this.#member(object, removal.sibling);
          if (sibling < 0 || !isSecretProperty(this.#text(sibling) ?? '')) break;
          this.#remove(value);
          return true;
        }
        case 'value-unless':
          if (removal.pattern.test(this.#text(value) ?? '')) break;
          this.#remove(value);
          return true;
        case 'hmp': {
          const line = this.#text(value);
          const found = line === null ? null : redactHmp(line, this.#reader);
          if (found === null) break;
          if (found.hidesAnswer) this.hidesAnswer = true;
          if (found.cuts.length > 0) this.#replace(value, found.text, found.cuts);
          return true;
        }
      }
    }
    return false;
  }

  #visitText(token: number): void {
    const text = this.#text(token) ?? '';
    if (this.#echoes.some((echo) => (echo.length < 3 ? text === echo : text.includes(echo))))
      return this.#remove(token);
    const cuts = secretsInText(text, this.#reader);
    if (cuts.length > 0) this.#replace(token, cutOut(text, cuts, this.#marks.mark), cuts);
  }

  /** Looks into a JSON text within a text, with the rows that are for any command. */
  #nested(text: string): NestedSecrets | null {
    if (this.#depth === NESTED_LIMIT) return { text: this.#marks.mark(text), paths: ['(too deep)'], values: [] };
    const inner = new Search(this.#marks, compileRules(null, []), NO_VALUES, false, this.#depth + 1);
    const raw = Buffer.from(text);
    if (!inner.message(raw)) return null;
    const found = inner.result(raw);
    return found === null ? null : { text: found.bytes.toString(), paths: found.paths, values: inner.values };
  }

  /** Removes a whole value. */
  #remove(token: number): void {
    const last = this.#closeOf(token);
    for (let i = token; i <= last; i++) {
      const text = this.#text(i);
      if (text !== null) this.values.push(text);
      else if (this.#tokens.kind(i) === Token.Integer) this.values.push(this.#spelling(i));
    }
    this.#paths.push(this.#path.join('.'));
    const start = this.#tokens.start(token);
    const end = this.#tokens.end(last);
    const text = this.#text(token);
    const mark = text === null ? this.#marks.markOf(this.#scanner.bytes.subarray(start, end)) : this.#marks.mark(text);
    this.#edits.push({ start, end, by: Buffer.from(JSON.stringify(mark)) });
  }

  /** Replaces a text by one without the secrets that were cut out of it. */
  #replace(token: number, text: string, cuts: readonly Cut[]): void {
    const path = this.#path.join('.');
    for (const cut of cuts) {
      this.values.push(...cut.values);
      for (const what of cut.what) this.#paths.push(`${path}!${what}`);
    }
    const by = Buffer.from(JSON.stringify(text));
    this.#edits.push({ start: this.#tokens.start(token), end: this.#tokens.end(token), by });
  }

  #spelling(token: number): string {
    return Buffer.from(this.#scanner.bytes.subarray(this.#tokens.start(token), this.#tokens.end(token))).toString(
      'latin1',
    );
  }
}
