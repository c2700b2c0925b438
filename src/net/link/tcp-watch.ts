/**
 * Notices that the peer of a TCP connection is gone without a word: no power, a cable that is out, a host that sleeps. The kernel by itself
 * finds out after two hours of silence, or a quarter of an hour with something to be sent.
 *
 * - Where nothing is on its way, the kernel asks the peer (keepalive) after a silence, and gives up after ten unanswered questions, one a
 *   second; Node sets that.
 * - Where bytes are on their way, the kernel asks nothing: they are the question. Here we check when the peer last acknowledged anything
 * (TCP_INFO, tcp(7), by libc through koffi). TCP_USER_TIMEOUT would do the same in the kernel, but also end a connection whose
 *   peer is there and does not read (a full window), which is that peer's right.
 *
 * Only time in which this process ran counts.
 */
import type { Socket } from 'node:net';
import { loadKoffi } from '../../system/koffi.js';
import { IPPROTO_TCP, TCP_INFO } from '../../system/linux.js';
import { descriptorOf } from './node-handle.js';

/** How long a peer may be silent that is asked something, unless said otherwise. In milliseconds. */
export const DEFAULT_KEEP_ALIVE = 30_000;
/** The shortest setting; the kernel's questions alone take ten seconds. */
export const SHORTEST_KEEP_ALIVE = 15_000;
export const LONGEST_KEEP_ALIVE = 3_600_000;
/** How long the kernel asks: TCP_KEEPCNT times TCP_KEEPINTVL, as libuv sets them. */
const KERNEL_PROBING_MS = 10_000;
/** How often it is looked. */
const LOOK_INTERVAL_MS = 2000;

/** The beginning of struct tcp_info (linux/tcp.h), which only ever grew at its end: bytes and 32-bit words, the same on every architecture. */
const INFO_BYTES = 60;
const PROBES = 3;
const UNACKED = 24;
const LAST_ACK_RECEIVED = 56;

type GetSockOpt = (fd: number, level: number, option: number, value: Uint8Array, length: Uint32Array) => number;

interface Watched {
  /** In milliseconds. */
  readonly time: number;
  /** The least time for which no byte on its way has been acknowledged; -1 while none is on its way, or one was. */
  silence: number;
}

const watched = new Map<Socket, Watched>();
let looks: NodeJS.Timeout | null = null;
/** Undefined until it is needed, null where it cannot be had. */
let getsockopt: GetSockOpt | null | undefined;
const info = new Uint8Array(INFO_BYTES);
const words = new Uint32Array(info.buffer);
const length = new Uint32Array(1);

/** The milliseconds of silence after which the kernel asks, for a peer that is to be given up after `time`. */
export function keepAliveDelay(time: number): number {
  return Math.max(1000, time - KERNEL_PROBING_MS);
}

/**
 * Ends the connection, by an error ETIMEDOUT, when its peer is gone.
 * @param socket over TCP, connected, perhaps with TLS
 * @param time how long the peer may leave questions unanswered, in milliseconds; 0 for ever
 */
export function watchTcp(socket: Socket, time: number): void {
  if (time === 0) {
    socket.setKeepAlive(false);
    return;
  }
  socket.setKeepAlive(true, keepAliveDelay(time));
  watched.set(socket, { time, silence: -1 });
  socket.once('close', () => {
    watched.delete(socket);
    if (watched.size > 0 || looks === null) return;
    clearInterval(looks);
    looks = null;
  });
  looks ??= setInterval(look, LOOK_INTERVAL_MS).unref();
}

function look(): void {
  if (getsockopt === undefined) getsockopt = loadGetsockopt();
  if (getsockopt === null) return;
  for (const [socket, state] of watched) {
    if (!isUnanswered(getsockopt, socket)) state.silence = -1;
    else state.silence = state.silence < 0 ? 0 : state.silence + LOOK_INTERVAL_MS;
    if (state.silence < state.time) continue;
    socket.destroy(Object.assign(new Error('the peer acknowledges no data'), { code: 'ETIMEDOUT' }));
  }
}

/** Whether something is on its way, and nothing was acknowledged since the last look. */
function isUnanswered(ask: GetSockOpt, socket: Socket): boolean {
  const fd = descriptorOf(socket);
  if (fd === null) return false;
  length[0] = INFO_BYTES;
  if (ask(fd, IPPROTO_TCP, TCP_INFO, info, length) !== 0 || (length[0] ?? 0) < INFO_BYTES) return false;
  const isOnItsWay = (words[UNACKED / 4] ?? 0) > 0 || (info[PROBES] ?? 0) > 0;
  return isOnItsWay && (words[LAST_ACK_RECEIVED / 4] ?? 0) >= LOOK_INTERVAL_MS;
}

/** @returns libc's getsockopt, or null where koffi has no binary for this machine, or this is no Linux. */
function loadGetsockopt(): GetSockOpt | null {
  if (process.platform !== 'linux') return null;
  try {
    return loadKoffi().load(null).func('int getsockopt(int, int, int, void *, void *)');
  } catch {
    return null;
  }
}
