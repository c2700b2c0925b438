/**
 * The answers of a real QEMU to `test/support/qemu/record-replies.ts`. The file is read when the first simulated monitor is
 * made, so that nothing else pays for it.
 */
import { readFileSync } from 'node:fs';
import {
  formatJson,
  isJsonArray,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  parseJson,
} from '../qmp/json/value.js';
import { Schema } from '../qmp/schema.js';

/** A reply without its id: QEMU's JSON text of `return`'s value, or an error. */
type RecordedReply =
  | { readonly kind: 'return'; readonly value: string }
  | { readonly kind: 'error'; readonly class: string; readonly desc: string };

export class Recording {
  /** `QMP.version` of the greeting. */
  readonly version: JsonObject;
  /** The answer to query-qmp-schema. */
  readonly schema: Schema;
  /** The output of HMP commands, by command line. */
  readonly hmp: ReadonlyMap<string, string>;
  readonly #replies = new Map<string, RecordedReply>();

  static #shared: Recording | null = null;

  /** @returns the recording that comes with the package. */
  static load(): Recording {
    Recording.#shared ??= new Recording(readFileSync(new URL('./recorded-replies.json', import.meta.url), 'utf8'));
    return Recording.#shared;
  }

  private constructor(text: string) {
    const file = parseJson(text);
    if (!file.ok) throw new Error(`recorded-replies.json: ${file.reason}`);
    const { greeting, replies, hmp } = objectOf(file.value);
    this.version = objectOf(objectOf(objectOf(greeting)['QMP'])['version']);
    this.hmp = new Map(Object.entries(objectOf(hmp)).map(([line, output]) => [line, stringOf(output)]));
    let schema: Schema | null = null;
    for (const reply of listOf(replies).map(objectOf)) {
      const { execute, arguments: args, return: value, error } = reply;
      if (execute === 'query-qmp-schema') schema = Schema.read(listOf(value));
      this.#replies.set(
        key(stringOf(execute), args),
        value === undefined
          ? { kind: 'error', class: stringOf(objectOf(error)['class']), desc: stringOf(objectOf(error)['desc']) }
          : { kind: 'return', value: formatJson(value, 'qemu') },
      );
    }
    if (schema === null) throw new Error('recorded-replies.json: query-qmp-schema is missing');
    this.schema = schema;
  }

  /** @returns QEMU's answer to just this command, or undefined if it was not asked. */
  reply(name: string, args: JsonObject): RecordedReply | undefined {
    return this.#replies.get(key(name, args));
  }
}

/** The same for the same arguments, in whatever order; none and empty ones are the same. */
function key(name: string, args: JsonValue | undefined): string {
  const members = Object.entries(isJsonObject(args) ? args : {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${name} ${formatJson(Object.fromEntries(members))}`;
}

function objectOf(value: JsonValue | undefined): JsonObject {
  if (!isJsonObject(value)) throw new Error('recorded-replies.json: an object is missing');
  return value;
}

function listOf(value: JsonValue | undefined): readonly JsonValue[] {
  if (!isJsonArray(value)) throw new Error('recorded-replies.json: a list is missing');
  return value;
}

function stringOf(value: JsonValue | undefined): string {
  if (typeof value !== 'string') throw new Error('recorded-replies.json: a string is missing');
  return value;
}
