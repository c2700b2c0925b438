/** What a client sends that wants to do harm: each kind once was, or could be, too much for some reader. */
import type { Random } from '../conformance/generator.js';
import { garbageOf } from './garbage.js';

export interface HostileInput {
  readonly kind: string;
  /** As latin1. */
  readonly bytes: string;
}

type Maker = (random: Random, size: number) => string;

/** @returns a command whose argument is this JSON. */
function withArgument(json: string, command = 'blockdev-add'): string {
  return `{"execute":"${command}","arguments":{"x":${json}}}`;
}

function repeat(text: string, size: number): string {
  return text.repeat(Math.max(1, Math.floor(size / text.length)));
}

/** JSON in a text of JSON in a text, each so deep: grows fast, so it ends at the size. */
function nestedTexts(random: Random, size: number): string {
  const depth = random.pick([1, 20, 1000]);
  let inner = '1';
  for (;;) {
    const next = JSON.stringify(`json:{"a":${'['.repeat(depth)}${inner}${']'.repeat(depth)}}`);
    if (next.length > size) return withArgument(inner);
    inner = next;
  }
}

function longPaths(random: Random, size: number): string {
  const depth = 1 + random.below(900);
  const name = 'k'.repeat(Math.max(1, Math.floor(size / 2 / depth / 5)));
  const leaves = repeat('{"osk":1},', size / 2);
  return withArgument(`${`{"${name}":`.repeat(depth)}[${leaves}1]${'}'.repeat(depth)}`, 'x');
}

function manyMembers(random: Random, size: number): string {
  const members = Array.from({ length: Math.floor(size / 12) }, (_, at) => `"k${at}.${random.below(9)}":1`);
  return `{"execute":"object-add","arguments":{${members.join(',')}}}`;
}

const HMP_LINES = [
  'a',
  'a.',
  'set_password "',
  'x://y:',
  '\\"',
  'json:{',
  'drive_add 0 file=',
  'token=',
  '../',
] as const;
const URLS = ['a.', '://', 'a:b@', '?token=', '&sig=', '%41', 'nbd+ssh://u:p@', '/./', '\\n'] as const;
const IDS = ['[', '{"a":', '"\\n"', '1e400', '9'.repeat(400), '"\\ud800"'] as const;

const makers: Readonly<Record<string, Maker>> = {
  'json in texts of json': nestedTexts,
  'a line of HMP': (random, size) =>
    `{"execute":"human-monitor-command","arguments":{"command-line":${JSON.stringify(repeat(random.pick(HMP_LINES), size))}}}`,
  'a URL': (random, size) =>
    withArgument(`"${repeat(random.pick(URLS), size / 2)}://${repeat(random.pick(URLS), size / 2)}"`),
  'long paths of secrets': longPaths,
  garbage: (random, size) => garbageOf(random, Math.min(size, 64 * 1024)),
  braces: (random, size) => repeat(random.pick(['}', '{', ']', '[', '"']), Math.min(size, 64 * 1024)),
  'a big id': (random, size) =>
    `{"execute":"query-name","id":[${repeat(`${random.pick(['1', '"x"', '"\\n"', '{}'])},`, size)}1]}`,
  'a nested id': (random, size) => `{"execute":"query-name","id":${repeat(random.pick(IDS), Math.min(size, 100_000))}`,
  escapes: (random, size) =>
    withArgument(`"${repeat(random.pick(['\\n', '\\u0041', '\\\\', '\xc3\xa9']), size)}"`, 'stop'),
  'a long name': (random, size) =>
    `{"execute":"${repeat(random.pick(['n', '\xc3\xa9', '\\u006e']), size)}${random.below(1e9)}"}`,
  'many members': manyMembers,
  'names with dots': (_, size) =>
    `{"execute":"object-add","arguments":{"${repeat('a.', size / 2)}":{${repeat('"b":1,', size / 2)}"c":1}}}`,
  'what a pattern goes back over': (_, size) => `{"execute":"migrate","arguments":{"uri":"${repeat('a', size)}b"}}`,
  numbers: (random, size) => withArgument(`${random.pick(['', '-', '0.', '1e'])}${repeat('7', size)}`),
  'a text without an end': (_, size) => `{"execute":"${repeat('x', size)}`,
};
const KINDS = Object.keys(makers);

/** @returns input of a random kind, of about so many bytes at most (more for none) */
export function hostileInput(random: Random, most: number): HostileInput {
  const kind = KINDS[random.below(KINDS.length)] ?? '';
  // Small ones are as likely as large ones.
  const size = 1 + Math.floor(most / 2 ** random.below(12));
  return { kind, bytes: makers[kind]?.(random, size) ?? '' };
}
