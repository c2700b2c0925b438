/** The mechanisms of SASL by which we can log in, and which of them is used. */
import type { Wire } from '../address/libvirt-uri.js';
import type { SaslExchange } from './sasl-exchange.js';
import { ScramExchange } from './scram.js';

/** The user who logs in. */
export interface Credentials {
  readonly name: string;
  readonly password: string;
}

interface Mechanism {
  readonly name: string;
  /** Whether the server gets the password itself. */
  readonly tellsPassword: boolean;
  readonly make: (credentials: Credentials) => SaslExchange;
}

function scram(name: string, digest: string): Mechanism {
  return {
    name,
    tellsPassword: false,
    make: (credentials) => new ScramExchange(digest, credentials.name, credentials.password),
  };
}

/** The best first. */
const MECHANISMS: readonly Mechanism[] = [
  scram('SCRAM-SHA-512', 'sha512'),
  scram('SCRAM-SHA-384', 'sha384'),
  scram('SCRAM-SHA-256', 'sha256'),
  scram('SCRAM-SHA-224', 'sha224'),
  scram('SCRAM-SHA-1', 'sha1'),
  { name: 'PLAIN', tellsPassword: true, make: plain },
];

/** RFC 4616. */
function plain({ name, password }: Credentials): SaslExchange {
  return {
    begin: () => Buffer.from(`\0${name}\0${password}`),
    answer: () => ({ ok: true, bytes: new Uint8Array(0) }),
    isSatisfied: true,
  };
}

/**
 * @param offered by the server
 * @param wire whether others may read along, or be in the server's place
 * @param wanted a mechanism that was asked for, or null
 * @returns the best of those offered, or the fault
 */
export function chooseMechanism(offered: readonly string[], wire: Wire, wanted: string | null): Mechanism | string {
  const list = offered.join(', ') || 'nothing';
  if (wanted !== null && !offered.includes(wanted)) return `it does not offer ${wanted}, only ${list}`;
  const found = MECHANISMS.find(({ name }) => offered.includes(name) && (wanted === null || name === wanted));
  const known = `qmpmux knows ${MECHANISMS.map(({ name }) => name).join(', ')}`;
  if (found === undefined) return `it offers ${list}, and ${known}`;
  // As libvirt's own clients: an attacker on the wire would get the connection, and our proof to guess the password from.
  if (wire === 'clear') return `${found.name} does not encrypt the connection`;
  if (found.tellsPassword && wire !== 'private') {
    return `${found.name} would reveal the password to an unverified server: use qemu+tls:// without no_verify`;
  }
  return found;
}
