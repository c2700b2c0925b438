import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { SharedReader } from '../../../dist/net/link/shared-reader.js';
import { scratch } from '../../support/files/scratch.js';

/** @returns the far ends of `count` sockets, and those who read the near ends */
async function pairs(
  t: TestContext,
  count: number,
): Promise<{ far: Socket[]; near: Socket[]; readers: SharedReader[] }> {
  const path = `${scratch(t)}/s`;
  const far: Socket[] = [];
  const server = createServer((socket) => far.push(socket)).listen(path);
  await once(server, 'listening');
  const readers = Array.from({ length: count }, () => new SharedReader());
  const near = readers.map(({ options }) => connect({ path, onread: options }));
  t.after(() => {
    for (const socket of [...near, ...far]) socket.destroy();
    server.close();
  });
  await Promise.all(near.map((socket) => once(socket, 'connect')));
  while (far.length < count) await once(server, 'connection');
  return { far, near, readers };
}

describe('a reader of many sockets', () => {
  it('hands on the bytes of each peer, in chunks that never change', async (t) => {
    const { far, near, readers } = await pairs(t, 3);
    const chunks: Uint8Array[][] = readers.map(() => []);
    readers.forEach((reader, at) => {
      reader.start((chunk) => chunks[at]?.push(chunk));
    });
    const sent = far.map((_, at) => Buffer.alloc(700_000 * (at + 1), `${at}abcdefghijklm`));
    const ends = near.map((socket) => once(socket, 'end'));
    far.forEach((socket, at) => {
      const bytes = sent[at] ?? Buffer.alloc(0);
      for (let from = 0; from < bytes.length; from += 70_001) socket.write(bytes.subarray(from, from + 70_001));
      socket.end();
    });
    await Promise.all(ends);
    chunks.forEach((list, at) => {
      assert.ok(sent[at]?.equals(Buffer.concat(list)), `socket ${at}`);
    });
  });

  it('keeps input that comes before anyone asks', async (t) => {
    const { far, near, readers } = await pairs(t, 1);
    far[0]?.end('early');
    await once(near[0] ?? assert.fail(), 'end');
    const got: string[] = [];
    readers[0]?.start((chunk) => got.push(Buffer.from(chunk).toString()));
    assert.deepEqual(got, ['early']);
  });
});
