/** The certificates of a TLS listener, in a folder and under names as QEMU's own `tls-creds-x509` has them. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { describeSystemError } from '../../system/system-error.js';
import { ListenError } from './listen-error.js';

export interface TlsFiles {
  /** The authority that signs clients' certificates. */
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Reads and tries them. @throws ListenError that names the file */
export function readTlsFiles(folder: string, place: string): TlsFiles {
  const read = (name: string): Buffer => {
    const file = join(folder, name);
    try {
      return readFileSync(file);
    } catch (error) {
      throw new ListenError(place, `${file}: ${describeSystemError(error)}`, { cause: error });
    }
  };
  const files = { ca: read('ca-cert.pem'), cert: read('server-cert.pem'), key: read('server-key.pem') };
  try {
    createSecureContext(files);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ListenError(place, `the certificates in ${folder} cannot be used: ${why}`, { cause: error });
  }
  return files;
}
