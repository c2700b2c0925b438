/** A QEMU that agrees as QEMU does, answers now and then, and lies for the rest. */
import { createServer, type Server, type Socket } from 'node:net';
import type { Random } from '../conformance/generator.js';
import { FakeQemu } from '../support/world/fake-qemu.js';
import { garbageOf } from './garbage.js';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "lies"}, "capabilities": ["oob"]}}';
const TIME = '"timestamp": {"seconds": 1, "microseconds": 2}';

/** Counts what it said under the kind of it. */
export type Count = (kind: string) => void;

/** Listens at `path` until the process ends. */
export function lyingQemu(path: string, random: Random, count: Count): Server {
  return createServer((socket) => {
    const qemu = new FakeQemu((chunk) => socket.write(chunk), {});
    let hasAgreed = false;
    const ids: string[] = [];
    const speech = setInterval(() => {
      // What is not read does not pile up here.
      if (hasAgreed && socket.writableLength === 0) say(socket, random, ids, count);
    }, 15);
    socket.on('error', () => {});
    socket.once('close', () => clearInterval(speech));
    socket.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1');
      if (!hasAgreed) {
        qemu.receive(text);
        qemu.answerHandshake();
        hasAgreed = true;
        return;
      }
      for (const [, id] of text.matchAll(/"id": ?(\d+|"[^"]*")/g)) if (id !== undefined) ids.push(id);
    });
    qemu.greet();
  }).listen(path);
}

function say(socket: Socket, random: Random, ids: string[], count: Count): void {
  const [kind, text] = lie(random, ids);
  count(kind);
  socket.write(text, 'latin1');
  if (random.once(200)) socket.destroy();
}

/** @returns the kind of it, and the bytes; most often what a well QEMU says, for there is nobody left to lie to otherwise */
function lie(random: Random, ids: string[]): readonly [kind: string, text: string] {
  const size = 2 ** random.below(22);
  const id = ids.shift() ?? '0';
  switch (random.below(30)) {
    case 0:
      return ['a huge event', `{${TIME}, "event": "BIG", "data": {"x": "${'y'.repeat(size)}"}}\r\n`];
    case 1:
      return [
        'a nested event',
        `{${TIME}, "event": "DEEP", "data": ${'[{"a":'.repeat(size / 64)}1${'}]'.repeat(size / 64)}}\r\n`,
      ];
    case 2:
      return ['json in an event', `{${TIME}, "event": "TEXT", "data": {"x": ${JSON.stringify(textsIn(6))}}}\r\n`];
    case 3:
      return ['a second greeting', `${GREETING}\r\n`];
    case 4:
      return ['a wrong id', `{"return": {}, "id": ${random.below(1e6)}}\r\n`];
    case 5:
      return ['a nested id', `{"return": {}, "id": ${'['.repeat(900)}${']'.repeat(900)}}\r\n`];
    case 6:
      return ['an answer twice', `{"return": {}, "id": ${id}}\r\n`.repeat(2)];
    case 7:
      return [
        'a long error',
        `{"id": ${id}, "error": {"class": "GenericError", "desc": "${'://a:b@'.repeat(size / 8)}"}}\r\n`,
      ];
    case 8:
      return ['garbage', `${garbageOf(random, 200)}\r\n`];
    case 9:
      return ['a message in pieces', `{"return": {"x":\r\n[1,\r\n2]}, "id": ${id}}\r\n`];
    case 10:
      return ['a long name of an event', `{${TIME}, "event": "${'N'.repeat(size)}"}\r\n`];
    case 11:
      return ['many events', `{${TIME}, "event": "ONE_OF_MANY"}\r\n`.repeat(2000)];
    case 12:
      return random.once(4)
        ? ['a message without an end', `{"return": "${'z'.repeat(size)}`]
        : ['bytes', '\xff\x00\x80\r\n'];
    default:
      return ['an answer', `{"return": {"n": ${random.below(9)}}, "id": ${id}}\r\n`];
  }
}

function textsIn(levels: number): string {
  let inner = '1';
  for (let level = 0; level < levels; level++) {
    inner = JSON.stringify(`json:{"password":${'['.repeat(500)}${inner}${']'.repeat(500)}}`);
  }
  return inner;
}
