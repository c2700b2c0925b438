/**
 * One walk through one message, which finds the secrets in it.
 *
 * What must hold: no recursion but into a JSON text within a text, of which there are few levels; no token is looked at more than a few
 * times; and the memory of removals has a bound.
 */
import { Token } from '../../qmp/json/tokens.js';
import { harmlessInOptions, redactHmp, secretsInHmpAnswer } from './hmp-redaction.js';
import { MessageTokens } from './message-tokens.js';
import { NO_SIBLINGS, type Siblings, siblingsIn } from './object-siblings.js';
import { isNameOfOpened, isOpenedAsItIs } from './opened-places.js';
import type { CompiledRules, Progress } from './redaction-rules.js';
import { type CommandClass, classOfCommand, harmlessMembers, isSecretProperty } from './redaction-table.js';
import { type HashBudget, type Redacted, Removals } from './removals.js';
import type { SecretMarks } from './secret-mark.js';
import { classOfName, NameClass } from './secret-names.js';
import { MOST_JUDGED, maySecretsBeIn } from './suspect-text.js';
import {
  type Cut,
  cutOut,
  mayHoldSecrets,
  type NestedSecrets,
  type SecretReader,
  secretOfVariable,
  secretsInOptions,
  secretsInText,
} from './text-redaction.js';

interface SearchOptions {
  readonly marks: SecretMarks;
  readonly rules: CompiledRules;
  /** Rows for JSON within texts. */
  readonly forTexts: CompiledRules;
  /** The user's words that make unreadable texts suspect. */
  readonly userWords: readonly string[];
  /** The command's name, empty where it must be read from the message; null for messages from QEMU. */
  readonly command: string | null;
  /** Texts that may be repeated in the message and are to be removed. */
  readonly echoes: readonly string[];
  /** Whether all that is returned is a secret. */
  readonly isAnswerSecret: boolean;
  /** For an answer, the replacement for the command's id; null to keep it. */
  readonly idMark: string | null;
  readonly hashes: HashBudget;
  /** How many JSON texts within texts may still be looked into. */
  readonly jsonTexts: { left: number };
}

/** JSON texts within JSON texts that are looked into, and how deep they may be nested in all: QEMU's own limit for one message. */
const MOST_LEVELS = 8;
/** After this many removals a text that may hold a secret is removed as a whole. */
const MOST_REMOVALS = 4096;
/** JSON texts within the texts of one message that are looked into. */
export const MOST_JSON_TEXTS = 1024;
/** Below this many letters only a whole text is taken for an echo. */
const SHORTEST_WITHIN = 3;
/** No command of QEMU's has a longer name; one that is longer is not kept. */
const LONGEST_COMMAND = 4096;
/** Neither an URL with a password nor an rbd: or json: name is shorter, quotes included. */
const SHORTEST_TEXT = 9;

const COMMAND_MEMBERS: ReadonlySet<string> = new Set(['execute', 'exec-oob', 'arguments', 'id']);

/** Members in which people also write options, as in HMP and on the command line: `"driver": "isa-applesmc,osk=…"`. */
const WITH_OPTIONS: ReadonlySet<string> = new Set(['driver', 'qom-type', 'id']);

/** An object or a list that is being walked through. */
interface Frame {
  readonly isObject: boolean;
  /** The token that closes it. */
  readonly end: number;
  /** The next key or element. */
  at: number;
  /** The number of the next member or element. */
  index: number;
  /** Of an object, the names of its members. */
  readonly names: readonly string[];
  readonly progress: Progress;
  /** The members to keep of an object made of secrets; null for another. */
  readonly harmless: ReadonlySet<string> | null;
  readonly siblings: Siblings;
  /** Whether QEMU executes its value, or opens it unchanged. */
  readonly isExecuted: boolean;
}

export class MessageSearch {
  /** Whether the answer is itself a secret. */
  hidesAnswer = false;
  /** The replacement for the command's id, as JSON; null where it is kept. */
  idMark: Uint8Array | null = null;
  /** The same for its name, as text. */
  nameMark: string | null = null;
  /** The command's name, null for messages from QEMU. */
  #command: string | null;
  #class: CommandClass;
  readonly #options: SearchOptions;
  readonly #level: number;
  /** The depth of the texts around this message. */
  readonly #outerDepth: number;
  readonly #reader: SecretReader;
  #raw: Buffer = Buffer.alloc(0);
  readonly #tokens: MessageTokens;
  readonly #path: string[] = [];
  readonly #frames: Frame[] = [];
  readonly #removals: Removals;

  constructor(options: SearchOptions, level = 0, outerDepth = 0) {
    this.#options = options;
    this.#command = options.command;
    this.#class = classOfCommand(options.command ?? '');
    this.#removals = new Removals(options.marks, options.hashes);
    this.#level = level;
    this.#outerDepth = outerDepth;
    this.#reader = { mark: (secret) => this.#removals.markText(secret), nested: (text) => this.#nested(text) };
    this.#tokens = new MessageTokens(level, outerDepth);
  }

  /** @returns whether `raw` could be read; if so, all removals have been found. */
  message(raw: Uint8Array): boolean {
    if (!this.#tokens.read(raw)) return false;
    this.#raw = this.#tokens.raw;
    if (this.#command === '' && this.#level === 0) {
      this.#command = this.textAt('execute') ?? this.textAt('exec-oob') ?? '';
      this.#class = classOfCommand(this.#command);
    }
    this.#walk(0);
    if (this.#command !== null && this.#level === 0) this.#walkId();
    return true;
  }

  /** @returns the message without the secrets found, or null when there are none. */
  result(): Redacted | null {
    return this.#removals.result(this.#raw);
  }

  /** @returns the removed texts that the answer may repeat, or null when there are too many to search for. */
  get echoes(): readonly string[] | null {
    return this.#removals.echoes;
  }

  /** @returns whether the message has a command's form, with no members but those of one. */
  isCommand(): boolean {
    if (this.#tokens.kind(0) !== Token.LeftBrace) return false;
    const end = this.#tokens.closeOf(0);
    for (let key = 1; key < end; key = this.#tokens.closeOf(key + 2) + 2) {
      const name = this.#tokens.name(key);
      if (!COMMAND_MEMBERS.has(name)) return false;
      if (name === 'arguments' && this.#tokens.kind(key + 2) !== Token.LeftBrace) return false;
    }
    return this.textAt('execute') !== null || this.textAt('exec-oob') !== null;
  }

  /** @returns the text at a path of members, or null. */
  textAt(...path: readonly string[]): string | null {
    return this.#tokens.textAt(...path);
  }

  /** Lets go of the message: no method may be called any more. */
  release(): void {
    this.#tokens.release();
  }

  /** Walks through the value that begins at `token`, an object's member or the message itself, but for the message's id. */
  #walk(token: number): void {
    const depth = this.#frames.length;
    this.#enter(token, this.#options.rules.start, null, false);
    while (this.#frames.length > depth) {
      const frame = this.#frames.at(-1);
      if (frame === undefined) return;
      if (frame.at >= frame.end) {
        this.#frames.pop();
        this.#path.pop();
      } else if (frame.isObject) this.#visitMember(frame);
      else {
        const element = frame.at;
        frame.at = this.#tokens.closeOf(element) + 2;
        this.#visitElement(frame, element, String(frame.index++));
      }
    }
  }

  /** Begins with an object or a list, which stays on the path until it ends; a text is looked into at once. */
  #enter(token: number, progress: Progress, outer: ReadonlySet<string> | null, isExecuted: boolean): void {
    const kind = this.#tokens.kind(token);
    if (kind === Token.LeftBrace || kind === Token.LeftBracket) {
      const isObject = kind === Token.LeftBrace;
      const names: string[] = [];
      const siblings = isObject ? siblingsIn(this.#tokens, token, names) : NO_SIBLINGS;
      const harmless = isObject ? this.#harmless(siblings, outer) : null;
      const end = this.#tokens.closeOf(token);
      this.#frames.push({ isObject, end, at: token + 1, index: 0, names, progress, harmless, siblings, isExecuted });
      return;
    }
    if (!isExecuted && this.#tokens.isText(token)) this.#visitText(token);
    this.#path.pop();
  }

  /** @returns the members to keep of an object that is made of secrets, or null. @param outer those of the object whose `props` this is */
  #harmless(siblings: Siblings, outer: ReadonlySet<string> | null): ReadonlySet<string> | null {
    const kind = siblings.kind < 0 ? null : this.#tokens.text(siblings.kind);
    const ofKind = kind === null ? null : harmlessMembers(kind);
    if (ofKind !== null) return ofKind;
    if (outer !== null) return outer;
    const command = this.#command;
    if (command === null || this.#level > 0) return null;
    if (this.#path.length === 1 && this.#path[0] === 'arguments') {
      const ofCommand = this.#class.harmless;
      if (ofCommand !== null) return ofCommand;
      if (siblings.property < 0 && this.#class.setsProperty) return PROPERTY_MEMBERS;
    }
    return siblings.property >= 0 && isSecretProperty(this.#tokens.text(siblings.property) ?? '')
      ? PROPERTY_MEMBERS
      : null;
  }

  #visitMember(frame: Frame): void {
    const key = frame.at;
    const value = key + 2;
    frame.at = this.#tokens.closeOf(value) + 2;
    const name = frame.names[frame.index++] ?? '';
    const isTop = this.#path.length === 0 && this.#level === 0;
    if (isTop && name === 'id' && this.#command !== null) return;
    this.#path.push(name);
    if (isTop && (name === 'execute' || name === 'exec-oob')) return this.#visitName(value);
    const { harmless } = frame;
    const { kind, property } = frame.siblings;
    const isSecret =
      (harmless !== null && !harmless.has(name) && value !== kind && value !== property) ||
      (isTop && this.#options.isAnswerSecret && name === 'return');
    const { idMark } = this.#options;
    if (isTop && name === 'id' && idMark !== null) {
      this.#removals.note(this.#path, '');
      this.#removals.replace(this.#tokens.start(value), this.#tokens.end(this.#tokens.closeOf(value)), idMark);
      this.#path.pop();
      return;
    }
    if (isSecret || this.#tokens.isTooLong(key)) this.#remove(value);
    else if (!this.#applyRules(frame, value, name) && !this.#judgeName(value, name, harmless)) {
      const isExecuted =
        frame.isExecuted ||
        (isNameOfOpened(name) &&
          isOpenedAsItIs({
            command: this.#command,
            name,
            text: () => this.#tokens.text(value),
            transport: () => this.#tokens.text(frame.siblings.transport),
            driver: () => this.#tokens.text(frame.siblings.driver),
          }));
      const progress = this.#options.rules.enter(frame.progress, name);
      this.#enter(value, progress, name === 'props' ? harmless : null, isExecuted);
      return;
    }
    this.#path.pop();
  }

  /** A command's name: nobody's secret, but where a whole line was given as one. */
  #visitName(token: number): void {
    const { count } = this.#removals;
    const text = this.#tokens.text(token);
    if (text === null || text.length > LONGEST_COMMAND) this.#removeUnreadable(token);
    else if (/[\s=/:,]/.test(text)) this.#visitLine(token);
    if (this.#removals.count > count) this.nameMark = this.#removals.lastText;
    this.#path.pop();
  }

  #visitElement(frame: Frame, element: number, name: string): void {
    this.#path.push(name);
    if (this.#applyRules(frame, element, name)) this.#path.pop();
    else this.#enter(element, this.#options.rules.enter(frame.progress, name), null, frame.isExecuted);
  }

  /** @returns whether a row of the table has dealt with the value. */
  #applyRules(frame: Frame, value: number, name: string): boolean {
    for (const { removal } of this.#options.rules.at(frame.progress, name)) {
      switch (removal.kind) {
        case 'value':
          this.#remove(value);
          return true;
        case 'value-if': {
          const sibling = frame.siblings[removal.sibling];
          if (sibling < 0 || !isSecretProperty(this.#tokens.text(sibling) ?? '')) break;
          this.#remove(value);
          return true;
        }
        case 'value-unless':
          if (removal.pattern.test((this.#tokens.text(value) ?? '-').slice(0, LONGEST_TIME))) break;
          this.#remove(value);
          return true;
        case 'assignment': {
          const text = this.#tokens.isText(value) ? this.#tokens.text(value) : '';
          if (text === null) {
            this.#remove(value);
            return true;
          }
          const cuts = secretOfVariable(text);
          if (cuts.length === 0) break;
          this.#replace(value, cutOut(text, cuts, this.#reader.mark), cuts);
          return true;
        }
        case 'hmp':
          if (this.#tokens.isText(value)) {
            this.#visitLine(value);
            return true;
          }
          break;
        case 'hmp-answer':
          if (this.#tokens.isText(value) && this.#visitHmpAnswer(value)) return true;
      }
    }
    return false;
  }

  /** Judges a member by a name that is near to one in the table. @returns whether that has dealt with the value. */
  #judgeName(value: number, name: string, harmless: ReadonlySet<string> | null): boolean {
    const found = classOfName(name);
    if (!this.#tokens.isText(value)) {
      // A password from a client counts in a list too, or as a number. Answers from QEMU are stricter.
      const isGiven = this.#command !== null && (found & NameClass.Secret) !== 0 && !this.#tokens.isWord(value);
      if (isGiven) this.#remove(value);
      return isGiven;
    }
    const isArgument = this.#command !== null && this.#path[0] === 'arguments' && this.#path.length <= 3;
    const isData = isArgument && (found & NameClass.Data) !== 0 && this.#class.makesObjects;
    const isParameter =
      this.#command !== null && (found & NameClass.Parameter) !== 0 && !(harmless?.has(name) ?? false);
    if (isData || isParameter || (found & NameClass.Secret) !== 0) {
      this.#remove(value);
      return true;
    }
    if (this.#command !== null && WITH_OPTIONS.has(name)) {
      const text = this.#tokens.text(value) ?? '';
      const cuts = text.includes('=') ? secretsInOptions(text, harmless ?? harmlessInOptions(text), this.#reader) : [];
      if (cuts.length > 0) this.#replace(value, cutOut(text, cuts, this.#reader.mark), cuts);
      return cuts.length > 0;
    }
    const isLine = (found & NameClass.Line) !== 0 || (isArgument && this.#class.runsLine && name !== 'cpu-index');
    if (isLine) this.#visitLine(value);
    return isLine;
  }

  #visitLine(token: number): void {
    const line = this.#tokens.text(token);
    if (line === null) return this.#removeUnreadable(token);
    const found = redactHmp(line, this.#reader);
    if (found === null) return;
    if (found.hidesAnswer) this.hidesAnswer = true;
    if (found.cuts.length > 0) this.#replace(token, found.text, found.cuts);
  }

  /** @returns whether properties were found in it that hold secrets */
  #visitHmpAnswer(token: number): boolean {
    const text = this.#tokens.text(token);
    if (text === null || this.#repeats(text) || this.#removals.count > MOST_REMOVALS) return false;
    const properties = secretsInHmpAnswer(text);
    if (properties.length === 0) return false;
    const cuts = [...properties, ...secretsInText(text, this.#reader)];
    this.#replace(token, cutOut(text, cuts, this.#reader.mark), cuts);
    return true;
  }

  #visitText(token: number): void {
    const length = this.#tokens.end(token) - this.#tokens.start(token);
    if (length < SHORTEST_TEXT && this.#options.echoes.length === 0) return;
    const text = this.#tokens.text(token);
    if (text === null) {
      // Not decoded, but searched.
      if (
        maySecretsBeIn(this.#raw.subarray(this.#tokens.start(token), this.#tokens.end(token)), this.#options.userWords)
      )
        this.#removeUnreadable(token);
      return;
    }
    if (this.#repeats(text)) return this.#remove(token);
    if (this.#removals.count > MOST_REMOVALS) {
      if (mayHoldSecrets(text)) this.#remove(token);
      return;
    }
    const cuts = secretsInText(text, this.#reader);
    if (cuts.length > 0) this.#replace(token, cutOut(text, cuts, this.#reader.mark), cuts);
  }

  #repeats(text: string): boolean {
    return this.#options.echoes.some((echo) => (echo.length < SHORTEST_WITHIN ? text === echo : text.includes(echo)));
  }

  /** The id is the client's own, and is in all records of the command: it goes as a whole, where it holds or repeats a secret. */
  #walkId(): void {
    const id = this.#tokens.member(0, 'id');
    if (id < 0) return;
    const before = this.#removals.state;
    const { echoes } = this;
    this.#path.push('id');
    this.#walk(id);
    this.#path.length = 0;
    const isAdded = this.#removals.count > before.count;
    const hasSecret = isAdded || this.#isIdSuspect(id) || (before.count > 0 && this.#idRepeats(id, echoes));
    this.#removals.goBack(before);
    if (!hasSecret) return;
    this.#path.push('id');
    this.#remove(id);
    this.idMark = Buffer.from(JSON.stringify(this.#removals.lastText));
    this.#path.pop();
  }

  /** An id is nothing that QEMU acts on, so one that says `password=`, or has such words in a list, is not kept. */
  #isIdSuspect(id: number): boolean {
    const raw = this.#raw.subarray(this.#tokens.start(id), this.#tokens.end(this.#tokens.closeOf(id)));
    return (this.#tokens.closeOf(id) > id || !isPlainId(raw)) && maySecretsBeIn(raw, this.#options.userWords);
  }

  /** @param echoes null when there are too many to look for */
  #idRepeats(id: number, echoes: readonly string[] | null): boolean {
    const last = this.#tokens.closeOf(id);
    const length = this.#tokens.end(last) - this.#tokens.start(id);
    if (echoes === null || length > MOST_JUDGED) return true;
    for (let i = id; i <= last; i++) {
      const text = this.#tokens.isText(i) ? (this.#tokens.text(i) ?? '') : this.#tokens.spelling(i);
      if (echoes.some((echo) => (echo.length < SHORTEST_WITHIN ? text === echo : text.includes(echo)))) return true;
    }
    return false;
  }

  /** Looks into a JSON text within a text, with the rows that are for any command. */
  #nested(text: string): NestedSecrets | null {
    const raw = Buffer.from(text);
    const depth = this.#outerDepth + this.#frames.length;
    if (this.#level < MOST_LEVELS && this.#options.jsonTexts.left-- > 0) {
      const { forTexts } = this.#options;
      const inner = new MessageSearch(
        { ...this.#options, rules: forTexts, echoes: NONE, isAnswerSecret: false, idMark: null },
        this.#level + 1,
        depth,
      );
      const isRead = inner.message(raw);
      inner.release();
      if (isRead) {
        const found = inner.result();
        if (found === null) return null;
        if (inner.#removals.hasMoreValues) this.#removals.hasMoreValues = true;
        return { text: Buffer.from(found.bytes).toString(), paths: found.paths, values: inner.#removals.values };
      }
    }
    if (!maySecretsBeIn(raw, this.#options.userWords)) return null;
    return { text: this.#options.marks.withheld(raw), paths: ['*'], values: [text] };
  }

  /** Removes a whole value. */
  #remove(token: number): void {
    const last = this.#tokens.closeOf(token);
    for (let i = token; i <= last && !this.#removals.hasMoreValues; i++) {
      if (this.#tokens.isTooLong(i)) this.#removals.hasMoreValues = true;
      else if (this.#tokens.isText(i)) this.#removals.remember(this.#tokens.decoded(i));
      else if (this.#tokens.kind(i) === Token.Integer) this.#removals.remember(this.#tokens.spelling(i));
    }
    const start = this.#tokens.start(token);
    const end = this.#tokens.end(last);
    const text = this.#tokens.text(token);
    const mark =
      text === null ? this.#removals.markBytes(this.#raw.subarray(start, end)) : this.#removals.markText(text);
    this.#removals.note(this.#path, '');
    this.#removals.replace(start, end, mark);
  }

  /** Removes a text that is too long to be read. */
  #removeUnreadable(token: number): void {
    const start = this.#tokens.start(token);
    const end = this.#tokens.end(token);
    this.#removals.hasMoreValues = true;
    this.#removals.note(this.#path, '!*');
    this.#removals.replace(start, end, this.#options.marks.withheld(this.#raw.subarray(start, end)));
  }

  /** Replaces a text by one without the secrets that were cut out of it. */
  #replace(token: number, text: string, cuts: readonly Cut[]): void {
    for (const cut of cuts) {
      for (const value of cut.values) this.#removals.remember(value);
      for (const what of cut.what) this.#removals.note(this.#path, `!${what}`);
    }
    this.#removals.replace(this.#tokens.start(token), this.#tokens.end(token), text);
  }
}

const NONE: readonly string[] = [];
const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const EQUALS = 0x3d;
const COLON = 0x3a;

/** @returns whether an id is a number or one word, as programs choose them. */
function isPlainId(raw: Uint8Array): boolean {
  for (let at = 1; at < raw.length - 1; at++) {
    const byte = raw[at];
    if (byte === SPACE || byte === QUOTE || byte === BACKSLASH || byte === EQUALS || byte === COLON) return false;
  }
  return true;
}

/** The members to keep of an object that is about a property which is a secret: arguments of qom-set and qom-get. */
const PROPERTY_MEMBERS: ReadonlySet<string> = new Set(['path', 'property', 'type', 'description']);
/** Longer texts are not times. */
const LONGEST_TIME = 32;
