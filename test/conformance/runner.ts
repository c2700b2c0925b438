/**
 * Plays a case against whatever listens at a target and returns every byte that came back. It knows nothing of what is
 * right: the judgement is that QEMU and qmpmux in front of an identical QEMU return the same bytes.
 */
import { RawClient, type Target } from '../support/world/raw-client.js';
import type { Case, Setup } from './transcript.js';

/** Each write as it stands in the transcript, or one write for every byte. */
export type Chunking = 'whole' | 'bytes';

const negotiation: Record<Exclude<Setup, 'none'>, string> = {
  plain: '{"execute":"qmp_capabilities"}\n',
  oob: '{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}\n',
};
const negotiated = '{"return": {}}';

/** The last command of a case: its answer comes after all others, and both sides know it to be an error. */
const lastCommand = '\n{"execute":"end-of-case","id":"end-of-case"}\n';

function isLastAnswer(line: string): boolean {
  return line.startsWith('{"id": "end-of-case", "error": ');
}

/** What a target said in one case. */
export interface Heard {
  /** Every byte, from the greeting to EOF, with the times of events as zeros. */
  readonly bytes: Buffer;
  /** The lines that a transcript records: without the greeting, the set-up and the last command's answer. */
  readonly lines: readonly string[];
}

/** Waits, in the middle of a case, for the answers that a step expects. */
export type Pause = (client: RawClient, lines: readonly string[]) => Promise<unknown>;

/** Plays one case on a connection of its own. */
export async function play(
  target: Target,
  one: Case,
  chunking: Chunking,
  pause: Pause = (client, lines) => client.readLines(lines.length),
): Promise<Heard> {
  const client = await RawClient.connect(target);
  try {
    const write = (bytes: string | Uint8Array) =>
      chunking === 'bytes' && one.chunks === 'any' ? client.writeByByte(bytes) : client.write(bytes);
    if (one.greeting === 'read') await client.readLine();
    if (one.setup !== 'none') {
      await client.write(negotiation[one.setup]);
      if (one.greeting === 'read') await client.readLine();
    }
    for (const [index, step] of one.steps.entries()) {
      if (step.kind === 'send') await write(step.bytes);
      else if (index < one.steps.length - 1) await pause(client, step.lines);
    }
    if (one.end === 'command') {
      await write(lastCommand);
      await client.readLinesUntil(isLastAnswer);
    }
    if (one.end !== 'eof') client.halfClose();
    await client.readToEnd();
    const bytes = masked(client.received);
    return { bytes, lines: recordedLines(bytes, one) };
  } finally {
    await client.close();
  }
}

/** @returns the lines a transcript says will come, as `Heard.lines` has them. */
export function expectedLines(one: Case): string[] {
  return one.steps.flatMap((step) => (step.kind === 'expect' ? step.lines : []));
}

/** @returns `bytes` with every event's time replaced by zeros. */
export function masked(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1');
  const time = /("timestamp": \{"seconds": )\d+(, "microseconds": )\d+\}/g;
  return Buffer.from(text.replace(time, '$10$20}'), 'latin1');
}

function recordedLines(bytes: Buffer, one: Case): string[] {
  const lines = bytes.toString('latin1').split('\r\n');
  // a last line without its end would be a fault of the peer: it stays, and is seen
  if (lines.at(-1) === '') lines.pop();
  lines.shift();
  if (one.setup !== 'none' && lines[0] === negotiated) lines.shift();
  const last = lines.at(-1);
  if (one.end === 'command' && last !== undefined && isLastAnswer(last)) lines.pop();
  return lines;
}
