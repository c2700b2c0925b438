/** What stands at QEMU's path for a while and is none: it greets and agrees as QEMU does, and then says anything. */
import { createServer, type Socket } from 'node:net';
import type { Random } from '../conformance/generator.js';
import { FakeQemu } from '../support/world/fake-qemu.js';
import { garbageOf } from './garbage.js';

export interface BadUpstream {
  /** How many connections it has had. */
  readonly connections: number;
  /** Pieces that it has sent. */
  readonly pieces: number;
  close(): Promise<void>;
}

/** Listens at `path`, and says something each `every` milliseconds. */
export async function badUpstream(path: string, random: Random, every: number): Promise<BadUpstream> {
  const sockets = new Set<Socket>();
  const figures = { connections: 0, pieces: 0 };
  const server = createServer((socket) => {
    figures.connections++;
    sockets.add(socket);
    const qemu = new FakeQemu((chunk) => socket.write(chunk), {});
    let hasAgreed = false;
    const speech = setInterval(() => {
      if (!hasAgreed) return;
      figures.pieces++;
      socket.write(saying(random), 'latin1');
    }, every);
    socket.on('error', () => {});
    socket.once('close', () => {
      clearInterval(speech);
      sockets.delete(socket);
    });
    socket.on('data', (chunk: Buffer) => {
      if (hasAgreed) return;
      qemu.receive(chunk.toString('latin1'));
      qemu.answerHandshake();
      hasAgreed = true;
    });
    qemu.greet();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return {
    get connections() {
      return figures.connections;
    },
    get pieces() {
      return figures.pieces;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Answers that nobody waits for, or somebody does; errors of nobody; events; noise. */
function saying(random: Random): string {
  const id = random.below(12);
  switch (random.below(5)) {
    case 0:
      return `{"return": {"from": "a bad upstream"}, "id": ${id}}\r\n`;
    case 1:
      return `{"id": ${id + 95}, "error": {"class": "GenericError", "desc": "none"}}\r\n`;
    case 2:
      return `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "NOISE"}\r\n`;
    case 3:
      return `${garbageOf(random, 200)}\r\n`;
    default:
      return garbageOf(random, 50);
  }
}
