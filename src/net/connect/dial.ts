/** One attempt to reach QEMU, and the reason of a failure, in words for the person who can mend it. */

import { lstatSync, type Stats, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import type { DialAddress, TcpAddress, UnixAddress } from '../address/address.js';
import { dialLibvirt } from '../libvirt/dial.js';
import { CommandConnection } from '../link/command-connection.js';
import { SocketConnection } from '../link/connection.js';
import type { DialOutcome } from '../link/dial-outcome.js';
import { SharedReader } from '../link/shared-reader.js';
import { describeTcp, openTcp } from '../link/tcp.js';
import { DEFAULT_KEEP_ALIVE, watchTcp } from '../link/tcp-watch.js';
import { kindOf } from '../listen/socket-file.js';

/**
 * Dials; one of `connected` and `failed` follows.
 * @returns an `abort` that takes the attempt back: neither is called any more.
 */
export function dial(address: DialAddress, outcome: DialOutcome): { readonly abort: () => void } {
  if (address.kind === 'exec') {
    return CommandConnection.start({
      command: address.command,
      said: (line, pid) => {
        outcome.said(line, pid);
      },
      started: (connection) => {
        outcome.connected(connection);
      },
      failed: (reason) => {
        outcome.failed(reason);
      },
    });
  }
  if (address.kind === 'libvirt') return dialLibvirt(address, outcome);
  const reader = address.kind === 'unix' ? new SharedReader() : null;
  const socket = openSocket(address, reader);
  const failed = (error: Error) => {
    outcome.failed(address.kind === 'unix' ? describeUnix(address, error) : describeTcp(address.host, error));
  };
  socket.once('error', failed);
  socket.once('connect', () => {
    socket.off('error', failed);
    if (address.kind === 'tcp') watchTcp(socket, address.keepAlive ?? DEFAULT_KEEP_ALIVE);
    outcome.connected(new SocketConnection(socket, reader));
  });
  return {
    abort: () => {
      socket.removeAllListeners('connect');
      socket.off('error', failed);
      socket.on('error', ignore);
      socket.destroy();
    },
  };
}

function ignore(): void {
  // an attempt that nobody waits for any more
}

function openSocket(address: UnixAddress | TcpAddress, reader: SharedReader | null): Socket {
  if (address.kind === 'tcp') return openTcp(address.host, address.port, address.family);
  return connect({ path: address.path, allowHalfOpen: true, ...(reader === null ? {} : { onread: reader.options }) });
}

function describeUnix({ path }: UnixAddress, error: Error): string {
  switch (errorCode(error)) {
    case 'ENOENT':
      if (look(path, lstatSync) !== null) return 'it is a dangling symbolic link';
      return look(dirname(path)) === null ? `there is no folder ${dirname(path)}` : 'there is no such file';
    case 'ENOTDIR':
      return `${dirname(path)} is no folder`;
    case 'ECONNREFUSED': {
      const target = look(path);
      if (target !== null && !target.isSocket()) return `it is ${kindOf(target)}, not a socket`;
      return 'connection refused: this socket is left over from a QEMU that has ended';
    }
    case 'EAGAIN':
      return 'too many clients are waiting to connect: another client holds this monitor';
    case 'EPROTOTYPE':
      return 'it is not a stream socket';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied: run qmpmux as a user who may write to this socket';
    default:
      return describeSystemError(error);
  }
}

/** @returns the file at `path`, or null when there is none or it cannot be seen. */
function look(path: string, stat: (path: string) => Stats = statSync): Stats | null {
  try {
    return stat(path);
  } catch {
    return null;
  }
}
