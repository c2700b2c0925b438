/**
 * A line of the human monitor, read as QEMU reads it (monitor/hmp.c, `get_command_name` and `monitor_parse_command`): blanks
 * in front are skipped, the verb ends at a blank or at the slash of a format (`x/10i`), and of `info` the next word counts too.
 * QEMU takes no abbreviations; a command's other names are listed in its table.
 */

/** What a line would run. */
export interface HmpLine {
  /** The command's first name, whichever of its names was written; empty for a line of blanks. */
  readonly verb: string;
  /** What follows `info`; empty where there is none, and for other verbs. */
  readonly topic: string;
}

/** Other names of commands (hmp-commands.hx, the same from QEMU 2.12 to 10). */
const OTHER_NAMES = new Map([
  ['?', 'help'],
  ['q', 'quit'],
  ['p', 'print'],
  ['s', 'stop'],
  ['c', 'cont'],
]);

/** C's isspace in the POSIX locale. */
const BLANKS = ' \t\n\v\f\r';

function wordEnd(line: string, from: number): number {
  let at = from;
  while (at < line.length && line[at] !== '/' && !BLANKS.includes(line[at] ?? '')) at++;
  return at;
}

function skipBlanks(line: string, from: number): number {
  let at = from;
  while (at < line.length && BLANKS.includes(line[at] ?? '')) at++;
  return at;
}

/** @returns a verb's first name. */
export function canonicalVerb(verb: string): string {
  return OTHER_NAMES.get(verb) ?? verb;
}

export function parseHmpLine(line: string): HmpLine {
  const start = skipBlanks(line, 0);
  const end = wordEnd(line, start);
  const verb = canonicalVerb(line.slice(start, end));
  if (verb !== 'info') return { verb, topic: '' };
  const topic = skipBlanks(line, end);
  return { verb, topic: line.slice(topic, wordEnd(line, topic)) };
}
