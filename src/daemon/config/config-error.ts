/** A config that cannot be used, as a whole or one file of it. */
import { QmpmuxError } from '../../shared/errors.js';

/** The message begins with the file and, if it is known, the line. */
export class ConfigError extends QmpmuxError {
  readonly code = 'QMPMUX_CONFIG';
}

/** A file of a folder that cannot be used. */
export interface FileFault {
  readonly file: string;
  /** Begins with the file and, if it is known, the line. */
  readonly problem: string;
}
