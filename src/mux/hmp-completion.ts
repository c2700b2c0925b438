/**
 * What Tab completes at a text monitor, as far as it can be learnt over QMP: names of commands and of `info` topics, which the
 * monitor's own `help` lists, and names of block devices, character devices, objects, capabilities and keys.
 *
 * QEMU also completes file names (of its host, seen from its folder) and some names that no QMP command lists. Those are left out.
 */

import { isJsonArray, isJsonObject, type JsonValue } from '../qmp/value.js';

/** In QEMU's order. */
type Names = readonly string[];

/** What QEMU is asked so that a word can be completed. */
export type HmpQuestion =
  /** Nothing: the words are known. */
  | { readonly kind: 'words'; readonly words: Names }
  /** `help`, or `help info`. */
  | { readonly kind: 'help'; readonly line: string }
  | { readonly kind: 'query'; readonly command: string; readonly args: string; readonly list: HmpList };

/** How names are found in an answer. */
export type HmpList = 'block' | 'chardev' | 'ringbuf' | 'object' | 'capability';

/** A word that is being completed. */
export interface HmpWord {
  /** What stands there already. */
  readonly start: string;
  readonly question: HmpQuestion;
}

/** QEMU reads so many words of a line when it completes. */
const MOST_WORDS = 16;
/** Bytes of one word. */
const LONGEST_WORD = 1023;

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

/** Commands whose first argument is a name that QMP lists. */
const NAMED: ReadonlyMap<string, HmpQuestion> = new Map<string, HmpQuestion>([
  ['chardev-remove', { kind: 'query', command: 'query-chardev', args: '', list: 'chardev' }],
  ['chardev-send-break', { kind: 'query', command: 'query-chardev', args: '', list: 'chardev' }],
  ['ringbuf_read', { kind: 'query', command: 'query-chardev', args: '', list: 'ringbuf' }],
  ['ringbuf_write', { kind: 'query', command: 'query-chardev', args: '', list: 'ringbuf' }],
  ['object_del', { kind: 'query', command: 'qom-list', args: OBJECTS, list: 'object' }],
  ['migrate_set_capability', { kind: 'query', command: 'query-migrate-capabilities', args: '', list: 'capability' }],
]);
const BLOCK: HmpQuestion = { kind: 'query', command: 'query-block', args: '', list: 'block' };
const ON_OFF: HmpQuestion = { kind: 'words', words: ['on', 'off'] };
const COMMANDS: HmpQuestion = { kind: 'help', line: 'help' };
const TOPICS: HmpQuestion = { kind: 'help', line: 'help info' };

const ESCAPES = new Map([
  ['n', '\n'],
  ['r', '\r'],
  ['\\', '\\'],
  ["'", "'"],
  ['"', '"'],
]);

/** @returns the words of a line as QEMU splits them to complete one; null where it gives up */
export function splitHmpWords(line: string): string[] | null {
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (isBlank(line[at])) at++;
    if (at >= line.length) break;
    if (words.length === MOST_WORDS) return null;
    let word = '';
    if (line[at] === '"') {
      at++;
      for (; at < line.length && line[at] !== '"'; at++) {
        if (line[at] !== '\\') word += line[at] ?? '';
        else {
          const char = ESCAPES.get(line[++at] ?? '');
          if (char === undefined) return null;
          word += char;
        }
      }
      if (at >= line.length) return null;
      at++;
    } else for (; at < line.length && !isBlank(line[at]); at++) word += line[at] ?? '';
    words.push(word.slice(0, LONGEST_WORD));
  }
  if (isBlank(line.at(-1))) {
    if (words.length === MOST_WORDS) return null;
    words.push('');
  }
  return words;
}

function isBlank(char: string | undefined): boolean {
  return char !== undefined && ' \t\n\v\f\r'.includes(char);
}

/** @returns the names of the commands that a text of `help` or `help info` lists */
export function helpNames(text: string, isTopics: boolean): Names {
  const names: string[] = [];
  for (const line of text.split('\r\n')) {
    const rest = isTopics ? line.replace(/^info /, '') : line;
    if (isTopics && rest === line) continue;
    const name = /^[A-Za-z][\w-]*(?:\|[\w?-]+)*(?= )/.exec(rest)?.[0];
    if (name !== undefined) names.push(...name.split('|'));
  }
  return names;
}

/** @returns the names in what a query returned */
export function listedNames(list: HmpList, answer: JsonValue): Names {
  const names: string[] = [];
  for (const item of isJsonArray(answer) ? answer : []) {
    if (!isJsonObject(item)) continue;
    const { device, label, filename, name, type, capability } = item;
    if (list === 'block') names.push(wordOf(device));
    else if (list === 'capability') names.push(wordOf(capability));
    else if (list === 'object') names.push(wordOf(type).startsWith('child<') ? wordOf(name) : '');
    else if (list === 'chardev' || wordOf(filename).startsWith('ringbuf')) names.push(wordOf(label));
  }
  return names.filter((found) => found !== '');
}

function wordOf(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** @param line what stands before the cursor. @returns the word that is to be completed, or null where nothing is known of it */
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
  if (command === 'migrate_set_capability' && words.length === 3) return { start, question: ON_OFF };
  const question = NAMED.get(command ?? '');
  if (question !== undefined) return words.length === 2 ? { start, question } : null;
  const kinds = BLOCK_ARGUMENTS.get(command ?? '');
  if (kinds === undefined) return null;
  let argument = kinds.endsWith('…') ? Math.min(words.length - 2, kinds.length - 2) : words.length - 2;
  while (kinds[argument] === '-') argument++;
  return kinds[argument] === 'B' ? { start, question: BLOCK } : null;
}
