/**
 * Commands as people type them, in the syntax of qmp-shell (python/qemu/qmp/qmp_shell.py in QEMU's tree):
 *
 *     query-status
 *     device_add driver=virtio-blk-pci id=disk1 drive=node0
 *     blockdev-add driver=qcow2 node-name=d file.driver=file file.filename=/d.qcow2 cache={'direct':true}
 *     transaction( blockdev-snapshot-sync … )      also over several lines, one action a line, up to a line with `)`
 *
 * Input that works there works here, with the same meaning, except where qmp-shell's reading is useless: a value in quotes is text
 * without the quotes; a quote that is not closed is an error; blanks inside `{…}` and `[…]` are fine; dotted keys always count
 * from the top, while qmp-shell goes on below the one before.
 * With a schema, a word takes the type that the argument has: text where text belongs, though it looks like a number (`id=5`),
 * a fraction where a number belongs; and `{…}` that cannot be read is an error where no text belongs. Without a schema, words
 * are integers, booleans or text, as in qmp-shell.
 *
 * A value `@FILE` is the text of a file, for secrets, where the caller reads files; `@@` begins a text with an @.
 *
 * No I/O and no state but the lines of an open transaction. Malformed input is a value.
 */

import { formatJson, isJsonObject, type JsonObject, type JsonValue } from '../../qmp/json/value.js';
import type { Path, Schema, SchemaCommand } from '../../qmp/schema.js';
import { parseInteger, parseLiteral } from './literal.js';

/** A line that was read. */
export type ParsedLine =
  /** Nothing but blanks. */
  | { readonly kind: 'empty' }
  | { readonly kind: 'command'; readonly name: string; readonly arguments: JsonObject }
  /** A command in JSON, as it was typed. */
  | { readonly kind: 'json'; readonly text: string }
  /** An action of a transaction that is not closed yet, or its beginning. */
  | { readonly kind: 'action' }
  /** `message` names the fault and its place; nothing was taken from the line. */
  | { readonly kind: 'malformed'; readonly message: string };

/** A piece of a line between blanks. `start` is its offset. */
interface Word {
  readonly text: string;
  readonly start: number;
}

interface Action {
  readonly [name: string]: JsonValue;
  readonly type: string;
  readonly data: JsonObject;
}

/** @returns the command as QMP's JSON. `oob` for `exec-oob`. */
export function commandText(name: string, args: JsonObject, oob = false): string {
  const hasArguments = Object.keys(args).length > 0;
  return formatJson({ [oob ? 'exec-oob' : 'execute']: name, ...(hasArguments ? { arguments: args } : {}) });
}

/** A transaction is all or nothing. */
const SPOILED = 'the transaction was not sent, because an action in it is wrong; begin again with transaction(';

/** Reads a value `@NAME`: the text of a file, or its fault. */
export type ReadValue = (name: string) => { readonly problem: string | null; readonly text: string };

/** A word that a script meant to fill in is no command. */
const NAMELESS = 'the name of the command is empty';

/** Reads lines one after another; a transaction may take several. */
export class ShellLineReader {
  /** The schema of the server's commands; null when it could not be asked. */
  schema: Schema | null;
  #actions: Action[] | null = null;
  /** Whether an action of the open transaction was wrong. It is all or nothing. */
  #isSpoiled = false;

  readonly #readValue: ReadValue | null;

  /** @param readValue for values `@NAME`, which are text like any other where this is null */
  constructor(schema: Schema | null = null, readValue: ReadValue | null = null) {
    this.schema = schema;
    this.#readValue = readValue;
  }

  /** Whether a transaction is open: the next line is an action of it, or closes it. */
  get inTransaction(): boolean {
    return this.#actions !== null;
  }

  /** The actions of the open transaction so far. */
  get actions(): readonly JsonObject[] {
    return this.#actions ?? [];
  }

  /** Forgets an open transaction. */
  abandon(): void {
    this.#actions = null;
    this.#isSpoiled = false;
  }

  /** The last action of the open transaction is wrong: nothing of it can be sent any more. */
  spoil(): void {
    this.#isSpoiled = true;
  }

  readLine(line: string): ParsedLine {
    if (this.#actions === null && line.trimStart().startsWith('{')) return { kind: 'json', text: line.trim() };
    const words = splitLine(line);
    return typeof words === 'string'
      ? { kind: 'malformed', message: words }
      : this.readWords(words.map(({ text }) => text));
  }

  /** As `readLine`, for a line that a shell has split into words: blanks in them are part of them. */
  readWords(words: readonly string[]): ParsedLine {
    const [first = ''] = words;
    if (this.#actions === null && words.length === 1 && first.startsWith('{')) return { kind: 'json', text: first };
    const rest = [...words];
    let actions = this.#actions;
    if (rest[0] === 'transaction(') {
      rest.shift();
      actions = [];
    }
    if (actions !== null) return this.#readAction(actions, rest);
    const name = rest.shift();
    if (name === undefined) return { kind: 'empty' };
    if (name.trim() === '') return { kind: 'malformed', message: NAMELESS };
    const args = this.#arguments(name, [], {}, rest);
    return typeof args === 'string' ? { kind: 'malformed', message: args } : { kind: 'command', name, arguments: args };
  }

  #readAction(actions: Action[], words: string[]): ParsedLine {
    if (words[0] === ')') {
      if (words.length > 1)
        return { kind: 'malformed', message: 'something follows the ) that closes the transaction' };
      return this.#close(actions);
    }
    const closes = words.at(-1) === ')';
    if (closes) words.pop();
    const type = words.shift();
    if (type?.trim() === '') return this.#wrongAction(actions, closes, NAMELESS);
    if (type !== undefined) {
      const before = { actions: [...actions, { type, data: {} }] };
      const data = this.#arguments('transaction', ['actions', actions.length, 'data'], before, words);
      if (typeof data === 'string') return this.#wrongAction(actions, closes, data);
      actions.push({ type, data });
    }
    if (closes) return this.#close(actions);
    this.#actions = actions;
    return { kind: 'action' };
  }

  #close(actions: readonly Action[]): ParsedLine {
    const isSpoiled = this.#isSpoiled;
    this.abandon();
    return isSpoiled
      ? { kind: 'malformed', message: SPOILED }
      : { kind: 'command', name: 'transaction', arguments: { actions } };
  }

  /** The transaction stays open, because the next lines belong to it. */
  #wrongAction(actions: Action[], closes: boolean, message: string): ParsedLine {
    this.#actions = closes ? null : actions;
    this.#isSpoiled = !closes;
    return { kind: 'malformed', message };
  }

  /**
   * Reads `key=value` words.
   * @param above where they belong in the arguments of the command
   * @param around all arguments of the command, for the types in variants
   * @returns the arguments, or the fault
   */
  #arguments(name: string, above: Path, around: JsonObject, words: readonly string[]): JsonObject | string {
    const command = this.schema?.commands.get(name);
    const root: Branch = new Map();
    for (const word of words) {
      const equals = word.indexOf('=');
      if (equals < 0) return `arguments are written KEY=VALUE, but ${JSON.stringify(word)} has no =`;
      const key = word.slice(0, equals);
      const steps = key.split('.');
      if (steps.includes('')) return `there is no name in ${JSON.stringify(word)} before a dot or the =`;
      const last = steps.pop() ?? '';
      let branch = root;
      for (const [index, step] of steps.entries()) {
        const next = branch.get(step) ?? new Map<string, Leaf | Branch>();
        if (!(next instanceof Map))
          return `${JSON.stringify(steps.slice(0, index + 1).join('.'))} has both a value and members`;
        branch.set(step, next);
        branch = next;
      }
      const there = branch.get(last);
      if (there instanceof Map) return `${JSON.stringify(key)} has members, and a value too`;
      if (there !== undefined) return `${JSON.stringify(key)} is set twice`;
      const value = this.#value(word.slice(equals + 1), command, [...above, ...steps, last], () =>
        inserted(around, above, objectOf(root)),
      );
      if (value.problem !== null) return `${key}: ${value.problem}`;
      // Members can be added to an object that was given as one.
      branch.set(last, isJsonObject(value.value) ? branchOf(value.value) : { value: value.value });
    }
    return objectOf(root);
  }

  #value(text: string, command: SchemaCommand | undefined, path: Path, around: () => JsonObject): Value {
    if (this.#readValue !== null && text.startsWith('@')) {
      if (text.startsWith('@@')) return { problem: null, value: text.slice(1) };
      const { problem, text: value } = this.#readValue(text.slice(1));
      return { problem, value };
    }
    if (/^(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')$/s.test(text)) {
      const literal = parseLiteral(text);
      return literal.ok ? { problem: null, value: literal.value } : { problem: literal.reason, value: null };
    }
    const plain = plainValue(text);
    const type = command === undefined ? null : (this.schema?.typeAt(command, path, around()) ?? null);
    if (type === null || type.kind === 'any') return { problem: null, value: plain.value };
    const isStructure = /^[{[]/.test(text);
    const isText = type.kind === 'enum' || (type.kind === 'scalar' && type.scalar === 'string');
    // Where both an object and a name are allowed, as for a node, braces mean the object.
    const readings = [plain.value, ...otherReadings(text), ...(isStructure && !isText ? [] : [text])];
    const fitting =
      plain.problem === null || isText ? readings.find((value) => this.schema?.accepts(type, value)) : undefined;
    if (fitting !== undefined) return { problem: null, value: fitting };
    // A value that fits nowhere is left to the check against the schema, which names valid ones.
    return { problem: isText ? null : plain.problem, value: plain.value };
  }
}

interface Value {
  /** The fault in `{…}` or `[…]`; null for all else. */
  readonly problem: string | null;
  readonly value: JsonValue;
}

interface Leaf {
  readonly value: JsonValue;
}
type Branch = Map<string, Leaf | Branch>;

/** The value that qmp-shell reads from a word. */
function plainValue(text: string): Value {
  const integer = parseInteger(text.trim());
  if (integer !== null) return { problem: null, value: integer };
  if (/^true$/i.test(text)) return { problem: null, value: true };
  if (/^false$/i.test(text)) return { problem: null, value: false };
  if (!/^[{[]/.test(text)) return { problem: null, value: text };
  const literal = parseLiteral(text);
  return literal.ok
    ? { problem: null, value: literal.value }
    : { problem: `${literal.reason}, at ${JSON.stringify(text.slice(literal.at, literal.at + 20))}`, value: text };
}

/** Other readings of a word, where the schema asks for them. */
function otherReadings(text: string): JsonValue[] {
  if (text === 'null') return [null];
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text) && Number.isFinite(Number(text))
    ? [Number(text)]
    : [];
}

function branchOf(object: JsonObject): Branch {
  return new Map(
    Object.entries(object).map(([name, value]) => [name, isJsonObject(value) ? branchOf(value) : { value }]),
  );
}

function objectOf(branch: Branch): JsonObject {
  return Object.fromEntries(
    [...branch].map(([name, node]) => [name, node instanceof Map ? objectOf(node) : node.value]),
  );
}

/** `around` with `value` at `path`, which exists in it. */
function inserted(around: JsonObject, path: Path, value: JsonObject): JsonObject {
  const put = (there: JsonValue | undefined, depth: number): JsonValue => {
    const step = path[depth];
    if (step === undefined) return value;
    if (typeof step === 'number') {
      return Array.isArray(there)
        ? there.map((item: JsonValue, index) => (index === step ? put(item, depth + 1) : item))
        : [];
    }
    return isJsonObject(there) ? { ...there, [step]: put(there[step], depth + 1) } : {};
  };
  const whole = put(around, 0);
  return isJsonObject(whole) ? whole : {};
}

/** @returns the words of a line, or its fault. */
export function splitLine(line: string): Word[] | string {
  const words: Word[] = [];
  let at = 0;
  for (;;) {
    while (at < line.length && isBlank(line, at)) at++;
    if (at === line.length) return words;
    const start = at;
    while (at < line.length && !isBlank(line, at)) {
      const isValue =
        line[at - 1] === '=' && (line[at] === '{' || line[at] === '[') && !line.slice(start, at - 1).includes('=');
      const next = isValue ? bracketEnd(line, at) : pieceEnd(line, at);
      if (next < 0) return `the quote ${line[at]} is not closed: ${line.slice(at, at + 20)}`;
      at = next;
    }
    words.push({ text: line.slice(start, at), start });
  }
}

/** The end of a quoted piece, or of one character. -1 for a quote that is not closed. */
function pieceEnd(line: string, from: number): number {
  const quote = line[from];
  if (quote !== '"' && quote !== "'") return from + 1;
  for (let at = from + 1; at < line.length; at++) {
    if (line[at] === '\\') at++;
    else if (line[at] === quote) return at + 1;
  }
  return -1;
}

/** The end of `{…}` or `[…]` with all that is inside; where it has none, or no blank follows, the first character is a piece. */
function bracketEnd(line: string, from: number): number {
  let depth = 0;
  for (let at = from; at < line.length; ) {
    if (line[at] === '{' || line[at] === '[') depth++;
    else if ((line[at] === '}' || line[at] === ']') && --depth === 0) {
      return at + 1 === line.length || isBlank(line, at + 1) ? at + 1 : from + 1;
    }
    const next = pieceEnd(line, at);
    if (next < 0) break;
    at = next;
  }
  return from + 1;
}

function isBlank(line: string, at: number): boolean {
  return /\s/.test(line[at] ?? '');
}
