/** Sends open files over a test's unix socket, and counts those of a process. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { messageCalls } from '../../dist/net/message-calls.js';
import { descriptorOf } from '../../dist/net/socket-link.js';

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
