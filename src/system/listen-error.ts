import { QmpmuxError } from '../shared/errors.js';

/** A socket that cannot be made; the message names the address, the reason and the way out. */
export class ListenError extends QmpmuxError {
  readonly code = 'QMPMUX_LISTEN';

  constructor(place: string, problem: string, options?: ErrorOptions) {
    super(`cannot listen on ${place}: ${problem}`, options);
  }
}

/** A system error in words; its own message names system calls. */
export function describeSystemError(error: unknown): string {
  const code = errorCode(error);
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'EROFS':
      return 'the file system is read-only';
    case 'ENOSPC':
      return 'the file system is full';
    case 'EISDIR':
      return 'it is a folder';
    case 'ELOOP':
      return 'too many symbolic links';
    case 'EMFILE':
    case 'ENFILE':
      return 'too many open files';
    default:
      return error instanceof Error ? error.message || code : String(error);
  }
}

/** @returns the `code` of a system error (`ENOENT`), or the empty string. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
