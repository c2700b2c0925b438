/**
 * The answer of query-qmp-schema, made usable: the commands with their arguments, the events, the types behind their
 * numbers; which values a command takes and which faults a value has. (docs/devel/qapi-code-gen, "Client JSON
 * Protocol introspection".)
 *
 * The schema is a list of entities that name each other, in circles too, so types are looked up by name when they are needed.
 * QEMU replaces the names of all but the built-in ones by numbers. Ranges of integers and defaults are not in the schema:
 * QEMU may refuse values that pass here, and it accepts values that do not pass only if it takes arguments unchecked
 * (`device_add`).
 */
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from './json/value.js';

/** A name of the schema's: a number in digits, `str`, `[str]`. Good for `Schema.type` of the same schema only. */
export type TypeName = string;

/** A JSON type, in the words of QEMU's error messages. */
export type ScalarName = 'string' | 'integer' | 'number' | 'boolean' | 'null';

export type SchemaType =
  | { readonly kind: 'scalar'; readonly scalar: ScalarName }
  /** Anything, as for `qom-set`'s `value`. */
  | { readonly kind: 'any' }
  | { readonly kind: 'enum'; readonly values: readonly EnumValue[] }
  | { readonly kind: 'array'; readonly element: TypeName }
  /** With `tag`, the value of that member decides about further members: those of `variants.get(value)`, or none. */
  | {
      readonly kind: 'object';
      readonly members: readonly SchemaMember[];
      readonly tag: string | null;
      readonly variants: ReadonlyMap<string, TypeName>;
    }
  /** One of several types, distinguished by the JSON type of the value. */
  | { readonly kind: 'alternate'; readonly types: readonly TypeName[] };

export interface EnumValue {
  readonly name: string;
  readonly features: readonly string[];
}

export interface SchemaMember {
  readonly name: string;
  readonly type: TypeName;
  readonly optional: boolean;
  /** Such as `deprecated` and `unstable`. */
  readonly features: readonly string[];
}

export interface SchemaCommand {
  readonly name: string;
  readonly arguments: TypeName;
  readonly returns: TypeName;
  /** Whether `exec-oob` may be used. */
  readonly allowsOob: boolean;
  readonly features: readonly string[];
}

export interface SchemaEvent {
  readonly name: string;
  readonly data: TypeName;
  readonly features: readonly string[];
}

/** Where in the arguments: names of members and indexes of arrays, outermost first. */
export type Path = readonly (string | number)[];

/** @returns the path as people write it, and QEMU's error messages do: `keys[0].data`. */
export function pathText(path: Path): string {
  return path
    .map((step, index) => (typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${step}`))
    .join('');
}

/** A fault in a value. `known` lists valid alternatives, for suggestions. */
export type Fault = { readonly path: Path } & (
  | { readonly kind: 'missing' }
  | { readonly kind: 'unexpected'; readonly known: readonly string[] }
  /** `expected` is a JSON type, or `alternate` for one of several. */
  | { readonly kind: 'type'; readonly expected: ScalarName | 'array' | 'object' | 'alternate' }
  | { readonly kind: 'value'; readonly value: string; readonly known: readonly string[] }
);

const ANYTHING: SchemaType = { kind: 'any' };
const INT64_MIN = -(2n ** 63n);
const UINT64_MAX = 2n ** 64n - 1n;
/** Deeper than any type nests but through itself. */
const DEEPEST = 100;

export class Schema {
  readonly commands: ReadonlyMap<string, SchemaCommand>;
  readonly events: ReadonlyMap<string, SchemaEvent>;
  readonly #entities: ReadonlyMap<string, JsonObject>;
  readonly #types = new Map<TypeName, SchemaType>();

  /**
   * @param answer the value that query-qmp-schema returned
   * @returns null if it is no such value. New parts that are not understood are left out or taken as `any`.
   */
  static read(answer: JsonValue): Schema | null {
    if (!isJsonArray(answer) || answer.length === 0) return null;
    const entities = new Map<string, JsonObject>();
    for (const entity of answer) {
      if (!isJsonObject(entity) || typeof entity['name'] !== 'string') return null;
      entities.set(entity['name'], entity);
    }
    return new Schema(entities);
  }

  private constructor(entities: ReadonlyMap<string, JsonObject>) {
    this.#entities = entities;
    const commands = new Map<string, SchemaCommand>();
    const events = new Map<string, SchemaEvent>();
    for (const [name, entity] of entities) {
      const features = stringsOf(entity['features']);
      const type = stringOf(entity['arg-type']);
      if (entity['meta-type'] === 'command') {
        const returns = stringOf(entity['ret-type']);
        commands.set(name, { name, arguments: type, returns, allowsOob: entity['allow-oob'] === true, features });
      } else if (entity['meta-type'] === 'event') events.set(name, { name, data: type, features });
    }
    this.commands = commands;
    this.events = events;
  }

  /** @returns the type of that name; `any` for a name that the schema does not explain. */
  type(name: TypeName): SchemaType {
    let type = this.#types.get(name);
    if (type === undefined) {
      const entity = this.#entities.get(name);
      type = entity === undefined ? ANYTHING : readType(entity);
      this.#types.set(name, type);
    }
    return type;
  }

  /**
   * All faults in the arguments of a command, in the order in which QEMU looks: the first is the one it
   * would report.
   * @param command must be of this schema
   */
  check(command: SchemaCommand, args: JsonObject): Fault[] {
    const faults: Fault[] = [];
    this.#check(this.type(command.arguments), args, [], faults);
    return faults;
  }

  /** @returns whether a value has no fault as one of this type. */
  accepts(type: SchemaType, value: JsonValue): boolean {
    const faults: Fault[] = [];
    this.#check(type, value, [], faults);
    return faults.length === 0;
  }

  /**
   * The members that an object of this type can have, given its present ones.
   * @param value decides about the variant, if the type has any; without a valid tag the members of all variants count
   */
  members(type: SchemaType, value: JsonValue | undefined): SchemaMember[] {
    return this.#membersOf(type, isJsonObject(value) ? value : {}, 0);
  }

  /**
   * The type at a place in a command's arguments.
   * @param args the arguments so far; they decide about variants on the way
   * @returns null if the path leads out of the schema
   */
  typeAt(command: SchemaCommand, path: Path, args: JsonObject): SchemaType | null {
    let type = this.type(command.arguments);
    let value: JsonValue | undefined = args;
    for (const step of path) {
      if (type.kind === 'any') return type;
      const next = this.#step(type, step, value);
      if (next === null) return null;
      type = this.type(next);
      value = child(value, step);
    }
    return type;
  }

  /** @returns the texts that a value of this type can be: those of enums and booleans, else none. */
  words(type: SchemaType): string[] {
    if (type.kind === 'enum') return type.values.map(({ name }) => name);
    if (type.kind === 'alternate') return [...new Set(type.types.flatMap((name) => this.words(this.type(name))))];
    return type.kind === 'scalar' && type.scalar === 'boolean' ? ['true', 'false'] : [];
  }

  /** @returns the type in a few words: `string`, `[integer]`, `enum`, `object`, `string | null`. */
  describe(type: SchemaType): string {
    if (type.kind === 'scalar') return type.scalar;
    if (type.kind === 'array') return `[${this.describe(this.type(type.element))}]`;
    if (type.kind !== 'alternate') return type.kind;
    return [...new Set(type.types.map((name) => this.describe(this.type(name))))].join(' | ');
  }

  #step(type: SchemaType, step: string | number, value: JsonValue | undefined): TypeName | null {
    if (type.kind === 'array') return typeof step === 'number' ? type.element : null;
    if (type.kind === 'alternate') {
      for (const name of type.types) {
        const found = this.#step(this.type(name), step, value);
        if (found !== null) return found;
      }
      return null;
    }
    return this.members(type, value).find(({ name }) => name === step)?.type ?? null;
  }

  #membersOf(type: SchemaType, value: JsonObject, depth: number): SchemaMember[] {
    if (depth > DEEPEST) return [];
    if (type.kind === 'alternate')
      return type.types.flatMap((name) => this.#membersOf(this.type(name), value, depth + 1));
    if (type.kind !== 'object') return [];
    if (type.tag === null) return [...type.members];
    const chosen = value[type.tag];
    const isChosen = typeof chosen === 'string' && this.#hasTag(type, chosen);
    const names = isChosen ? [type.variants.get(chosen)] : [...type.variants.values()];
    const members = new Map(type.members.map((member) => [member.name, member]));
    for (const name of names) {
      if (name === undefined) continue;
      for (const member of this.#membersOf(this.type(name), value, depth + 1)) {
        if (!members.has(member.name)) members.set(member.name, member);
      }
    }
    return [...members.values()];
  }

  /** Not every value of the tag's enum has a variant: some add no members. */
  #hasTag(type: SchemaType & { kind: 'object' }, value: string): boolean {
    const tag = type.members.find(({ name }) => name === type.tag);
    return type.variants.has(value) || (tag !== undefined && this.words(this.type(tag.type)).includes(value));
  }

  #check(type: SchemaType, value: JsonValue, path: Path, faults: Fault[]): void {
    switch (type.kind) {
      case 'any':
        return;
      case 'scalar':
        if (!isScalar(type.scalar, value)) faults.push({ path, kind: 'type', expected: type.scalar });
        return;
      case 'enum':
        if (typeof value !== 'string') faults.push({ path, kind: 'type', expected: 'string' });
        else if (!type.values.some(({ name }) => name === value)) {
          faults.push({ path, kind: 'value', value, known: this.words(type) });
        }
        return;
      case 'array':
        if (!isJsonArray(value)) faults.push({ path, kind: 'type', expected: 'array' });
        else
          for (const [index, item] of value.entries())
            this.#check(this.type(type.element), item, [...path, index], faults);
        return;
      case 'alternate': {
        const branch = type.types.map((name) => this.type(name)).find((candidate) => this.#takes(candidate, value));
        if (branch === undefined) faults.push({ path, kind: 'type', expected: 'alternate' });
        else this.#check(branch, value, path, faults);
        return;
      }
      case 'object':
        if (isJsonObject(value)) this.#checkObject(type, value, path, faults);
        else faults.push({ path, kind: 'type', expected: 'object' });
    }
  }

  #checkObject(type: SchemaType & { kind: 'object' }, value: JsonObject, path: Path, faults: Fault[]): void {
    const tag = type.tag === null ? null : value[type.tag];
    const isTagGood = type.tag === null || (typeof tag === 'string' && this.#hasTag(type, tag));
    // Without a good tag nobody can say which other members belong here; QEMU stops at the tag.
    const members = isTagGood ? this.members(type, value) : type.members;
    for (const { name, type: memberType, optional } of members) {
      const member = Object.hasOwn(value, name) ? value[name] : undefined;
      if (member !== undefined) this.#check(this.type(memberType), member, [...path, name], faults);
      else if (!optional) faults.push({ path: [...path, name], kind: 'missing' });
    }
    if (!isTagGood) return;
    const known = members.map(({ name }) => name);
    for (const name of Object.keys(value)) {
      if (value[name] !== undefined && !known.includes(name))
        faults.push({ path: [...path, name], kind: 'unexpected', known });
    }
  }

  /** Whether an alternate's branch is the one for a value of this JSON type. */
  #takes(type: SchemaType, value: JsonValue): boolean {
    if (type.kind === 'object') return isJsonObject(value);
    if (type.kind === 'array') return isJsonArray(value);
    if (type.kind === 'enum') return typeof value === 'string';
    return type.kind === 'any' || (type.kind === 'scalar' && isScalar(type.scalar, value));
  }
}

function isScalar(scalar: ScalarName, value: JsonValue): boolean {
  switch (scalar) {
    case 'integer':
      return typeof value === 'bigint' ? value >= INT64_MIN && value <= UINT64_MAX : Number.isInteger(value);
    case 'number':
      return typeof value === 'number' || typeof value === 'bigint';
    case 'null':
      return value === null;
    case 'string':
    case 'boolean':
      return typeof value === scalar;
  }
}

function child(value: JsonValue | undefined, step: string | number): JsonValue | undefined {
  if (typeof step === 'number') return isJsonArray(value) ? value[step] : undefined;
  return isJsonObject(value) && Object.hasOwn(value, step) ? value[step] : undefined;
}

function readType(entity: JsonObject): SchemaType {
  switch (stringOf(entity['meta-type'])) {
    case 'builtin':
      return readBuiltin(entity['json-type']);
    case 'array':
      return { kind: 'array', element: stringOf(entity['element-type']) };
    case 'enum': {
      // Before QEMU 6.2 there were only `values`.
      const members = objectsOf(entity['members']);
      const values = members.map((member) => ({
        name: stringOf(member['name']),
        features: stringsOf(member['features']),
      }));
      return {
        kind: 'enum',
        values: values.length > 0 ? values : stringsOf(entity['values']).map((name) => ({ name, features: [] })),
      };
    }
    case 'alternate':
      return { kind: 'alternate', types: objectsOf(entity['members']).map((member) => stringOf(member['type'])) };
    case 'object':
      return {
        kind: 'object',
        members: objectsOf(entity['members']).map((member) => ({
          name: stringOf(member['name']),
          type: stringOf(member['type']),
          optional: 'default' in member,
          features: stringsOf(member['features']),
        })),
        tag: typeof entity['tag'] === 'string' ? entity['tag'] : null,
        variants: new Map(
          objectsOf(entity['variants']).map((variant) => [stringOf(variant['case']), stringOf(variant['type'])]),
        ),
      };
    default:
      return ANYTHING;
  }
}

function readBuiltin(jsonType: JsonValue | undefined): SchemaType {
  if (jsonType === 'int') return { kind: 'scalar', scalar: 'integer' };
  if (jsonType === 'string' || jsonType === 'number' || jsonType === 'boolean' || jsonType === 'null') {
    return { kind: 'scalar', scalar: jsonType };
  }
  return ANYTHING;
}

function stringOf(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

function stringsOf(value: JsonValue | undefined): string[] {
  return isJsonArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function objectsOf(value: JsonValue | undefined): JsonObject[] {
  return isJsonArray(value) ? value.filter(isJsonObject) : [];
}
