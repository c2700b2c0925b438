/**
 * The peer of a Unix socket: the kernel's answer (SO_PEERCRED, unix(7)), taken when the client connected. Node has no call for
 * it, so libc's getsockopt is called through koffi, which is loaded for the first client.
 *
 * Rules may rest only on the uid and gid. The rest is for people: a process may have connected for another that it handed the socket to,
 * and /proc describes the process that has the number now. Where Linux gives a descriptor of the process itself (6.5 and later), facts read
 * about one that has ended are thrown away.
 */

import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { endianness } from 'node:os';
import type { Peer } from '../../mux/ports/link.js';
import { loadKoffi } from '../../system/koffi.js';
import { linuxNumbers } from '../../system/linux.js';
import { userName } from '../address/passwd-lookup.js';
import { descriptorOf } from '../link/node-handle.js';
import { processFacts, readStart as read } from './process-facts.js';

/** struct ucred: pid_t, uid_t, gid_t. */
const UCRED_BYTES = 12;

/**
 * Asks the kernel about a socket.
 * @param length the bytes of `value`, and then of the answer
 * @returns 0, or -1 where the kernel does not answer
 */
export type AskKernel = (
  fd: number,
  option: 'SO_PEERCRED' | 'SO_PEERPIDFD',
  value: Buffer,
  length: Uint32Array,
) => number;

/** Undefined until it is needed, null where it cannot be had. */
let askKernel: AskKernel | null | undefined;

/** Loads koffi (some 10 ms) before the first client comes. */
export function preparePeerCredentials(): void {
  if (askKernel === undefined) askKernel = loadGetsockopt();
}

/** @returns the question by libc's getsockopt, or null where koffi has no binary for this machine, or its numbers are not known. */
function loadGetsockopt(): AskKernel | null {
  try {
    const numbers = linuxNumbers();
    const call: (fd: number, level: number, option: number, value: Buffer, length: Uint32Array) => number = loadKoffi()
      .load(null)
      .func('int getsockopt(int, int, int, void *, void *)');
    return (fd, option, value, length) => call(fd, numbers.SOL_SOCKET, numbers[option], value, length);
  } catch {
    return null;
  }
}

/** @returns what is known of the client behind a socket. */
export function peerOf(socket: Socket): Peer {
  // An inherited socket shows its kind: unix sockets have no address.
  if (socket.remoteAddress === undefined) return unixPeer(socket);
  const peer = { kind: 'tcp', address: socket.remoteAddress, port: socket.remotePort ?? 0 } as const;
  const subject = certificateName(socket);
  return subject === null ? peer : { ...peer, subject };
}

/**
 * @param ask the kernel, but in a test
 * @returns the peer of the socket; only its kind if the kernel gives no answer, or an impossible one: nobody is taken for root because a
 * call failed
 */
export function unixPeer(socket: Socket, ask?: AskKernel): Peer {
  const fd = descriptorOf(socket);
  if (fd === null) return { kind: 'unix' };
  if (ask === undefined) preparePeerCredentials();
  const question = ask ?? askKernel;
  if (question === null || question === undefined) return { kind: 'unix' };
  const ucred = Buffer.alloc(UCRED_BYTES);
  const length = Uint32Array.of(UCRED_BYTES);
  if (question(fd, 'SO_PEERCRED', ucred, length) !== 0 || length[0] !== UCRED_BYTES) return { kind: 'unix' };
  // Numbers of a C struct are in the machine's own order.
  const [pid = 0, uid = 0, gid = 0] =
    endianness() === 'LE'
      ? [0, 4, 8].map((at) => ucred.readUInt32LE(at))
      : [0, 4, 8].map((at) => ucred.readUInt32BE(at));
  const user = userName(uid);
  const who = { kind: 'unix', uid, gid, ...(user === null ? {} : { user }) } as const;
  // 0: a process that this one cannot see, in another namespace.
  if (pid === 0) return who;
  const watch = openWatch(fd, question);
  try {
    const facts = processFacts(pid);
    // Its number may be another's by now, and with it all that was read.
    return watch !== null && hasEnded(watch, pid) ? { ...who, pid } : { ...who, pid, ...facts };
  } finally {
    if (watch !== null) closeSync(watch);
  }
}

/** @returns a descriptor of the peer's process itself, whatever becomes of its number; null before Linux 6.5. */
function openWatch(fd: number, ask: AskKernel): number | null {
  const held = Buffer.alloc(4);
  const length = Uint32Array.of(held.length);
  if (ask(fd, 'SO_PEERPIDFD', held, length) !== 0 || length[0] !== held.length) return null;
  return endianness() === 'LE' ? held.readInt32LE() : held.readInt32BE();
}

/** @returns whether the process of a pidfd is gone, so that its number is free (pidfd_open(2): -1 in fdinfo) */
function hasEnded(watch: number, pid: number): boolean {
  const [, found] = /^Pid:\t(-?\d{1,10})$/m.exec(read(`/proc/self/fdinfo/${watch}`) ?? '') ?? [];
  return found !== undefined && Number(found) !== pid;
}

/** @returns the common name in the certificate of a client that came by TLS; null for others, and for one without a name. */
export function certificateName(socket: Socket): string | null {
  // Loading the module is not worth it for the question whether there is TLS at all: only TLS sockets have this method.
  const ask: unknown = Reflect.get(socket, 'getPeerCertificate');
  if (typeof ask !== 'function') return null;
  const certificate: unknown = Reflect.apply(ask, socket, []);
  const subject: unknown =
    typeof certificate === 'object' && certificate !== null ? Reflect.get(certificate, 'subject') : null;
  const name: unknown = typeof subject === 'object' && subject !== null ? Reflect.get(subject, 'CN') : null;
  return typeof name === 'string' ? name : null;
}
