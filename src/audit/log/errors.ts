/** The audit log's errors. */
import { QmpmuxError } from '../../shared/errors.js';

/** A setting or an argument that makes no sense. */
export class AuditSettingError extends QmpmuxError {
  readonly code = 'QMPMUX_AUDIT_SETTING';
}

/** The audit log cannot be opened for writing: the daemon must not start. */
export class AuditOpenError extends QmpmuxError {
  readonly code = 'QMPMUX_AUDIT_OPEN';
}

/** An audit log cannot be read. */
export class AuditReadError extends QmpmuxError {
  readonly code = 'QMPMUX_AUDIT_READ';
}

/** @returns what the system says of an error, without the name of the call: `ENOSPC: no space left on device`. */
export function systemReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message.replace(/, [a-z]+(?: '.*')?$/s, '');
}

/** @returns the system's code of an error, such as `ENOENT`, or an empty text. */
export function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
