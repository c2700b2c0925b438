/** Errors of system calls, in words. */

/** @returns a system error in words, for people; its own message names system calls */
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

/**
 * @returns what the system itself says of an error, with its code and without the name of the call: `ENOSPC: no space left on device`. For
 *   records and refusals, which programs read too; `describeSystemError` is for people
 */
export function systemReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message.replace(/, [a-z]+(?: '.*')?$/s, '');
}

/** @returns the `code` of a system error (`ENOENT`), or the empty string. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
