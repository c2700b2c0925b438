/** Connecting over TCP, and the reason of a failure, in words for the person who can mend it. */

import { connect, type Socket } from 'node:net';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import { DEFAULT_KEEP_ALIVE, keepAliveDelay } from './tcp-watch.js';

/** @param family 4 or 6 where only that one is wanted */
export function openTcp(host: string, port: number, family?: 4 | 6): Socket {
  return connect({
    host,
    port,
    family: family ?? 0,
    // Both families of a name are tried (RFC 8305): QEMU often listens on one of localhost's only.
    autoSelectFamily: true,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveDelay(DEFAULT_KEEP_ALIVE),
  });
}

export function describeTcp(host: string, error: Error): string {
  switch (errorCode(error)) {
    case 'ECONNREFUSED':
      return 'connection refused: nothing listens on this port';
    case 'ENOTFOUND':
      return `the name ${host} is unknown`;
    case 'EAI_AGAIN':
      return `cannot look up the name ${host} now`;
    case 'ETIMEDOUT':
      return 'no answer';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'the host is unreachable';
    default:
      return describeSystemError(error);
  }
}
