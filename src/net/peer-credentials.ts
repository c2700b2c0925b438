/**
 * Who is at the other end of a Unix socket: the kernel's word (SO_PEERCRED, unix(7)), taken when the client connected. Node has no call for
 * it, so libc's getsockopt is called through koffi, which is loaded for the first client.
 *
 * A process id may be that of a process that has ended since, and its number given to another: the uid and gid are what a rule may rest
 * on, pid and program are for people.
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { endianness } from 'node:os';
import { loadKoffi } from '../koffi.js';
import type { Peer } from '../mux/link.js';

/** From asm-generic/socket.h; the same on every architecture that Node 20 is built for. */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid_t, uid_t, gid_t. */
const UCRED_BYTES = 12;

type GetSockOpt = (fd: number, level: number, option: number, value: Buffer, length: Uint32Array) => number;

/** Undefined until it is needed, null where it cannot be had. */
let getsockopt: GetSockOpt | null | undefined;

/** Loads what the first client needs (some 10 ms), before it comes. */
export function preparePeerCredentials(): void {
  if (getsockopt === undefined) getsockopt = loadGetsockopt();
}

/** @returns libc's getsockopt, or null where koffi has no binary for this machine. */
function loadGetsockopt(): GetSockOpt | null {
  try {
    const koffi = loadKoffi();
    return koffi.load(null).func('int getsockopt(int, int, int, void *, void *)');
  } catch {
    return null;
  }
}

/** @returns what a client's socket tells of who is there. */
export function peerOf(socket: Socket): Peer {
  // A socket that was handed over is known by what it tells: unix sockets have no address.
  if (socket.remoteAddress === undefined) return unixPeer(socket);
  const peer = { kind: 'tcp', address: socket.remoteAddress, port: socket.remotePort ?? 0 } as const;
  const subject = certificateName(socket);
  return subject === null ? peer : { ...peer, subject };
}

/** @returns what the socket tells of its peer; only the kind where it tells nothing. */
export function unixPeer(socket: Socket): Peer {
  const fd = descriptorOf(socket);
  if (fd < 0) return { kind: 'unix' };
  preparePeerCredentials();
  if (getsockopt === null || getsockopt === undefined) return { kind: 'unix' };
  const ucred = Buffer.alloc(UCRED_BYTES);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ucred, Uint32Array.of(UCRED_BYTES)) !== 0) return { kind: 'unix' };
  // Numbers of a C struct are in the machine's own order.
  const [pid = 0, uid = 0, gid = 0] =
    endianness() === 'LE'
      ? [0, 4, 8].map((at) => ucred.readUInt32LE(at))
      : [0, 4, 8].map((at) => ucred.readUInt32BE(at));
  const who = { kind: 'unix', uid, gid } as const;
  // 0: a process that this one cannot see, in another namespace.
  if (pid === 0) return who;
  const program = programOf(pid);
  return program === null ? { ...who, pid } : { ...who, pid, program };
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

function descriptorOf(socket: Socket): number {
  // Node keeps the descriptor on its handle, and nowhere official.
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  return typeof fd === 'number' ? fd : -1;
}

/** @returns the name of process `pid`'s program (15 bytes at most), or null where it has ended or may not be seen. */
function programOf(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd();
  } catch {
    return null;
  }
}
