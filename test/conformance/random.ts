/** Plays random streams, and makes one that tells two targets apart as small as it can. */
import type { RawClient, Target } from '../support/world/raw-client.js';
import { generate, type Part, Random, type Stream } from './generator.js';
import { type Pause, play } from './runner.js';
import { type Case, escape, type Step } from './transcript.js';

/** How a stream is written: every part at once, byte by byte, or cut at random places. */
export type Cutting = 'whole' | 'bytes' | 'cut';

/** How many more times a stream that fails is played to make it smaller. */
const shrinkingLimit = 300;

/** Whatever state the parser is in, 0xFF ends it; the answer to the command behind it comes when all before it is answered. */
function sync(index: number): Buffer {
  return Buffer.from(`\xff\n{"execute":"sync","id":"sync-${index}"}\n`, 'latin1');
}

const untilSynced: Pause = (client: RawClient, lines) =>
  client.readLinesUntil((line) => line.startsWith(`{"id": "${lines[0]}", "error": `));

function asCase(stream: Stream, cutting: Cutting): Case {
  const random = new Random(stream.seed);
  const steps = stream.parts.flatMap((part, index): Step[] => {
    const bytes = Buffer.concat([...part, sync(index)]);
    const sent = cutting === 'cut' ? cut(random, bytes) : [bytes];
    return [
      ...sent.map((piece): Step => ({ kind: 'send', bytes: piece })),
      { kind: 'expect', lines: [`sync-${index}`] },
    ];
  });
  const { setup } = stream;
  const name = `stream ${stream.seed}`;
  return {
    name,
    place: name,
    setup,
    end: 'command',
    greeting: 'read',
    vm: 'shared',
    chunks: 'any',
    slow: false,
    steps,
  };
}

function cut(random: Random, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const next = at + 1 + random.below(random.once(2) ? 4 : 64);
    pieces.push(bytes.subarray(at, next));
    at = next;
  }
  return pieces;
}

/** @returns every byte `target` answers to `stream`. */
export async function playStream(target: Target, stream: Stream, cutting: Cutting): Promise<Buffer> {
  return (await play(target, asCase(stream, cutting), cutting === 'bytes' ? 'bytes' : 'whole', untilSynced)).bytes;
}

export interface Difference {
  readonly stream: Stream;
  readonly cutting: Cutting;
  readonly expected: Buffer;
  readonly actual: Buffer;
}

/** @returns how `subject` differs from `reference` for this stream, or null. */
export async function difference(
  reference: Target,
  subject: Target,
  stream: Stream,
  cuttings: readonly Cutting[],
): Promise<Difference | null> {
  const expected = await playStream(reference, stream, 'whole');
  for (const cutting of cuttings) {
    const actual = await playStream(subject, stream, cutting);
    if (!actual.equals(expected)) return { stream, cutting, expected, actual };
  }
  return null;
}

/** @returns a difference like `found` with fewer pieces and bytes, as far as `shrinkingLimit` goes. */
export async function shrink(reference: Target, subject: Target, found: Difference): Promise<Difference> {
  const state = { best: found, left: shrinkingLimit };
  const attempt = async (parts: readonly Part[]): Promise<boolean> => {
    if (state.left === 0) return false;
    state.left--;
    const smaller = await difference(reference, subject, { ...state.best.stream, parts }, [state.best.cutting]);
    if (smaller !== null) state.best = smaller;
    return smaller !== null;
  };
  const parts = () => state.best.stream.parts;
  for (let part = parts().length - 1; part >= 0; part--) await attempt(parts().toSpliced(part, 1));
  for (let part = 0; part < parts().length; part++) {
    const pieces = () => parts()[part] ?? [];
    const attemptPart = (smaller: Part) => attempt(parts().toSpliced(part, 1, smaller));
    for (let piece = pieces().length - 1; piece >= 0; piece--) await attemptPart(pieces().toSpliced(piece, 1));
    // Cut anywhere, a message is malformed, and that QEMU does not survive everywhere: see the generator.
    if (found.stream.setup !== 'plain') continue;
    // runs of half of what is left, a quarter, … one byte
    const whole = () => Buffer.concat([...pieces()]);
    for (let run = whole().length >> 1; run >= 1; run >>= 1) {
      for (let at = 0; at < whole().length; ) {
        const rest = Buffer.concat([whole().subarray(0, at), whole().subarray(at + run)]);
        if (!(await attemptPart([rest]))) at += run;
      }
    }
  }
  return state.best;
}

/** @returns a difference as people read it: the stream as a transcript, and the first lines that differ. */
export function describeDifference({ stream, cutting, expected, actual }: Difference): string {
  const [wanted, got] = [linesOf(expected), linesOf(actual)];
  const at = wanted.findIndex((line, index) => line !== got[index]);
  const from = at < 0 ? wanted.length : at;
  return [
    `written ${cutting}:`,
    describeStream(stream),
    `answers differ from line ${from + 1} (the greeting is line 1); QEMU:`,
    ...linesFrom(wanted, from),
    'qmpmux:',
    ...linesFrom(got, from),
  ].join('\n');
}

/** @returns a stream as a transcript would have it, and how to play it again. */
export function describeStream(stream: Stream): string {
  return [
    `# stream ${stream.seed}; to play it again: QMPMUX_SEED=${stream.seed} QMPMUX_STREAMS=1`,
    `setup: ${stream.setup}`,
    ...stream.parts.map((part) => `-> ${escape(Buffer.concat([...part]))}`),
  ].join('\n');
}

function linesOf(bytes: Buffer): string[] {
  return bytes.toString('latin1').split(/(?<=\n)/);
}

function linesFrom(lines: readonly string[], from: number): string[] {
  const shown = lines.slice(from, from + 3).map((line) => `<- ${escape(Buffer.from(line, 'latin1')).slice(0, 600)}`);
  return shown.length === 0 ? ['(nothing more)'] : shown;
}

/** @returns the streams of a run: `count` of them, from `seed` on. */
export function* streams(seed: number, count: number): Generator<Stream> {
  for (let index = 0; index < count; index++) yield generate((seed + index) >>> 0);
}
