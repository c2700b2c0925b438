/**
 * The command that a line of the human monitor would run, read as QEMU reads it (monitor/hmp.c, `get_command_name` and
 * `monitor_parse_command`, the same from 2.12 to 11.1): blanks in front are skipped, the verb ends at a blank or at a slash (`x/10i`, but also
 * `qom-set/objects/s data 1`), and of `info` the next word counts too. QEMU takes no abbreviations and no other case of letters;
 * a command's other names are listed in its table.
 */
import { isBlankAt, skipBlanks } from './words.js';

/** The command that a line would run. */
interface HmpLine {
  /** The command's first name, whichever of its names was written; empty for a line of blanks. */
  readonly verb: string;
  /** The word after `info`; empty if there is none, and for other verbs. */
  readonly topic: string;
  /** Where the verb, and the topic if there is one, end in the line. */
  readonly end: number;
}

/** Other names of commands (hmp-commands.hx, the same from QEMU 2.12 to 11.1). */
const OTHER_NAMES = new Map([
  ['?', 'help'],
  ['q', 'quit'],
  ['p', 'print'],
  ['s', 'stop'],
  ['c', 'cont'],
]);

/** How many bytes of a name QEMU keeps; no command's name has as many. */
const LONGEST_NAME = 255;
const SLASH = 0x2f;

/** @returns where a verb or a topic ends that begins at `from`; if it is longer than all that exist, where that shows */
export function nameEnd(line: string, from: number): number {
  const last = Math.min(line.length, from + LONGEST_NAME);
  let at = from;
  while (at < last && line.charCodeAt(at) !== SLASH && !isBlankAt(line, at)) at++;
  return at;
}

/** @returns a verb's first name. */
export function canonicalVerb(verb: string): string {
  return OTHER_NAMES.get(verb) ?? verb;
}

/** @param line decoded; a NUL in it is a character like any other, as it is for QEMU */
export function parseHmpLine(line: string): HmpLine {
  const start = skipBlanks(line, 0);
  const end = nameEnd(line, start);
  const verb = canonicalVerb(line.slice(start, end));
  if (verb !== 'info') return { verb, topic: '', end };
  const topic = skipBlanks(line, end);
  const topicEnd = nameEnd(line, topic);
  return topicEnd === topic ? { verb, topic: '', end } : { verb, topic: line.slice(topic, topicEnd), end: topicEnd };
}
