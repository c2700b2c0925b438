/**
 * The possible next words in a line of command-syntax.ts: names of commands, names of arguments at a dotted path, the words that a value
 * can be. Where the schema does not know the words (names of devices, paths in the object tree), the kind of word is returned, so that the
 * caller can ask the VM.
 */

import type { JsonObject, JsonValue } from '../../qmp/json/value.js';
import type { Path, Schema, SchemaMember, SchemaType } from '../../qmp/schema.js';
import { ShellLineReader, splitLine } from './command-syntax.js';

export interface Completion {
  /** The beginning of the word being typed, which is replaced up to the cursor: an offset into the line. */
  readonly from: number;
  /** The words possible there, whole and in order (required ones first), only those that begin with the typed part. */
  readonly candidates: readonly Candidate[];
  readonly context: CompletionContext;
}

export interface Candidate {
  readonly text: string;
  /** Whether the word continues after it: it ends with `=` or a dot. */
  readonly goesOn: boolean;
  /** Whether the command is refused without it. */
  readonly isRequired?: true;
}

type CompletionContext =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'command' }
  /** `arguments` are those that are there already: in a transaction, the action's. */
  | { readonly kind: 'argument'; readonly command: string; readonly arguments: JsonObject }
  /** `type` is null where the schema does not lead. `path` is that of the argument in the command's arguments. */
  | {
      readonly kind: 'value';
      readonly command: string;
      readonly path: Path;
      readonly type: SchemaType | null;
      readonly text: string;
      readonly arguments: JsonObject;
    };

const NO_CONTEXT = { kind: 'nothing' } as const;

/**
 * @param line the typed text
 * @param cursor an offset into it; text after it does not count
 * @param actions of an open transaction, or null
 */
export function complete(
  schema: Schema,
  line: string,
  cursor: number,
  actions: readonly JsonObject[] | null = null,
): Completion {
  const typed = line.slice(0, cursor);
  const words = splitLine(typed);
  if (typeof words === 'string') return { from: cursor, candidates: [], context: NO_CONTEXT };
  const isNewWord = typed === '' || /\s$/.test(typed);
  const current = isNewWord ? { text: '', start: cursor } : (words.pop() ?? { text: '', start: cursor });
  const before = words.map(({ text }) => text);
  const opens = before[0] === 'transaction(';
  if (opens) before.shift();
  if (opens || actions !== null) return completeAction(schema, opens ? [] : (actions ?? []), before, current);
  const [name, ...rest] = before;
  if (name === undefined) {
    if (current.text.startsWith('{')) return { from: cursor, candidates: [], context: NO_CONTEXT };
    const names = [...schema.commands.keys(), 'transaction('].sort();
    return { from: current.start, candidates: wholeWords(names, current.text), context: { kind: 'command' } };
  }
  return completeArgument({ schema, command: name, above: [], around: (args) => args }, rest, current);
}

/** In a transaction, the names are those of actions, and the arguments those of the action's data. */
function completeAction(
  schema: Schema,
  actions: readonly JsonObject[],
  before: readonly string[],
  current: { readonly text: string; readonly start: number },
): Completion {
  const transaction = schema.commands.get('transaction');
  const [type, ...rest] = before;
  if (type === undefined) {
    const tag = transaction === undefined ? null : schema.typeAt(transaction, ['actions', 0, 'type'], {});
    const names = tag === null ? [] : [...schema.words(tag), ')'].sort();
    return { from: current.start, candidates: wholeWords(names, current.text), context: { kind: 'command' } };
  }
  const above = ['actions', actions.length, 'data'];
  const around = (data: JsonObject): JsonObject => ({ actions: [...actions, { type, data }] });
  return completeArgument({ schema, command: 'transaction', above, around }, rest, current);
}

/** Where the arguments that are being typed belong. */
interface Place {
  readonly schema: Schema;
  readonly command: string;
  readonly above: Path;
  readonly around: (args: JsonObject) => JsonObject;
}

function completeArgument(
  { schema, command: name, above, around }: Place,
  before: readonly string[],
  current: { readonly text: string; readonly start: number },
): Completion {
  const command = schema.commands.get(name);
  const there = argumentsOf(schema, name, before);
  const { text, start } = current;
  const equals = text.indexOf('=');
  const steps = (equals < 0 ? text : text.slice(0, equals)).split('.');
  if (equals >= 0) {
    const path = [...above, ...steps];
    const type = command === undefined ? null : schema.typeAt(command, path, around(there));
    const value = text.slice(equals + 1);
    return {
      from: start + equals + 1,
      candidates: type === null ? [] : wholeWords(schema.words(type), value),
      context: { kind: 'value', command: name, path, type, text: value, arguments: there },
    };
  }
  const partial = steps.pop() ?? '';
  const context = { kind: 'argument', command: name, arguments: there } as const;
  const from = start + text.length - partial.length;
  const type = command === undefined ? null : schema.typeAt(command, [...above, ...steps], around(there));
  if (type === null) return { from, candidates: [], context };
  const siblings = steps.reduce<JsonValue | undefined>((value, step) => memberOf(value, step), there);
  const candidates = membersAt(schema, type, siblings, partial)
    .filter((member) => member.name.startsWith(partial) && !isSet(siblings, member.name))
    .flatMap((member) => {
      const isRequired = !member.optional && memberOf(siblings, member.name) === undefined;
      return endings(schema, schema.type(member.type)).map(
        (end): Candidate => ({ text: member.name + end, goesOn: true, ...(isRequired && { isRequired }) }),
      );
    });
  return { from, candidates: candidates.sort(byNeed), context };
}

/**
 * While the member that decides about others has no value (`driver` of a block device), those others are more than anyone would read:
 * they are offered only once the beginning of one is typed.
 */
function membersAt(
  schema: Schema,
  type: SchemaType,
  siblings: JsonValue | undefined,
  partial: string,
): readonly SchemaMember[] {
  const all = schema.members(type, siblings);
  const types = type.kind === 'alternate' ? type.types.map((name) => schema.type(name)) : [type];
  const object = types.find((each) => each.kind === 'object');
  if (object === undefined || object.tag === null || memberOf(siblings, object.tag) !== undefined) return all;
  return object.members.some(({ name }) => name.startsWith(partial)) ? object.members : all;
}

/** Required ones come first. */
function byNeed(one: Candidate, other: Candidate): number {
  if (one.isRequired !== other.isRequired) return one.isRequired === true ? -1 : 1;
  return one.text < other.text ? -1 : 1;
}

/** An object's members are reached by a dot; whatever is no object, or can be none, is set by `=`. */
function endings(schema: Schema, type: SchemaType): string[] {
  const isObject = type.kind === 'object';
  const canBeObject = type.kind === 'alternate' && type.types.some((name) => schema.type(name).kind === 'object');
  return [...(isObject || canBeObject ? ['.'] : []), ...(isObject ? [] : ['='])];
}

/** The arguments in the words before, as far as they can be read. */
function argumentsOf(schema: Schema, name: string, words: readonly string[]): JsonObject {
  let readable: string[] = [];
  let args: JsonObject = {};
  const reader = new ShellLineReader(schema);
  for (const word of words) {
    const parsed = reader.readWords([name, ...readable, word]);
    if (parsed.kind !== 'command') continue;
    readable = [...readable, word];
    args = parsed.arguments;
  }
  return args;
}

function memberOf(value: JsonValue | undefined, name: string): JsonValue | undefined {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined;
}

/** An object that is there can get further members; anything else is complete. */
function isSet(siblings: JsonValue | undefined, name: string): boolean {
  const value = memberOf(siblings, name);
  return value !== undefined && (typeof value !== 'object' || value === null || Array.isArray(value));
}

function wholeWords(words: readonly string[], beginning: string): Candidate[] {
  return words.filter((word) => word.startsWith(beginning)).map((text) => ({ text, goesOn: false }));
}
