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
