/**
 * `help COMMAND`: the schema's entry for a command or an event, laid out for people. QEMU's schema has types but no prose, so this has none
 * either.
 */

import { isJsonObject, type JsonObject, type JsonValue } from '../../qmp/json/value.js';
import type { Schema, SchemaMember, SchemaType } from '../../qmp/schema.js';

/**
 * The depth to which members of members are shown; deeper ones are reached with arguments: `help blockdev-add driver=qcow2
 * file.driver=nbd`.
 */
const DEEPEST_MEMBERS = 3;
/** Up to this many members of a type are listed inside another; of a larger type only its name. */
const MOST_MEMBERS_WITHIN = 30;
const NARROWEST_COLUMNS = 40;

interface Row {
  readonly name: string;
  readonly what: string;
}

/**
 * @param args decide about members that depend on others: those of a qcow2, with `{ driver: 'qcow2' }`
 * @param width columns
 * @returns null for a name that is neither a command nor an event
 */
export function commandHelp(schema: Schema, name: string, args: JsonObject = {}, width = 80): string | null {
  const columns = Math.max(width, NARROWEST_COLUMNS);
  const command = schema.commands.get(name);
  const event = schema.events.get(name);
  if (command === undefined && event === undefined) return null;
  if (command === undefined) {
    const rows = event === undefined ? [] : rowsOf(schema, schema.type(event.data), args);
    const title = `event ${name}${featureText(event?.features ?? [])}`;
    return [title, ...section('Data:', rows, columns)].join('\n');
  }
  const type = schema.type(command.arguments);
  const rows = rowsOf(schema, type, args);
  const returns = schema.type(command.returns);
  const returned = rowsOf(schema, elementOf(schema, returns), {});
  const notes = [
    ...(command.features.includes('deprecated') ? ['Deprecated.'] : []),
    ...(command.features.includes('unstable') ? ['Unstable: it may change or go away.'] : []),
    ...(command.allowsOob ? ['May be executed out-of-band, by {"exec-oob": …}.'] : []),
  ];
  return [
    usage(schema, name, type, args, columns),
    ...section('', rows, columns),
    ...openTags(schema, name, type, args),
    ...section(returns.kind === 'array' ? 'Returns a list of objects with:' : 'Returns:', returned, columns),
    ...(returned.length === 0 && !isNothing(schema, returns) ? ['', `Returns ${schema.describe(returns)}.`] : []),
    ...(notes.length === 0 ? [] : ['', ...notes]),
  ].join('\n');
}

/** The names of all commands, each with its arguments, one a line. */
export function commandList(schema: Schema, width = 80): string {
  return [...schema.commands.keys()]
    .sort()
    .map((name) => clip(usage(schema, name, schema.type(schema.commands.get(name)?.arguments ?? ''), {}, width), width))
    .join('\n');
}

/** `name required=integer [optional=string]`; arguments that do not fit in a line are left out. */
function usage(schema: Schema, name: string, type: SchemaType, args: JsonObject, width: number): string {
  const members = membersOf(schema, type, args);
  const words = members.map((member) => {
    const text = `${member.name}=${schema.describe(schema.type(member.type)).toUpperCase()}`;
    return { text: member.optional ? `[${text}]` : text, optional: member.optional };
  });
  const full = [name, ...words.map(({ text }) => text)].join(' ');
  if (full.length <= width) return full;
  return [name, ...words.filter(({ optional }) => !optional).map(({ text }) => text), '[KEY=VALUE…]'].join(' ');
}

function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

function section(title: string, rows: readonly Row[], width: number): string[] {
  if (rows.length === 0) return [];
  const longest = Math.min(Math.max(...rows.map(({ name }) => name.length)), Math.floor(width / 2));
  const indent = ' '.repeat(longest + 4);
  const lines = rows.flatMap(({ name, what }) => {
    const [first = '', ...rest] = wrap(what, width - indent.length);
    return [`  ${name.padEnd(longest)}  ${first}`.trimEnd(), ...rest.map((line) => indent + line)];
  });
  return ['', ...(title === '' ? [] : [title]), ...lines];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function rowsOf(
  schema: Schema,
  type: SchemaType,
  value: JsonValue | undefined,
  prefix = '',
  depth = 1,
  around: readonly SchemaType[] = [],
): Row[] {
  return membersOf(schema, type, value).flatMap((member) => {
    const memberType = schema.type(member.type);
    const name = prefix + member.name;
    const what = `${member.optional ? 'optional, ' : ''}${typeText(schema, memberType)}`;
    const row = { name, what: what + featureText(member.features) };
    const given = isJsonObject(value) && Object.hasOwn(value, member.name) ? value[member.name] : undefined;
    const inner = elementOf(schema, memberType);
    const isTold = inner.kind === 'object' || (inner.kind === 'alternate' && isJsonObject(given));
    if (!isTold || around.includes(inner) || (given === undefined && depth >= DEEPEST_MEMBERS)) return [row];
    const below = rowsOf(schema, inner, given, `${name}${listMark(memberType)}.`, depth + 1, [...around, type, inner]);
    return [row, ...(below.length <= MOST_MEMBERS_WITHIN || given !== undefined ? below : [])];
  });
}

/** As Schema.members, but of members that depend on a tag which is not chosen, none. */
function membersOf(schema: Schema, type: SchemaType, value: JsonValue | undefined): readonly SchemaMember[] {
  if (type.kind !== 'object' || type.tag === null) return schema.members(type, value);
  return isChosen(schema, type, value) ? schema.members(type, value) : type.members;
}

function isChosen(schema: Schema, type: SchemaType & { kind: 'object' }, value: JsonValue | undefined): boolean {
  const chosen = isJsonObject(value) && type.tag !== null ? value[type.tag] : undefined;
  const tag = type.members.find(({ name }) => name === type.tag);
  return typeof chosen === 'string' && tag !== undefined && schema.words(schema.type(tag.type)).includes(chosen);
}

/** Says how to see the members that depend on the choice of another. */
function openTags(schema: Schema, name: string, type: SchemaType, args: JsonObject): string[] {
  if (type.kind !== 'object' || type.tag === null || isChosen(schema, type, args)) return [];
  const tag = type.members.find((member) => member.name === type.tag);
  const [word = '…'] = tag === undefined ? [] : [...type.variants.keys()].filter((key) => key !== '');
  return ['', `There is more, depending on ${type.tag}: help ${name} ${type.tag}=${word}`];
}

function elementOf(schema: Schema, type: SchemaType): SchemaType {
  return type.kind === 'array' ? elementOf(schema, schema.type(type.element)) : type;
}

function listMark(type: SchemaType): string {
  return type.kind === 'array' ? '[]' : '';
}

function isNothing(schema: Schema, type: SchemaType): boolean {
  return type.kind === 'object' && schema.members(type, undefined).length === 0;
}

function typeText(schema: Schema, type: SchemaType): string {
  const inner = elementOf(schema, type);
  const words = inner.kind === 'enum' ? schema.words(inner) : [];
  const one = words.length > 0 ? `one of ${words.join(', ')}` : schema.describe(inner);
  return type.kind === 'array' ? `list of ${one}` : one;
}

function featureText(features: readonly string[]): string {
  const told = features.filter((feature) => feature === 'deprecated' || feature === 'unstable');
  return told.length === 0 ? '' : ` (${told.join(', ')})`;
}
