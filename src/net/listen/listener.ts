/**
 * A listening socket: on a unix path, on the loopback addresses of a TCP address (others with TLS, or on request), or one that was handed
 * over to us.
 *
 * A unix socket is born 0600 (by the umask, so there is no moment in which it is wider) and gets its owner and mode before `open` resolves.
 * TCP has no permissions at all, so it is kept to this machine unless configured otherwise. A closed listener can be opened again; a port
 * the kernel picked (port 0) stays the same.
 */

import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { createServer, isIP, type ListenOptions, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import type { FileIdentity } from '../../system/file-identity.js';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import {
  type FdAddress,
  formatPlace,
  type ListenAddress,
  type TcpListenAddress,
  type UnixListenAddress,
} from '../address/address.js';
import { DEFAULT_KEEP_ALIVE, watchTcp } from '../link/tcp-watch.js';
import { type HandshakeOptions, Handshakes } from './handshakes.js';
import { ListenError } from './listen-error.js';
import { copyInherited } from './socket-activation.js';
import {
  checkSocketPath,
  clearSocketPath,
  closeKeepingOthers,
  isGone,
  MadeSocket,
  ownershipOf,
} from './socket-file.js';
import { readTlsFiles, type TlsFiles } from './tls-files.js';

/** Connections that the kernel keeps until they are accepted (as far as net.core.somaxconn lets it): a thousand may come at once. */
const BACKLOG = 4096;

interface ListenerOptions {
  readonly address: ListenAddress;
  /** Takes a connection; its socket allows half-open, is not read yet, and has no listener for errors yet. */
  readonly accept: (socket: Socket) => void;
  /** Told when accepting fails later on; the listener stays open. */
  readonly trouble: (error: Error) => void;
  /** For TLS: limits on unfinished handshakes; none when absent. */
  readonly handshakes?: HandshakeOptions;
}

type Accept = (socket: Socket) => void;

const UNLIMITED: HandshakeOptions = {
  most: Number.POSITIVE_INFINITY,
  enter: () => true,
  failed: () => undefined,
};

/** Node's own limit, which also counts time in which this process was stopped; `Handshakes` has ours. In milliseconds. */
const LONGEST_HANDSHAKE = 3_600_000;

interface Bound {
  readonly server: Server;
  /** The socket file, null for TCP. */
  readonly file: { readonly path: string; readonly identity: FileIdentity | null } | null;
}

export class Listener {
  readonly #options: ListenerOptions;
  #bound: readonly Bound[] = [];
  #port: number | null = null;
  /** Counts `close` calls, so that an `open` under way sees that it is no longer wanted. */
  #closes = 0;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** The place clients connect to: the address without its options, and with the port that was picked. */
  get place(): string {
    const { address } = this.#options;
    if (address.kind !== 'tcp') return formatPlace(address);
    return formatPlace({ ...address, port: this.#port ?? address.port });
  }

  get isOpen(): boolean {
    return this.#bound.length > 0;
  }

  /** Whether somebody has removed the socket's file, so that no client finds it any more. */
  get hasLostFile(): boolean {
    return this.#bound.some(({ file }) => file !== null && isGone(file.path));
  }

  /** Finds out whether `open` would work now, and leaves nothing behind. @throws ListenError */
  async check(): Promise<void> {
    const { address } = this.#options;
    if (address.kind === 'unix') {
      await checkSocketPath(address);
      return;
    }
    if (address.kind === 'fd') {
      for (const copy of copyInherited(address.name)) closeSync(copy);
      return;
    }
    const bound = await bindTcp(address, address.port, refuse, UNLIMITED);
    for (const { server } of bound) server.close();
  }

  /**
   * Starts to listen, unless `close` is called meanwhile.
   * @returns whether it listens now.
   * @throws ListenError, and then nothing is left behind
   */
  async open(): Promise<boolean> {
    const { address, accept, trouble } = this.#options;
    if (this.isOpen) return true;
    const closes = this.#closes;
    const bound = await this.#bind(address, accept);
    if (closes !== this.#closes) {
      bound.forEach(release);
      return false;
    }
    for (const { server } of bound) {
      server.on('error', trouble);
      const where = server.address();
      if (where !== null && typeof where === 'object') this.#port = where.port;
    }
    this.#bound = bound;
    return true;
  }

  #bind(address: ListenAddress, accept: Accept): Promise<readonly Bound[]> {
    const { handshakes = UNLIMITED } = this.#options;
    switch (address.kind) {
      case 'unix':
        return bindUnix(address, accept);
      case 'tcp':
        return bindTcp(address, this.#port ?? address.port, watching(accept, address.keepAlive), handshakes);
      case 'fd':
        return bindInherited(address, watching(accept));
    }
  }

  /** Stops listening and removes the socket file, at once. Connections that were accepted live on. */
  close(): void {
    this.#closes++;
    const bound = this.#bound;
    this.#bound = [];
    for (const one of bound) release(one);
  }
}

/**
 * @param time how long the peer of a TCP connection may be gone, in milliseconds. @returns a function that accepts and watches connections
 */
function watching(accept: Accept, time: number = DEFAULT_KEEP_ALIVE): Accept {
  return (socket) => {
    // Unix sockets have no address; those that were handed over may be either.
    if (socket.remoteAddress !== undefined) watchTcp(socket, time);
    accept(socket);
  };
}

function refuse(socket: Socket): void {
  socket.destroy();
}

function release({ server, file }: Bound): void {
  if (file === null) {
    server.close();
    return;
  }
  closeKeepingOthers(file.path, file.identity, () => {
    server.close();
  });
}

/** On copies of the sockets that were handed over; closing them leaves the sockets to whoever has them too. */
async function bindInherited(address: FdAddress, accept: Accept): Promise<readonly Bound[]> {
  const bound: Bound[] = [];
  const copies = copyInherited(address.name);
  try {
    for (const fd of copies) {
      const server = newServer(accept);
      bound.push({ server, file: null });
      server.listen({ fd, backlog: BACKLOG });
      await once(server, 'listening');
      const where = server.address();
      if (where === null || typeof where !== 'object' || isLoopback(where.address)) continue;
      throw new ListenError(
        formatPlace(address),
        `${where.address} can be reached from other machines, and TCP does not authenticate clients; write ListenStream=127.0.0.1:PORT`,
      );
    }
  } catch (error) {
    bound.forEach(release);
    for (const copy of copies.slice(bound.length)) closeSync(copy);
    if (error instanceof ListenError) throw error;
    throw new ListenError(formatPlace(address), describeSystemError(error), { cause: error });
  }
  return bound;
}

async function bindUnix(address: UnixListenAddress, accept: Accept): Promise<readonly Bound[]> {
  const ownership = ownershipOf(address);
  await clearSocketPath(address);
  const server = newServer(accept);
  // Node binds and listens before listen() returns, so nothing else of ours is made under this mask; and the socket file is held from then
  // on.
  const before = process.umask(0o177);
  try {
    server.listen({ path: address.path, backlog: BACKLOG });
  } finally {
    process.umask(before);
  }
  let made: MadeSocket | null = null;
  let identity: FileIdentity | null = null;
  try {
    if (server.listening) {
      made = new MadeSocket(address);
      ({ identity } = made);
      made.give(ownership);
    }
    await once(server, 'listening');
  } catch (error) {
    if (server.listening) release({ server, file: { path: address.path, identity } });
    if (error instanceof ListenError) throw error;
    const problem = errorCode(error) === 'EADDRINUSE' ? 'it is in use by another program' : describeSystemError(error);
    throw new ListenError(formatPlace(address), problem, { cause: error });
  } finally {
    made?.close();
  }
  return [{ server, file: { path: address.path, identity } }];
}

async function bindTcp(
  address: TcpListenAddress,
  wantedPort: number,
  accept: Accept,
  handshakes: HandshakeOptions,
): Promise<readonly Bound[]> {
  const bound: Bound[] = [];
  let port = wantedPort;
  let lastError: ListenError | null = null;
  const tls = address.tls === undefined ? null : readTlsFiles(address.tls, formatPlace(address));
  for (const host of await addressesOf(address)) {
    const server = tls === null ? newServer(accept) : newTlsServer(tls, accept, handshakes);
    const options: ListenOptions = { host, port, backlog: BACKLOG };
    try {
      server.listen(options);
      await once(server, 'listening');
    } catch (error) {
      lastError = new ListenError(formatPlace({ ...address, port }), describeTcpError(error, port), { cause: error });
      // A name such as localhost also means ::1, which a host without IPv6 does not have.
      if (errorCode(error) === 'EADDRNOTAVAIL' || errorCode(error) === 'EAFNOSUPPORT') continue;
      bound.forEach(release);
      throw lastError;
    }
    const where = server.address();
    if (where !== null && typeof where === 'object') ({ port } = where);
    bound.push({ server, file: null });
  }
  if (bound.length === 0) throw lastError ?? new ListenError(formatPlace(address), 'the name has no address');
  return bound;
}

/** With certificates on both sides: a client without one that `ca` has signed does not get as far as `accept`. */
function newTlsServer(files: TlsFiles, accept: Accept, settings: HandshakeOptions): Server {
  const options: TlsOptions = {
    ...files,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    handshakeTimeout: LONGEST_HANDSHAKE,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
  };
  const handshakes = new Handshakes(settings);
  const secure = createTlsServer(options, (socket) => {
    handshakes.agreed(socket);
    accept(socket);
  });
  secure.on('tlsClientError', (error, socket) => {
    handshakes.failed(error, socket);
    socket.destroy();
  });
  return newServer((socket) => {
    // Node's own way to have a TLS server take a connection that somebody else has accepted.
    if (handshakes.begin(socket)) secure.emit('connection', socket);
  });
}

function newServer(accept: Accept): Server {
  return createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, accept);
}

function describeTcpError(error: unknown, port: number): string {
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return `port ${port} is in use by another program; stop that, or choose another port`;
    case 'EADDRNOTAVAIL':
      return 'this host has no such address';
    case 'EACCES':
      return `permission denied; port ${port} is privileged, choose one above 1023`;
    default:
      return describeSystemError(error);
  }
}

/** @returns the IP addresses to listen on; those of other machines only where the address says that they may. */
async function addressesOf(address: TcpListenAddress): Promise<readonly string[]> {
  const addresses = new Set<string>();
  if (isIP(address.host) !== 0) {
    addresses.add(address.host);
  } else {
    try {
      const found = await lookup(address.host, { all: true, family: address.family ?? 0 });
      for (const one of found) addresses.add(one.address);
    } catch (error) {
      throw new ListenError(formatPlace(address), `the host name ${address.host} is unknown`, { cause: error });
    }
  }
  for (const one of addresses) refuseOpen(address, one);
  return [...addresses];
}

/** TCP lets anyone in who reaches it. @param ip of `address` @throws ListenError */
function refuseOpen(address: TcpListenAddress, ip: string): void {
  if (isLoopback(ip) || address.tls !== undefined || address.insecure === true) return;
  const named = ip === address.host ? ip : `${address.host} is ${ip}, which`;
  throw new ListenError(
    formatPlace(address),
    `${named} can be reached from other machines, and TCP does not authenticate clients; listen on tcp:localhost:PORT ` +
      'or a unix socket, and reach it from elsewhere through ssh -L; or add tls=FOLDER (or insecure)',
  );
}

/**
 * Finds faults that keep an address from ever being listened on, as far as possible without trying: accounts that are unknown, TCP that
 * lets other machines in, certificates that cannot be used. `open` finds the same.
 * @throws ListenError
 */
export function checkListenAddress(address: ListenAddress): void {
  if (address.kind === 'unix') ownershipOf(address);
  if (address.kind !== 'tcp') return;
  if (isIP(address.host) !== 0) refuseOpen(address, address.host);
  if (address.tls !== undefined) readTlsFiles(address.tls, formatPlace(address));
}

/** 127.0.0.0/8 and ::1 (RFC 6890). Other spellings of them are not known here, so they are refused. */
export function isLoopback(ip: string): boolean {
  return ip.startsWith('127.') || ip === '::1' || ip === '0:0:0:0:0:0:0:1';
}
