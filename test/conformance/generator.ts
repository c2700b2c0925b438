/**
 * Random streams of QMP as clients write it: well formed, nearly so, and not at all. The same seed makes the same stream.
 * Only commands that change nothing, take no time and answer the same on every VM of the same kind. Out-of-band commands
 * stand in parts of their own, because QEMU promises no order between them and in-band ones.
 *
 * Where oob is or may be enabled nothing is malformed: a QEMU (7.2 at least) with oob aborts when one byte ends two messages
 * while seven wait (`1]` over and over: the bracket ends the number and is an error itself).
 */
import type { Setup } from './transcript.js';

/** A stream is written part by part; within a part nothing is waited for. */
export interface Stream {
  readonly seed: number;
  readonly setup: Setup;
  readonly parts: readonly Part[];
}

/** The pieces of a part are whole messages or what is left of them, so that a failing stream can be made smaller. */
export type Part = readonly Buffer[];

/** A small generator of random numbers (mulberry32): enough for choosing, and the same everywhere. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** @returns an integer from 0 to `below` - 1. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  }

  /** @returns true once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(from: readonly [T, ...T[]]): T {
    return from[this.below(from.length)] ?? from[0];
  }

  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let at = out.length - 1; at > 0; at--) {
      const other = this.below(at + 1);
      const [a, b] = [out[at], out[other]];
      if (a !== undefined && b !== undefined) [out[at], out[other]] = [b, a];
    }
    return out;
  }
}

/** @returns the stream of a seed. */
export function generate(seed: number): Stream {
  const random = new Random(seed);
  const setup = random.pick<Setup>(['plain', 'plain', 'plain', 'oob', 'none']);
  const tidy = setup === 'oob' || random.once(4);
  const parts = Array.from({ length: 1 + random.below(3) }, () =>
    setup === 'oob' && random.once(2) ? outOfBandPart(random) : inBandPart(random, setup, tidy),
  );
  return { seed, setup, parts };
}

function outOfBandPart(random: Random): Part {
  const commands = [
    'query-yank',
    'migrate-pause',
    'no-such-command',
    'query-name',
    'qmp_capabilities',
    'yank',
  ] as const;
  return Array.from({ length: 1 + random.below(3) }, () => {
    const members = [
      `${key(random, 'exec-oob')}:${random.once(8) ? value(random, 2) : string(random, random.pick(commands))}`,
    ];
    return bytes(envelope(random, members) + random.pick(['\n', '\r\n', '', ' ']));
  });
}

function inBandPart(random: Random, setup: Setup, tidy: boolean): Part {
  return Array.from({ length: 1 + random.below(8) }, () => {
    const kind = tidy ? 9 : random.below(10);
    if (kind === 0) return garbage(random);
    const message = bytes(command(random, setup, tidy) + separator(random));
    return kind <= 3 ? mutated(random, message) : message;
  });
}

const queries = [
  'query-name',
  'query-status',
  'query-version',
  'query-uuid',
  'query-kvm',
  'query-yank',
  'query-iothreads',
] as const;

function command(random: Random, setup: Setup, tidy: boolean): string {
  const choice = random.below(setup === 'none' ? 14 : 12);
  const members: string[] = [];
  const execute = (name: string) => members.push(`${key(random, 'execute')}:${string(random, name)}`);
  const withArguments = (text: string) => members.push(`${key(random, 'arguments')}:${text}`);
  if (choice <= 4) {
    execute(random.pick(queries));
    if (random.once(4)) withArguments(random.once(3) ? value(random, 2) : '{}');
  } else if (choice <= 6) {
    execute('device_del');
    withArguments(`{${key(random, 'id')}:${string(random, anyText(random))}}`);
  } else if (choice === 7) {
    execute('qom-list');
    withArguments(`{${key(random, 'path')}:${random.once(2) ? value(random, 1) : string(random, '/nowhere')}}`);
  } else if (choice === 8) {
    execute(anyText(random));
  } else if (choice === 9) {
    if (!random.once(3)) members.push(`${key(random, 'execute')}:${value(random, 2)}`);
    if (setup === 'plain' && random.once(3)) members.push(`${key(random, 'exec-oob')}:${string(random, 'query-yank')}`);
  } else if (choice === 10) {
    execute(random.pick(queries));
    const count = 1 + random.below(4);
    for (const name of names(random, count)) members.push(`${string(random, name)}:${value(random, 1)}`);
  } else {
    execute('qmp_capabilities');
    if (random.once(2)) withArguments(capabilities(random, tidy));
  }
  return envelope(random, members);
}

function capabilities(random: Random, tidy: boolean): string {
  const accepted = ['["oob"]', "['oob','oob']", '["o\\u006fb"]'] as const;
  const refused = ['["oob","nope"]', '"oob"', 'null', '[1]', '[[]]', '[""]'] as const;
  const enable = tidy && random.once(3) ? random.pick(accepted) : random.once(3) ? '[]' : random.pick(refused);
  const named = `${key(random, 'enable')}:${enable}`;
  return random.pick(['{}', `{${named}}`, `{${named}}`, '{"x":1}', `{${named},"y":2}`]);
}

/** @returns an object of `members` and perhaps an id, in any order and with any blanks. */
function envelope(random: Random, members: readonly string[]): string {
  const all = random.once(5) ? [...members] : [...members, `${key(random, 'id')}:${value(random, 3)}`];
  const blank = random.once(3) ? () => random.pick(['', ' ', '\n', '\t', '\r\n', '  ']) : () => '';
  const inside = random.shuffle(all).map((member) => blank() + member + blank());
  return `{${inside.join(',')}}`;
}

/** @returns a JSON value; `depth` is how deep it may nest. */
function value(random: Random, depth: number): string {
  const kind = random.below(depth > 0 ? 9 : 6);
  if (kind <= 1) return number(random);
  if (kind <= 4) return string(random, anyText(random));
  if (kind === 5) return random.pick(['true', 'false', 'null']);
  const many = random.once(8);
  const count = random.below(many ? 40 : 4);
  const inner = many ? 0 : depth - 1;
  const blank = random.once(3) ? ' ' : '';
  if (kind === 6) return `[${Array.from({ length: count }, () => value(random, inner)).join(`,${blank}`)}]`;
  return `{${names(random, count)
    .map((name) => `${string(random, name)}${blank}:${value(random, inner)}`)
    .join(`,${blank}`)}}`;
}

const edges = [
  '0',
  '-0',
  '-1',
  '9007199254740993',
  '9223372036854775807',
  '9223372036854775808',
  '18446744073709551615',
  '18446744073709551616',
  '-9223372036854775808',
  '-9223372036854775809',
  '1e400',
  '-1e400',
  '1.0',
  '-0.0',
  '5e-324',
  '1e16',
  '1e17',
  '0.1',
] as const;

function number(random: Random): string {
  const digits = (count: number) => Array.from({ length: count }, () => random.below(10)).join('');
  const sign = random.once(3) ? '-' : '';
  const whole = random.once(3) ? '0' : String(1 + random.below(9)) + digits(random.below(random.once(4) ? 25 : 5));
  const kind = random.below(6);
  if (kind === 0) return random.pick(edges);
  if (kind <= 2) return sign + whole;
  const fraction = `.${digits(1 + random.below(random.once(4) ? 20 : 4))}`;
  if (kind <= 4) return sign + whole + fraction;
  return `${sign}${whole}${fraction}${random.pick(['e', 'E'])}${random.pick(['', '+', '-'])}${random.below(random.once(3) ? 340 : 20)}`;
}

const letters = Array.from(
  'abcxyz ABC019_-./:{}[],"\'\\%#\n\t\r\b\f\u0000\u0001\u001f\u007f\u0080é\u07ff\u0800€\ufffd😀\u{10fffd}',
);

/** @returns a text of whatever characters JSON can carry. */
function anyText(random: Random): string {
  if (random.once(3)) return random.pick(['a', 'vm', 'id', 'nope', 'query-name', 'execute', '']);
  return Array.from(
    { length: random.below(random.once(16) ? 200 : 12) },
    () => letters[random.below(letters.length)] ?? 'a',
  ).join('');
}

/** Names that fall into one bucket of QEMU's hash table, names of the protocol, and any text. */
const common = [
  'a',
  'rb',
  'rr',
  'c',
  'tb',
  'tr',
  'b',
  'sb',
  'xl',
  'it',
  'id',
  'return',
  'error',
  'x',
  'y',
  'z',
  'foo',
  'k1',
  'k20',
] as const;

/** @returns `count` different names. */
function names(random: Random, count: number): string[] {
  const found = new Set<string>();
  while (found.size < count)
    found.add(
      random.once(4)
        ? anyText(random) + String(found.size)
        : random.pick(common) + (random.once(3) ? String(found.size) : ''),
    );
  return [...found];
}

function key(random: Random, name: string): string {
  return random.once(6) ? string(random, name) : `"${name}"`;
}

/** @returns `content` as a string of JSON as QEMU reads it: either quote, escapes where they must be and where they may. */
function string(random: Random, content: string): string {
  const quote = random.once(5) ? "'" : '"';
  const eager = random.once(5);
  let out = quote;
  for (const character of content) {
    const code = character.codePointAt(0) ?? 0;
    const must = character === quote || character === '\\' || code < 0x20;
    out += must || (eager && random.once(2)) ? escaped(random, character, code) : character;
  }
  return out + quote;
}

const short: Record<string, string> = {
  '"': '\\"',
  "'": "\\'",
  '\\': '\\\\',
  '/': '\\/',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

function escaped(random: Random, character: string, code: number): string {
  const brief = short[character];
  if (brief !== undefined && !random.once(3)) return brief;
  const unit = (half: number) => {
    const digits = half.toString(16).padStart(4, '0');
    return `\\u${random.once(2) ? digits.toUpperCase() : digits}`;
  };
  if (code < 0x10000) return unit(code);
  return unit(0xd800 + ((code - 0x10000) >> 10)) + unit(0xdc00 + ((code - 0x10000) & 0x3ff));
}

function separator(random: Random): string {
  return random.pick(['\n', '\n', '\r\n', '', '', ' ', ',', '\n\n', '\t']);
}

function bytes(content: string): Buffer {
  return Buffer.from(content);
}

/** Bytes that mean something to the lexer, or nothing at all. */
const spice = [
  ...Buffer.from('{}[]:,"\'\\\n\t -+.eE019truenl%@/#'),
  0x00,
  0x01,
  0x0b,
  0x1b,
  0x7f,
  0x80,
  0xbf,
  0xc0,
  0xc3,
  0xe2,
  0xed,
  0xef,
  0xf0,
  0xf4,
  0xf8,
  0xfd,
  0xfe,
  0xff,
];

function spiceByte(random: Random): number {
  return random.once(4) ? random.below(256) : (spice[random.below(spice.length)] ?? 0);
}

/** @returns `message` with a few bytes changed, put in, taken out, doubled or cut off. */
function mutated(random: Random, message: Buffer): Buffer {
  let out = [...message];
  const times = 1 + random.below(3);
  for (let time = 0; time < times; time++) {
    const at = random.below(out.length + 1);
    const kind = random.below(6);
    if (kind === 0) out[at] = spiceByte(random);
    else if (kind <= 2) out.splice(at, 0, spiceByte(random));
    else if (kind === 3) out.splice(at, 1 + random.below(4));
    else if (kind === 4) out.splice(at, 0, ...out.slice(at, at + 1 + random.below(12)));
    else if (random.once(3)) out = out.slice(0, at);
    else
      out.splice(
        at,
        0,
        ...Buffer.from(
          random.pick([
            'null',
            'tru',
            '-',
            '1e',
            '01',
            '\\u12',
            '\\ud83d',
            '\\q',
            '"a":1,',
            '[[',
            ']]',
            '}}',
            '%s',
            '1.',
          ]),
        ),
      );
  }
  return Buffer.from(out);
}

function garbage(random: Random): Buffer {
  const word = random.pick([
    'help',
    'null',
    'true',
    'info version',
    'GET / HTTP/1.1',
    '42',
    '-1.5e3',
    "'text'",
    '[1,2]',
    '{}',
    '[',
    ']',
    '}',
    '{]',
    '@',
  ]);
  if (random.once(2)) return bytes(word + separator(random));
  return Buffer.from(Array.from({ length: 1 + random.below(16) }, () => spiceByte(random)));
}
