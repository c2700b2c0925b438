/**
 * Names that only the VM knows: the kind of name at a place of a command, and how to ask the VM for names of a kind.
 * The schema says no more than `string` there.
 */

import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../../qmp/json/value.js';
import type { SchemaType } from '../../qmp/schema.js';
import { matchesGlob } from '../../shared/glob.js';
import type { Candidate } from './completion.js';

export type LiveSource =
  /** Block nodes, or devices with a drive. */
  | { readonly kind: 'block' | 'node' }
  /** Ids of devices, of user-created objects, of character devices, jobs, block exports, iothreads, CPUs. */
  | { readonly kind: 'device' | 'object' | 'chardev' | 'job' | 'block-job' | 'export' | 'iothread' | 'cpu' }
  | { readonly kind: 'device-type' | 'qom-type' }
  | { readonly kind: 'qom-path' }
  | { readonly kind: 'qom-property'; readonly path: string }
  /** Properties of a device type, to be given to device_add. */
  | { readonly kind: 'device-property'; readonly type: string }
  | { readonly kind: 'bitmap'; readonly node: string };

type SimpleKind = Exclude<LiveSource['kind'], 'qom-property' | 'device-property' | 'bitmap'>;

/** Command, argument, kind of name; the first match counts. `null`: a name that is new, or not of the VM. */
const RULES: readonly (readonly [command: string, argument: string, kind: SimpleKind | null])[] = [
  ['qom-*', 'path', 'qom-path'],
  ['qom-list-types', 'implements', 'qom-type'],
  ['qom-list-properties', 'typename', 'qom-type'],
  ['device-list-properties', 'typename', 'device-type'],
  ['device_add', 'driver', 'device-type'],
  ['device_add', 'drive', 'block'],
  ['device_add', 'memdev', 'object'],
  ['device_del', 'id', 'device'],
  ['object-del', 'id', 'object'],
  ['chardev-add', '*', null],
  ['chardev-*', 'id', 'chardev'],
  ['ringbuf-*', 'device', 'chardev'],
  ['job-*', 'id', 'job'],
  ['block-job-*', 'device', 'block-job'],
  ['block-job-*', 'id', 'block-job'],
  ['block-export-del', 'id', 'export'],
  ['blockdev-add', 'node-name', null],
  ['drive-*', 'target', null],
  ['*', 'snapshot-node-name', null],
  ['*', 'device', 'block'],
  ['blockdev-*', 'id', 'device'],
  ['block*', 'id', 'device'],
  ['eject', 'id', 'device'],
  ['*', 'iothread', 'iothread'],
  ['*', 'chardev', 'chardev'],
  ['*', 'cpu-index', 'cpu'],
  ['*', 'target', 'node'],
  ['*', 'node*', 'node'],
  ['*', '*-node', 'node'],
  ['*', 'overlay', 'node'],
  ['*', 'parent', 'node'],
];

/**
 * @param path of the argument, in the command's arguments
 * @param type of the argument, null where it is not known
 * @param args the arguments that are there already
 * @returns null where the VM has nothing to say
 */
export function sourceOfArgument(
  command: string,
  path: readonly (string | number)[],
  type: SchemaType | null,
  args: JsonObject,
): LiveSource | null {
  const name = path.findLast((step) => typeof step === 'string') ?? '';
  // A node can be named where it could also be described: file=, backing=.
  if (type?.kind === 'alternate' && command === 'blockdev-add') return { kind: 'node' };
  if (type !== null && type.kind !== 'any' && !(type.kind === 'scalar' && type.scalar !== 'boolean')) return null;
  if (matchesGlob('qom-?et', command) && name === 'property')
    return { kind: 'qom-property', path: textOf(args, 'path') };
  const bitmap = /^block-dirty-bitmap-(?!add$)/.test(command) || (command === 'transaction' && 'node' in args);
  if (bitmap && name === 'name') return { kind: 'bitmap', node: textOf(args, 'node') };
  const rule = RULES.find((row) => matchesGlob(row[0], command) && matchesGlob(row[1], name));
  const kind = rule?.[2] ?? null;
  return kind === null ? null : { kind };
}

/** Parameters of the human monitor that are named after their kind of value, not after the words allowed. */
export function isValueOf(parameter: string): boolean {
  return /^(?:device|driver.*|path|property|id|parameter|protocol|index|cpu_index)(?:\|all)?$/.test(parameter);
}

/** As `sourceOfArgument`, for a parameter of the human monitor. @param given the parameters before it */
export function sourceOfWord(command: string, parameter: string, given: readonly string[]): LiveSource | null {
  if (command.startsWith('qom-')) {
    if (parameter === 'path') return { kind: 'qom-path' };
    return parameter === 'property' ? { kind: 'qom-property', path: given[0] ?? '' } : null;
  }
  if (command === 'device_add') return { kind: 'device-type' };
  if (command === 'device_del') return { kind: 'device' };
  if (command === 'object_del') return { kind: 'object' };
  if (command === 'cpu') return { kind: 'cpu' };
  if (/^(?:chardev-|ringbuf_)/.test(command)) return command === 'chardev-add' ? null : { kind: 'chardev' };
  if (command.startsWith('block_job_')) return { kind: 'block-job' };
  if (command === 'gdbserver' || command === 'screendump') return null;
  return parameter.startsWith('device') ? { kind: 'block' } : null;
}

/** Executes a command for its answer. Null for an error, and for whatever keeps the answer away. */
export type Ask = (command: string, args?: JsonObject) => Promise<JsonValue | null>;

/** @returns the names that begin with `beginning`, in order. */
export async function liveNames(source: LiveSource, beginning: string, ask: Ask): Promise<Candidate[]> {
  if (source.kind === 'qom-path') return pathsFrom(beginning, ask);
  if (source.kind === 'device-property') return propertiesOf(source.type, beginning, ask);
  const names = await namesOf(source, ask);
  return [...new Set(names)]
    .filter((name) => name !== '' && name.startsWith(beginning))
    .sort()
    .map((text) => ({ text, goesOn: false }));
}

async function namesOf(
  source: Exclude<LiveSource, { kind: 'qom-path' | 'device-property' }>,
  ask: Ask,
): Promise<readonly string[]> {
  const list = async (command: string, member: string, args?: JsonObject) =>
    membersOf(await ask(command, args), member);
  switch (source.kind) {
    case 'node':
      return list('query-named-block-nodes', 'node-name', { flat: true });
    case 'block':
      return [
        ...(await list('query-block', 'device')),
        ...(await list('query-named-block-nodes', 'node-name', { flat: true })),
      ];
    case 'device':
      return children(await ask('qom-list', { path: '/machine/peripheral' }));
    case 'object':
      return children(await ask('qom-list', { path: '/objects' }));
    case 'chardev':
      return list('query-chardev', 'label');
    case 'job':
      return list('query-jobs', 'id');
    case 'block-job':
      return list('query-block-jobs', 'device');
    case 'export':
      return list('query-block-exports', 'id');
    case 'iothread':
      return list('query-iothreads', 'id');
    case 'cpu':
      return list('query-cpus-fast', 'cpu-index');
    case 'device-type':
      return list('qom-list-types', 'name', { implements: 'device', abstract: false });
    case 'qom-type':
      return list('qom-list-types', 'name', { abstract: true });
    case 'qom-property':
      return source.path === '' ? [] : list('qom-list', 'name', { path: source.path });
    case 'bitmap':
      return bitmaps(await ask('query-named-block-nodes', {}), source.node);
  }
}

/** Paths in the object tree, a level at a time: those that go on end in a slash. */
async function pathsFrom(beginning: string, ask: Ask): Promise<Candidate[]> {
  if (!beginning.startsWith('/')) return beginning === '' ? [{ text: '/', goesOn: true }] : [];
  const parent = beginning.slice(0, beginning.lastIndexOf('/'));
  const found = children(await ask('qom-list', { path: parent === '' ? '/' : parent }));
  const paths = found.map((name) => `${parent}/${name}`).filter((path) => path.startsWith(beginning));
  return paths.sort().map((text) => ({ text, goesOn: true }));
}

async function propertiesOf(type: string, beginning: string, ask: Ask): Promise<Candidate[]> {
  const names = membersOf(await ask('device-list-properties', { typename: type }), 'name');
  return ['id', ...names]
    .filter((name) => name.startsWith(beginning))
    .sort()
    .map((name) => ({ text: `${name}=`, goesOn: true }));
}

function membersOf(answer: JsonValue | null, member: string): string[] {
  const items = isJsonArray(answer ?? undefined) ? (answer as readonly JsonValue[]) : [];
  return items.flatMap((item) => {
    const value = isJsonObject(item) ? item[member] : undefined;
    return typeof value === 'string' || typeof value === 'number' ? [String(value)] : [];
  });
}

/** Names of the children in an answer of `qom-list`. */
function children(answer: JsonValue | null): string[] {
  const items = isJsonArray(answer ?? undefined) ? (answer as readonly JsonValue[]) : [];
  return items
    .filter(isJsonObject)
    .filter((item) => textOf(item, 'type').startsWith('child<'))
    .map((item) => textOf(item, 'name'));
}

function bitmaps(answer: JsonValue | null, node: string): string[] {
  const nodes = isJsonArray(answer ?? undefined) ? (answer as readonly JsonValue[]) : [];
  return nodes
    .filter(isJsonObject)
    .filter((item) => node === '' || textOf(item, 'node-name') === node)
    .flatMap((item) => membersOf(item['dirty-bitmaps'] ?? null, 'name'));
}

function textOf(object: JsonObject, name: string): string {
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  return typeof value === 'string' ? value : '';
}
