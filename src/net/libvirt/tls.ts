/**
 * TLS to a libvirt daemon: with the certificates of libvirt's own clients, where those have them, and with the word that the daemon
 * says when it has taken ours.
 *
 * Where they are (virnettlscontext.c): in the folder of `pkipath`; else each of the authority and our own in ~/.pki/libvirt, for others
 * than root, where it is there; else in /etc/pki. They are read for each attempt, so renewed ones are used.
 */

import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { isIP, type Socket } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, createSecureContext, type TLSSocket } from 'node:tls';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import { describeTcp, openTcp } from '../link/tcp.js';

interface TlsTarget {
  readonly host: string;
  readonly port: number;
  /** The folder of the certificates; libvirt's usual places when null. */
  readonly pki: string | null;
  /** Whether the daemon's certificate must be good. */
  readonly verifies: boolean;
}

/** Names of files. The list of revoked certificates and our own two may be absent. */
interface TlsPlaces {
  readonly ca: string;
  readonly crl: string;
  readonly cert: string;
  readonly key: string;
}

interface TlsOutcome {
  connected(socket: TLSSocket): void;
  failed(reason: string): void;
}

/** The daemon's first byte when it has accepted our certificate. */
const ACCEPTED = 1;
const NO_TLS = "the peer does not speak TLS: is this libvirtd's TLS port?";

/** @param home of a user other than root; null for root */
export function tlsPlaces(pki: string | null, home: string | null = userHome()): TlsPlaces {
  const own = pki ?? (home === null ? null : join(home, '.pki/libvirt'));
  const system: TlsPlaces = {
    ca: '/etc/pki/CA/cacert.pem',
    crl: '/etc/pki/CA/cacrl.pem',
    cert: '/etc/pki/libvirt/clientcert.pem',
    key: '/etc/pki/libvirt/private/clientkey.pem',
  };
  if (own === null) return system;
  const [ca, crl, cert, key] = ['cacert.pem', 'cacrl.pem', 'clientcert.pem', 'clientkey.pem'].map((name) =>
    join(own, name),
  ) as [string, string, string, string];
  if (pki !== null) return { ca, crl, cert, key };
  const trusts = existsSync(ca);
  const isOurs = existsSync(cert) || existsSync(key);
  return {
    ca: trusts ? ca : system.ca,
    crl: existsSync(crl) ? crl : system.crl,
    cert: isOurs ? cert : system.cert,
    key: isOurs ? key : system.key,
  };
}

function userHome(): string | null {
  return process.getuid?.() === 0 ? null : homedir();
}

/** Connects; one of `connected` and `failed` follows, unless it is taken back. */
export function openTls(target: TlsTarget, outcome: TlsOutcome): { readonly abort: () => void } {
  const places = tlsPlaces(target.pki);
  const options = readOptions(places, target.verifies);
  if (typeof options === 'string') {
    outcome.failed(options);
    return { abort: () => undefined };
  }
  const tcp = openTcp(target.host, target.port);
  let current: Socket = tcp;
  let isOver = false;
  const finish = (act: () => void) => {
    if (isOver) return;
    isOver = true;
    act();
  };
  const fail = (reason: string) => {
    finish(() => {
      current.destroy();
      outcome.failed(reason);
    });
  };
  tcp.on('error', (error) => {
    fail(describeTcp(target.host, error));
  });
  tcp.once('connect', () => {
    tcp.removeAllListeners('error');
    const name = isIP(target.host) === 0 ? { servername: target.host } : { host: target.host };
    const socket = connect({ ...options, ...name, socket: tcp });
    current = socket;
    let isAgreed = false;
    socket.once('secureConnect', () => {
      isAgreed = true;
    });
    // Behind the handshake, the daemon closes without a word when it does not take our certificate.
    const ended = () => {
      fail(isAgreed ? refused(places, 'it closed the connection') : NO_TLS);
    };
    const failed = (error: Error) => {
      if (isEnd(error)) ended();
      else fail(describeTls(target, places, error));
    };
    const said = () => {
      const word: Buffer | null = socket.read(1);
      if (word === null) return;
      socket.off('readable', said);
      socket.off('error', failed);
      socket.off('end', ended);
      socket.off('close', ended);
      if (word[0] !== ACCEPTED) fail('the peer speaks TLS, but is not a libvirt daemon');
      else
        finish(() => {
          outcome.connected(socket);
        });
    };
    socket.on('error', failed);
    socket.on('end', ended);
    socket.on('close', ended);
    socket.on('readable', said);
  });
  return {
    abort: () => {
      finish(() => {
        current.on('error', () => undefined);
        current.destroy();
      });
    },
  };
}

/** The contents of the files for TLS; or the one that is missing or unusable. */
function readOptions(places: TlsPlaces, verifies: boolean): ConnectionOptions | string {
  const files = new Map<string, Buffer>();
  for (const [what, path] of Object.entries(places)) {
    try {
      files.set(what, readFileSync(path));
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') return `${path}: ${describeSystemError(error)}`;
    }
  }
  const [ca, crl, cert, key] = ['ca', 'crl', 'cert', 'key'].map((what) => files.get(what));
  if (ca === undefined && verifies) {
    return `there is no ${places.ca}, the certificate of the authority that signs libvirtd's: put it there, or give its folder as pkipath=`;
  }
  if ((cert === undefined) !== (key === undefined)) {
    const [there, absent] = cert === undefined ? [places.key, places.cert] : [places.cert, places.key];
    return `there is ${there}, but no ${absent}`;
  }
  const own = cert === undefined || key === undefined ? {} : { cert, key };
  const lists = crl === undefined || !verifies ? [] : eachList(crl);
  const options = {
    ...own,
    ...(ca === undefined ? {} : { ca }),
    ...(lists.length === 0 ? {} : { crl: lists }),
    // As for libvirt's own clients, certificates in that file are trusted, even if another authority has signed them.
    allowPartialTrustChain: true,
  };
  try {
    // Node itself ignores an invalid one.
    for (const certificate of ca === undefined ? [] : [ca]) void new X509Certificate(certificate);
    createSecureContext(options);
  } catch (error) {
    const read = [
      places.ca,
      ...(lists.length === 0 ? [] : [places.crl]),
      ...(cert === undefined ? [] : [places.cert, places.key]),
    ];
    const names = read.join(', ');
    return `the certificates cannot be used (${names}): ${error instanceof Error ? error.message : String(error)}`;
  }
  return { ...options, rejectUnauthorized: verifies };
}

/** @returns each of the lists of revoked certificates in a file, of which Node reads one only; all of them are to be good. */
function eachList(file: Buffer): Buffer[] {
  const [before = '', ...lists] = file.toString('latin1').split(/(?=-----BEGIN X509 CRL-----)/);
  const all = before.startsWith('-----BEGIN') || lists.length === 0 ? [before, ...lists] : lists;
  return all.map((text) => Buffer.from(text, 'latin1'));
}

function refused({ cert }: TlsPlaces, how: string): string {
  const advice = existsSync(cert)
    ? `it must be signed by an authority that libvirtd trusts, and be on its tls_allowed_dn_list if there is one`
    : `libvirtd may ask for one, and there is none`;
  return `libvirtd refuses our certificate, ${cert} (${how}): ${advice}`;
}

function isEnd(error: Error): boolean {
  return ['ECONNRESET', 'EPIPE'].includes(errorCode(error));
}

function describeTls(target: TlsTarget, places: TlsPlaces, error: Error): string {
  const code = errorCode(error);
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `libvirtd's certificate is not for ${JSON.stringify(target.host)}: use one of its names (${named(error)})`;
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'CERT_SIGNATURE_FAILURE':
      return `libvirtd's certificate is not signed by the authority in ${places.ca}`;
    case 'INVALID_CA':
    case 'INVALID_PURPOSE':
      return "libvirtd's certificate is not a server certificate, or its signer is not an authority";
    case 'CERT_HAS_EXPIRED':
      return "libvirtd's certificate has expired";
    case 'CERT_NOT_YET_VALID':
      return "libvirtd's certificate is not valid yet: is the clock right?";
    case 'CERT_REVOKED':
      return `libvirtd's certificate is revoked by ${places.crl}`;
    case 'UNABLE_TO_GET_CRL':
      return `${places.crl} does not show whether libvirtd's certificate is revoked: it must have a list of each authority in libvirtd's chain`;
    case 'CRL_HAS_EXPIRED':
      return `${places.crl} no longer shows whether libvirtd's certificate is revoked: a list in it has expired, put a new one there`;
    case 'CRL_NOT_YET_VALID':
      return `${places.crl}: a list in it is not valid yet: is the clock right?`;
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
    case 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION':
      return 'libvirtd does not speak TLS 1.2 or later';
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return NO_TLS;
    default:
      // The library's own name of an alert: ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED.
      return /^ERR_SSL.*ALERT/.test(code) ? refused(places, alertOf(code)) : `TLS: ${describeSystemError(error)}`;
  }
}

/** The names of a certificate, as Node has them in its error. */
function named(error: Error): string {
  const names = 'cert' in error ? (error.cert as { subjectaltname?: string; subject?: { CN?: string } }) : {};
  return names.subjectaltname ?? names.subject?.CN ?? 'it has none';
}

function alertOf(code: string): string {
  return code
    .replace(/^ERR_SSL_(?:TLSV\d+|SSLV3)_(?:ALERT_)?/, '')
    .replaceAll('_', ' ')
    .toLowerCase();
}
