/** Sends open files over a test's unix socket, and counts those of a process. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { messageCalls } from '../../../dist/net/link/message-calls.js';
import { descriptorOf } from '../../../dist/net/link/node-handle.js';

/** Sends bytes in one sendmsg with these descriptors, which stay open here. Nothing may be left to be written by Node. */
export function sendWith(socket: Socket, bytes: string, descriptors: readonly number[]): void {
  const fd = descriptorOf(socket);
  assert.ok(fd !== null && socket.writableLength === 0);
  const sent = messageCalls()?.send(fd, Buffer.from(bytes), descriptors);
  assert.equal(sent, Buffer.byteLength(bytes));
}

/** How many files a process has open; by default this one. */
export function openFiles(pid: number | 'self' = 'self'): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Waits until a process has no more than `most` files open: it closes a connection a little later than its client. */
export async function fewerOpenFiles(pid: number, most: number): Promise<void> {
  for (const end = Date.now() + 20_000; openFiles(pid) > most; await setTimeout(5)) {
    assert.ok(Date.now() < end, `process ${pid} has ${openFiles(pid)} files open, ${most} at most expected`);
  }
}
