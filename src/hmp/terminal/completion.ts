/**
 * Tab completion at a text monitor, as far as the words can be learnt over QMP: names of commands and of `info` topics, which the
 * monitor's own `help` lists, types of devices, which `device_add help` lists, the words of enums, which the schema has, and the lists
 * that queries return: block devices, character devices, objects, devices to unplug, capabilities, trace events.
 *
 * QEMU also completes file names (of its host, seen from its folder), and names of network clients and snapshots. Those are left out.
 */

import { isJsonArray, isJsonObject, type JsonValue } from '../../qmp/json/value.js';
import type { Schema } from '../../qmp/schema.js';
import { splitHmpWords } from '../words.js';

/** In QEMU's order. */
type Names = readonly string[];

/** A question to QEMU for the completion of a word. */
export type HmpQuestion =
  /** Nothing: the words are known. */
  | { readonly kind: 'words'; readonly words: Names }
  /** `help`, `help info`, or `device_add help`. */
  | { readonly kind: 'help'; readonly line: string }
  /** The words that an argument of a QMP command can be, or the names of the arguments. */
  | { readonly kind: 'schema'; readonly command: string; readonly argument: readonly (string | number)[] | null }
  /** Devices with a name that can be unplugged. */
  | { readonly kind: 'unpluggable' }
  | { readonly kind: 'query'; readonly command: string; readonly args: string; readonly list: HmpList };

/** How names are found in an answer. */
type HmpList = 'block' | 'chardev' | 'ringbuf' | 'object' | 'capability' | 'name';

/** A word that is being completed. */
interface HmpWord {
  /** The part already typed. */
  readonly start: string;
  readonly question: HmpQuestion;
}

/**
 * Commands that take a block device: the kinds of their arguments as far as that, `-` for an option (hmp-commands.hx, the same
 * from QEMU 2.12 on). An option that was left out counts as skipped.
 * The last argument of all (`…`) is completed again and again.
 */
const BLOCK_ARGUMENTS = new Map([
  ['block_job_cancel', '-B…'],
  ['block_job_complete', 'B…'],
  ['block_job_pause', 'B…'],
  ['block_job_resume', 'B…'],
  ['block_job_set_speed', 'B'],
  ['block_resize', 'B'],
  ['block_set_io_throttle', 'B'],
  ['block_stream', 'B'],
  ['change', 'B'],
  ['commit', 'B…'],
  ['drive_backup', '---B'],
  ['drive_del', 'B…'],
  ['drive_mirror', '--B'],
  ['eject', '-B'],
  ['info block', '--B'],
  ['qemu-io', '-B'],
  ['snapshot_blkdev', '-B'],
  ['snapshot_blkdev_internal', 'B'],
  ['snapshot_delete_blkdev_internal', 'B'],
]);

const OBJECTS = '{"path":"/objects"}';
const CREATABLE = '{"implements":"user-creatable","abstract":false}';
/** Commands whose second argument is `on` or `off`. */
const SWITCHES = ['migrate_set_capability', 'set_link', 'trace-event'];

/** Commands whose first argument is a name that QMP lists. */
const NAMED: ReadonlyMap<string, HmpQuestion> = new Map<string, HmpQuestion>([
  ['chardev-remove', { kind: 'query', command: 'query-chardev', args: '', list: 'chardev' }],
  ['chardev-send-break', { kind: 'query', command: 'query-chardev', args: '', list: 'chardev' }],
  ['ringbuf_read', { kind: 'query', command: 'query-chardev', args: '', list: 'ringbuf' }],
  ['ringbuf_write', { kind: 'query', command: 'query-chardev', args: '', list: 'ringbuf' }],
  ['object_del', { kind: 'query', command: 'qom-list', args: OBJECTS, list: 'object' }],
  ['chardev-add', { kind: 'query', command: 'query-chardev-backends', args: '', list: 'name' }],
  ['device_add', { kind: 'help', line: 'device_add help' }],
  ['device_del', { kind: 'unpluggable' }],
  ['info trace-events', { kind: 'query', command: 'trace-event-get-state', args: '{"name":"*"}', list: 'name' }],
  ['migrate_set_parameter', { kind: 'schema', command: 'migrate-set-parameters', argument: null }],
  ['netdev_add', { kind: 'schema', command: 'netdev_add', argument: ['type'] }],
  ['object_add', { kind: 'query', command: 'qom-list-types', args: CREATABLE, list: 'name' }],
  ['sendkey', { kind: 'schema', command: 'send-key', argument: ['keys', 0, 'data'] }],
  ['trace-event', { kind: 'query', command: 'trace-event-get-state', args: '{"name":"*"}', list: 'name' }],
  ['watchdog_action', { kind: 'schema', command: 'watchdog-set-action', argument: ['action'] }],
  ['migrate_set_capability', { kind: 'query', command: 'query-migrate-capabilities', args: '', list: 'capability' }],
]);
const BLOCK: HmpQuestion = { kind: 'query', command: 'query-block', args: '', list: 'block' };
const ON_OFF: HmpQuestion = { kind: 'words', words: ['on', 'off'] };
const COMMANDS: HmpQuestion = { kind: 'help', line: 'help' };
const TOPICS: HmpQuestion = { kind: 'help', line: 'help info' };

function keyToComplete(words: Names, question: HmpQuestion): HmpWord | null {
  const word = words[1] ?? '';
  return words.length === 2 ? { start: word.slice(word.lastIndexOf('-') + 1), question } : null;
}

/** @returns the names that a text of `help`, `help info` or `device_add help` lists. @param line which of them */
export function helpNames(text: string, line: string): Names {
  if (line === 'device_add help') return [...text.matchAll(/^name "([^"]+)"/gm)].map(([, name = '']) => name);
  const isTopics = line === 'help info';
  const names: string[] = [];
  for (const entry of text.split('\r\n')) {
    const rest = isTopics ? entry.replace(/^info /, '') : entry;
    if (isTopics && rest === entry) continue;
    const name = /^[A-Za-z][\w-]*(?:\|[\w?-]+)*(?= )/.exec(rest)?.[0];
    if (name !== undefined) names.push(...name.split('|'));
  }
  return names;
}

/** @returns the names in a query's answer */
export function listedNames(list: HmpList, answer: JsonValue): Names {
  const names: string[] = [];
  for (const item of isJsonArray(answer) ? answer : []) {
    if (!isJsonObject(item)) continue;
    const { device, label, filename, name, type, capability } = item;
    if (list === 'name') names.push(wordOf(name));
    else if (list === 'block') names.push(wordOf(device));
    else if (list === 'capability') names.push(wordOf(capability));
    else if (list === 'object') names.push(wordOf(type).startsWith('child<') ? wordOf(name) : '');
    else if (list === 'chardev' || wordOf(filename).startsWith('ringbuf')) names.push(wordOf(label));
  }
  // QEMU puts each of these before the last, and completes the first 256.
  if (list === 'name') names.reverse();
  return names.filter((found) => found !== '');
}

/** @returns the words that an argument of a command can be; its arguments' names if none is named */
export function schemaNames(
  schema: Schema | null,
  command: string,
  argument: readonly (string | number)[] | null,
): Names {
  const known = schema?.commands.get(command);
  if (schema === null || known === undefined) return [];
  if (argument === null) return schema.members(schema.type(known.arguments), undefined).map(({ name }) => name);
  const type = schema.typeAt(known, argument, { keys: [{ type: 'qcode' }] });
  return type === null ? [] : schema.words(type);
}

function wordOf(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** @param line the text before the cursor. @returns the word to complete, or null if nothing is known of it */
export function wordToComplete(line: string): HmpWord | null {
  const words = splitHmpWords(line);
  if (words === null) return null;
  let [command] = words;
  if (words.length <= 1) return { start: command ?? '', question: COMMANDS };
  while ((command === 'help' || command === '?') && words.length > 1) {
    words.shift();
    [command] = words;
    if (words.length === 1) return { start: command ?? '', question: COMMANDS };
  }
  if (command === 'info') {
    words.shift();
    if (words.length === 1) return { start: words[0] ?? '', question: TOPICS };
    command = `info ${words[0]}`;
  }
  const start = words.at(-1) ?? '';
  if (SWITCHES.includes(command ?? '') && words.length === 3) return { start, question: ON_OFF };
  const question = NAMED.get(command ?? '');
  // Keys are pressed together: ctrl-alt-delete.
  if (command === 'sendkey' && question !== undefined) return keyToComplete(words, question);
  if (question !== undefined) return words.length === 2 ? { start, question } : null;
  const kinds = BLOCK_ARGUMENTS.get(command ?? '');
  if (kinds === undefined) return null;
  let argument = kinds.endsWith('…') ? Math.min(words.length - 2, kinds.length - 2) : words.length - 2;
  while (kinds[argument] === '-') argument++;
  return kinds[argument] === 'B' ? { start, question: BLOCK } : null;
}
