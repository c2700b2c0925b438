/**
 * Takes secrets out of messages before they reach the audit log. redaction-table.ts and secret-names.ts list the secrets to search for;
 * here each message is judged as a whole, and message-search.ts walks through it.
 *
 * What must hold: parts that are not removed stay the same, byte for byte; unreadable text where a secret may be is not kept; and the work,
 * the memory and the text put into the record are linear in the message, whatever is in it.
 */
import { HarmlessMessages } from './harmless-messages.js';
import { LONGEST_SEARCHED, outlineOf } from './large-commands.js';
import { MessageSearch, MOST_JSON_TEXTS } from './message-search.js';
import { type CompiledRules, RuleSet } from './redaction-rules.js';
import {
  classOfCommand,
  isSecretProperty,
  PROPERTY_ANSWERS,
  type RedactionRule,
  SECRET_MEMBERS,
  TELLTALE_ANSWERS,
} from './redaction-table.js';
import { MOST_HASHED, type Redacted } from './removals.js';
import { SecretMarks } from './secret-mark.js';
import { maySecretsBeIn } from './suspect-text.js';

export type { Redacted } from './removals.js';

/** The secrets that a command predicts in its answer. */
export interface AnswerSecrets {
  /** Texts that were removed from the command, which the answer may repeat. */
  readonly values: readonly string[];
  /** The part of the answer not to be kept: the command asked for a secret, or could not be read. */
  readonly hides: 'nothing' | 'return' | 'all';
  /** The replacement for the command's id, as JSON, or null to keep it. */
  readonly id: Uint8Array | null;
}

export interface RedactedCommand {
  /** Null when nothing was removed. */
  readonly message: Redacted | null;
  /** The replacement for the command's name, or null to keep it. */
  readonly name: string | null;
  /** Null when nothing is known against the answer. */
  readonly answer: AnswerSecrets | null;
}

const BRACE = 0x7b;
const AT = 0x40;
const QUESTION_MARK = 0x3f;
const BACKSLASH = 0x5c;
const EQUALS = 0x3d;
const BRACKET = 0x5b;
const telltale = new Uint8Array(256);
for (const byte of [BRACE, AT, QUESTION_MARK, BACKSLASH, EQUALS, BRACKET]) telltale[byte] = 1;
/** A name of QEMU's; another may be a line that was meant for HMP. */
const PLAIN_NAME = /^[\w.-]*$/;
/** Longer commands without arguments are none of QEMU's. */
const LONGEST_BARE_COMMAND = 256;
const NO_VALUES: readonly string[] = [];
const NO_BYTES = new Uint8Array(0);
/** A larger answer is not searched. In bytes. */
const LONGEST_ANSWER_SEARCHED = 1024 * 1024;
/** A larger answer is not looked through for words that make it suspect, but withheld where it may hold a secret. In bytes. */
const MOST_LOOKED_THROUGH = 16 * 1024 * 1024;
/** A longer name of a command is recorded as its length and hash. */
const LONGEST_NAME = 4096;
/** How many bytes of an answer are compared with each text that it may repeat, in all. */
const MOST_COMPARED = 64 * 1024 * 1024;

export class Redactor {
  readonly #rules: RuleSet;
  readonly #marks: SecretMarks;
  readonly #harmless: HarmlessMessages;

  /**
   * @param extra the user's own rows, beside those of the table
   * @param marks makes the replacements for secrets
   */
  constructor(extra: readonly RedactionRule[] = [], marks = new SecretMarks()) {
    this.#rules = new RuleSet(extra);
    this.#marks = marks;
    this.#harmless = new HarmlessMessages(this.#rules);
  }

  /** @returns the record of a message, in one or more pieces, that cannot be shown at all. */
  withheld(...raw: readonly Uint8Array[]): Redacted {
    return { bytes: quoted(this.#marks.withheld(...raw)), paths: ['*'] };
  }

  /**
   * @param name the command's name, decoded
   * @param raw its bytes, which QEMU's parser accepts
   * @returns null when there is nothing to remove, nor to beware of in the answer
   */
  command(name: string, raw: Uint8Array): RedactedCommand | null {
    // Without a second object there are no arguments: true for most commands, and quickly seen.
    const isPlainName = PLAIN_NAME.test(name);
    if (isPlainName && raw.length < LONGEST_BARE_COMMAND && isBare(raw)) return null;
    if (raw.length > LONGEST_SEARCHED) return this.#large(name, raw);
    const rules = this.#rules.forCommand(name);
    if (isPlainName && this.#harmless.isCommand(name, raw, rules)) return null;
    const search = this.#search(rules, name);
    if (!search.message(raw)) {
      search.release();
      return this.unreadable(raw);
    }
    const hidesReturn = search.hidesAnswer || (classOfCommand(name).readsProperty && asksForSecret(search));
    search.release();
    const message = search.result();
    if (message === null && !hidesReturn) {
      if (isPlainName) this.#harmless.remember(name, raw);
      return null;
    }
    const { echoes, idMark, nameMark } = search;
    const hides = echoes === null ? 'all' : hidesReturn ? 'return' : 'nothing';
    return { message, name: nameMark, answer: { values: echoes ?? NO_VALUES, hides, id: idMark } };
  }

  /** A command that is too large to be searched in one go: only its short parts are shown. */
  #large(name: string, raw: Uint8Array): RedactedCommand {
    const whole = this.unreadable(raw);
    const longName = name.length > LONGEST_NAME ? this.#marks.withheld(Buffer.from(name)) : null;
    const outline = outlineOf(name, raw, this.#marks);
    if (outline === null) return { ...whole, name: longName };
    const search = this.#search(this.#rules.forCommand(name), name);
    const found = resultOf(search, outline.bytes);
    if (found === undefined) return { ...whole, name: longName };
    const paths = [...new Set([...outline.paths, ...(found?.paths ?? [])])];
    const message = { bytes: found?.bytes ?? outline.bytes, paths };
    return { ...whole, message, name: search.nameMark ?? longName };
  }

  /** @returns the record of a command that cannot be shown at all. */
  unreadable(raw: Uint8Array): RedactedCommand {
    const message = this.withheld(raw);
    return { message, name: null, answer: { values: NO_VALUES, hides: 'all', id: message.bytes } };
  }

  /**
   * @param name the command that is answered
   * @param secrets the findings of `command` about it
   * @param raw the answer, without its line end
   * @returns null when there is nothing to remove
   */
  answer(name: string, secrets: AnswerSecrets | null, raw: Uint8Array): Redacted | null {
    if (secrets === null && !this.#rules.concernsAnswers(name) && !PROPERTY_ANSWERS.has(name)) {
      if (raw.indexOf(AT) < 0 && (!TELLTALE_ANSWERS.has(name) || !mentions(raw))) return null;
    }
    const rules = this.#rules.forAnswer(name);
    if (secrets === null && this.#harmless.isFromQemu(raw, rules)) return null;
    const values = secrets?.values ?? NO_VALUES;
    if (
      secrets?.hides === 'all' ||
      raw.length > LONGEST_ANSWER_SEARCHED ||
      raw.length * values.length > MOST_COMPARED
    ) {
      return this.withheld(raw);
    }
    const search = this.#search(rules, null, values, secrets?.hides === 'return', secrets?.id);
    const found = resultOf(search, raw);
    return found === undefined ? this.withheld(raw) : found;
  }

  /** As `answer`, for events and for whatever else comes from QEMU. */
  other(raw: Uint8Array): Redacted | null {
    if (isPlain(raw)) return null;
    const rules = this.#rules.forAnswer('');
    if (this.#harmless.isFromQemu(raw, rules)) return null;
    if (raw.length > LONGEST_ANSWER_SEARCHED) return this.withheld(raw);
    const search = this.#search(rules, null);
    const found = resultOf(search, raw);
    return found === undefined ? this.withheld(raw) : found;
  }

  /**
   * Input that QEMU would have refused.
   * @param before the end of the input before it, if that could not be read either: it may be the beginning of this
   * @returns null when there is nothing to remove
   */
  malformed(raw: Uint8Array, before: Uint8Array = NO_BYTES): Redacted | null {
    if (raw.length > LONGEST_SEARCHED) return this.withheld(raw);
    const search = this.#search(this.#rules.forCommand(null), '');
    let isCommand = false;
    const found = resultOf(search, raw, () => {
      isCommand = search.isCommand();
    });
    // A command that QEMU refuses does nothing, so it need not be shown even where it can be read: a list, or members that no command has.
    if (found !== undefined && (found !== null || isCommand)) return found;
    return maySecretsBeIn(Buffer.concat([before, raw]), this.#rules.userWords) ? this.withheld(raw) : null;
  }

  #search(
    rules: CompiledRules,
    command: string | null,
    echoes: readonly string[] = NO_VALUES,
    isAnswerSecret = false,
    id: Uint8Array | null = null,
  ): MessageSearch {
    const { userWords, forTexts } = this.#rules;
    const hashes = { left: MOST_HASHED };
    const jsonTexts = { left: MOST_JSON_TEXTS };
    return new MessageSearch({
      marks: this.#marks,
      rules,
      forTexts,
      userWords,
      command,
      echoes,
      isAnswerSecret,
      idMark: id === null ? null : String(JSON.parse(Buffer.from(id).toString())),
      hashes,
      jsonTexts,
    });
  }
}

/** @returns whether a command has no arguments, and is plain. One loop is quicker than four searches of so few bytes. */
function isBare(raw: Uint8Array): boolean {
  for (let at = 1; at < raw.length; at++) if (telltale[raw[at] ?? 0] === 1) return false;
  return true;
}

/** @returns whether no text in `raw` can hold an URL with a password or a token, or JSON. */
function isPlain(raw: Uint8Array): boolean {
  return raw.indexOf(AT) < 0 && raw.indexOf(QUESTION_MARK) < 0 && raw.indexOf(BACKSLASH) < 0;
}

/** @returns the record of `raw`; null when nothing is to be removed; undefined when it cannot be read. */
function resultOf(search: MessageSearch, raw: Uint8Array, look?: () => void): Redacted | null | undefined {
  const isRead = search.message(raw);
  if (isRead) look?.();
  search.release();
  return isRead ? search.result() : undefined;
}

function quoted(text: string): Uint8Array {
  return Buffer.from(JSON.stringify(text));
}

/** @returns whether a command that reads a property reads a secret; one that names none may be meant to. */
function asksForSecret(search: MessageSearch): boolean {
  const property = search.textAt('arguments', 'property');
  return property === null || isSecretProperty(property);
}

/** The names in the rows for any command, as text; a backslash may hide any of it. Without one of these there is nothing to find. */
const HINTS = new RegExp(
  `${[...SECRET_MEMBERS, 'qom-type', '://', 'json:', 'rbd:'].map(escapeRegExp).join('|')}|\\\\`,
  'i',
);

function mentions(raw: Uint8Array): boolean {
  if (raw.length > MOST_LOOKED_THROUGH) return true;
  return HINTS.test(Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('latin1'));
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
