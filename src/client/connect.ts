/** Opening the stream to a QMP server: a Unix or TCP socket, or one that the caller has already. */
import { connect as connectSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ConnectionError } from './errors.js';

/** Where a QMP server is: a Unix socket's path, a TCP address, or a stream that is connected to one. */
export type QmpTarget = { readonly path: string } | { readonly host: string; readonly port: number } | Duplex;

/** @returns the target as people write it, for messages. */
export function describeTarget(target: QmpTarget): string {
  if (isStream(target)) return 'the QMP server';
  if ('path' in target) return `unix:${target.path}`;
  return `tcp:${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
}

/** @throws ConnectionError, or the reason of `signal`. */
export async function openStream(target: QmpTarget, signal?: AbortSignal): Promise<Duplex> {
  signal?.throwIfAborted();
  if (isStream(target)) {
    if (target.destroyed) throw new ConnectionError('QMPMUX_CLOSED', 'the stream is closed already');
    return target;
  }
  const socket = connectSocket({ ...target, allowHalfOpen: true });
  // A host that is gone without a word is noticed half a minute later.
  if ('port' in target) socket.setNoDelay(true).setKeepAlive(true, 20_000);
  try {
    await new Promise<void>((resolve, reject) => {
      const abort = () => reject(signal?.reason);
      signal?.addEventListener('abort', abort, { once: true });
      socket.once('connect', resolve);
      socket.once('error', reject);
      const settled = () => {
        signal?.removeEventListener('abort', abort);
        socket.off('connect', resolve);
        socket.off('error', reject);
      };
      socket.once('connect', settled);
      socket.once('close', settled);
    });
    return socket;
  } catch (error) {
    socket.on('error', () => {}); // nobody waits for this connection any more
    socket.destroy();
    if (signal?.aborted === true) throw error;
    throw connectFailure(target, error);
  }
}

function isStream(target: QmpTarget): target is Duplex {
  return 'pipe' in target;
}

function connectFailure(target: QmpTarget, error: unknown): ConnectionError {
  const where = describeTarget(target);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  switch (code) {
    case 'ECONNREFUSED':
      return new ConnectionError('QMPMUX_REFUSED', `${where}: nothing listens there`, error);
    case 'ENOENT':
      return new ConnectionError('QMPMUX_REFUSED', `${where}: no such socket`, error);
    case 'EACCES':
      return new ConnectionError('QMPMUX_UNREACHABLE', `${where}: permission denied`, error);
    case 'EAGAIN':
      // A full backlog of a Unix socket.
      return new ConnectionError(
        'QMPMUX_UNREACHABLE',
        `${where}: busy with other clients; QEMU serves one at a time`,
        error,
      );
    default: {
      const what = error instanceof Error ? error.message : String(error);
      return new ConnectionError('QMPMUX_UNREACHABLE', `${where}: ${what}`, error);
    }
  }
}
