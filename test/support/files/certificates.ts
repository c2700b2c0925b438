/** Certificates for tests of TLS. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { type Scope, scratch } from './scratch.js';

/** Makes an authority, and certificates for a server and a client, under QEMU's names. @returns their folder */
export function makeCertificates(context: Scope): string {
  const folder = scratch(context);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'rsa:2048', '-nodes', '-batch'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca-key.pem',
    '-out',
    'ca-cert.pem',
    '-subj',
    '/CN=test authority',
    '-days',
    '2',
  );
  for (const [name, subject] of [
    ['server', '/CN=localhost'],
    ['client', '/CN=backup'],
  ] as const) {
    openssl('req', ...key, '-keyout', `${name}-key.pem`, '-out', `${name}.csr`, '-subj', subject);
    writeFileSync(join(folder, 'ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
    const signing = ['-CA', 'ca-cert.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial', '-days', '2', '-extfile', 'ext'];
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}-cert.pem`, ...signing);
  }
  return folder;
}

/** The options a client connects with. */
export function tlsOptions(folder: string, withCertificate: boolean): ConnectionOptions {
  const read = (name: string) => readFileSync(join(folder, name));
  const own = { cert: read('client-cert.pem'), key: read('client-key.pem') };
  return { ca: read('ca-cert.pem'), servername: 'localhost', ...(withCertificate ? own : {}) };
}
