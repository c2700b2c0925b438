/** One socket for clients: lets them in, or says why not, and knows those who are in. */
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { connectHmp, type HmpOwner } from '../../hmp/terminal/session.js';
import type { ClientOptions, ClientPort, Multiplexer } from '../../mux/multiplexer.js';
import type { Link, Peer } from '../../mux/ports/link.js';
import { formatAddress, formatPlace } from '../../net/address/address.js';
import { messageCalls } from '../../net/link/message-calls.js';
import { ReceivingLink } from '../../net/link/receiving-link.js';
import { SocketLink } from '../../net/link/socket-link.js';
import { TELNET_OFFER, TelnetFilter } from '../../net/link/telnet.js';
import { type Foreign, HttpGuard } from '../../net/listen/http-guard.js';
import { Listener } from '../../net/listen/listener.js';
import { peerOf } from '../../net/listen/peer-credentials.js';
import { refuseSocket } from '../../net/listen/refuse-connection.js';
import type { Log } from '../../shared/log.js';
import type { ListenerConfig } from '../config/config.js';
import type { FaultGuard } from './fault-guard.js';
import type { FlushScheduler } from './flush-scheduler.js';
import type { OpenFileBudget } from './open-file-budget.js';
import type { ServingRules } from './serving-rules.js';

/** Why a client's descriptors are not taken, for the client. */
const SWITCHED_OFF = 'this socket takes no file descriptors; add fds=on to its address';
const HUMAN_MONITOR = 'a socket of the human monitor takes no file descriptors; use one with protocol=qmp';
const CANNOT_RECEIVE = 'qmpmux cannot take file descriptors here: it needs Linux, and koffi for this machine';
const TOO_MANY_FILES = 'qmpmux has too many files open to take a file descriptor; try again later';

/** The answer to a client that speaks another protocol, in that protocol. */
const FOREIGN_ANSWERS: Readonly<Record<Foreign, Uint8Array>> = {
  HTTP: httpAnswer('this is a QEMU monitor, not an HTTP server\n'),
  // A fatal alert, protocol_version (RFC 8446).
  TLS: Uint8Array.of(0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46),
};

export interface ClientListenerOptions {
  readonly config: ListenerConfig;
  readonly service: ServingRules;
  readonly multiplexer: Multiplexer;
  readonly turn: FlushScheduler;
  readonly faults: FaultGuard;
  readonly descriptors: OpenFileBudget;
  readonly log: Log;
}

/** The most connections that have not agreed on TLS yet; and they are at most a quarter of all that there may be. */
const MOST_HANDSHAKES = 256;

const EMPTY = new Uint8Array(0);

export class ClientListener {
  /** The address with its options, as they were written. */
  readonly address: string;
  /** Where clients connect, or could while QEMU is there. */
  readonly place: string;
  readonly listener: Listener;
  readonly #hasTelnet: boolean;
  readonly #links = new Set<SocketLink>();
  /** How many of them each user has; those whose user the kernel does not report count as one user. */
  readonly #perUid = new Map<number | undefined, number>();
  readonly #multiplexer: Multiplexer;
  readonly #turn: FlushScheduler;
  readonly #faults: FaultGuard;
  readonly #descriptors: OpenFileBudget;
  /** Whether a connection has its descriptor from before it agreed on TLS. */
  readonly #isTls: boolean;
  #service: ServingRules;

  constructor({ config: { address }, service, multiplexer, turn, faults, descriptors, log }: ClientListenerOptions) {
    this.address = formatAddress(address);
    this.place = formatPlace(address);
    this.#hasTelnet = address.kind === 'tcp' && address.telnet === true;
    this.#multiplexer = multiplexer;
    this.#turn = turn;
    this.#faults = faults;
    this.#descriptors = descriptors;
    this.#service = service;
    this.#isTls = address.kind === 'tcp' && address.tls !== undefined;
    this.listener = new Listener({
      address,
      accept: (socket) => {
        this.#faults.run(() => {
          this.#accept(socket);
        });
        if (this.#faults.isBroken) socket.destroy();
      },
      trouble: (error) => {
        log.error({ listener: this.address, error: error.message }, 'cannot accept a client');
      },
      handshakes: {
        most: Math.min(MOST_HANDSHAKES, Math.ceil(descriptors.limit / 4)),
        enter: (socket) => this.#enter(socket),
        failed: (why, what) => {
          multiplexer.admission.turnAway(this.listener.place, why === 'slow' ? 'unnegotiated' : 'refusedByOwner', what);
        },
      },
    });
  }

  /** Those who are in. */
  get links(): Iterable<SocketLink> {
    return this.#links;
  }

  get service(): ServingRules {
    return this.#service;
  }

  /** Serves clients in another way from now on; connected ones are disconnected. */
  serve(service: ServingRules): void {
    this.#service = service;
    this.#disconnect();
  }

  /** Removes the socket and disconnects its clients. */
  close(): void {
    this.listener.close();
    this.#disconnect();
  }

  #disconnect(): void {
    for (const link of this.#links) link.destroy();
  }

  /** @returns the message to a client that is not let in; null for one that is. */
  #refusal(listener: string, peer: Peer): Uint8Array | null {
    const { settings } = this.#service;
    const { allowUid, allowGid } = settings;
    if (allowUid !== null || allowGid !== null) {
      const { uid, gid } = peer.kind === 'unix' ? peer : {};
      // Either is enough.
      const isAllowed =
        (uid !== undefined && allowUid?.has(uid) === true) || (gid !== undefined && allowGid?.has(gid) === true);
      if (!isAllowed) return this.#multiplexer.admission.turnAway(listener, 'refusedByOwner', ownerText(uid, gid));
    }
    const early = this.#isTls ? null : this.#tooMany(listener);
    if (early !== null) return early;
    const crowd = this.#crowd(listener, peer);
    if (crowd !== null) return crowd;
    const full = this.#multiplexer.admission.refusal(listener, settings.clients ?? undefined);
    if (full !== null) return full;
    return this.#isTls ? null : this.#takeDescriptor(listener);
  }

  #tooMany(listener: string): Uint8Array | null {
    const { settings, rate } = this.#service;
    if (rate.take(performance.now())) return null;
    const what = `more than ${settings.connectionRate} connections a second`;
    return this.#multiplexer.admission.turnAway(listener, 'refusedByRate', what);
  }

  /** @returns the message to a client whose user already has as many here as each may have; null if that is not so */
  #crowd(listener: string, peer: Peer): Uint8Array | null {
    const { clientsPerUid } = this.#service.settings;
    if (clientsPerUid === 0 || peer.kind !== 'unix') return null;
    const here = this.#perUid.get(peer.uid) ?? 0;
    if (here < clientsPerUid) return null;
    const who = peer.uid === undefined ? 'users that the kernel does not name have' : `uid ${peer.uid} has`;
    const what = `${who} ${here} ${here === 1 ? 'connection' : 'connections'} on this socket already (limit ${clientsPerUid})`;
    return this.#multiplexer.admission.turnAway(listener, 'refusedByListener', what);
  }

  /** One more client of a user, or one less. @param change 1 or -1 */
  #countUser(peer: Peer, change: number): void {
    if (peer.kind !== 'unix') return;
    const left = (this.#perUid.get(peer.uid) ?? 0) + change;
    if (left > 0) this.#perUid.set(peer.uid, left);
    else this.#perUid.delete(peer.uid);
  }

  #takeDescriptor(listener: string): Uint8Array | null {
    if (this.#descriptors.take()) return null;
    return this.#multiplexer.admission.turnAway(
      listener,
      'refusedByDescriptors',
      'too many open files, try again later',
    );
  }

  /** One that is yet to agree on TLS, and would cost that. @returns whether it may */
  #enter(socket: Socket): boolean {
    const listener = this.listener.place;
    if ((this.#tooMany(listener) ?? this.#takeDescriptor(listener)) !== null) return false;
    socket.once('close', () => {
      this.#descriptors.giveBack();
    });
    return true;
  }

  #connect(link: Link, options: ClientOptions): ClientPort {
    const multiplexer = this.#multiplexer;
    const { state } = multiplexer;
    if (this.#service.settings.protocol !== 'hmp' || state.name !== 'running')
      return multiplexer.connect(link, options);
    const owner: HmpOwner = {
      version: state.version,
      connect: (inner, inside) => multiplexer.connect(inner, inside),
      later: (action) => {
        queueMicrotask(() => {
          this.#faults.run(action);
        });
      },
    };
    return connectHmp(owner, link, options);
  }

  #accept(socket: Socket): void {
    // The upstream was lost while this client waited in the kernel's queue.
    if (this.#multiplexer.state.name !== 'running') {
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    const listener = this.listener.place;
    const peer = peerOf(socket);
    const refusal = this.#refusal(listener, peer);
    if (refusal !== null) {
      refuseSocket(socket, this.#service.settings.protocol === 'hmp' ? asText(refusal) : refusal);
      return;
    }
    const { settings, client } = this.#service;
    // TCP carries none, and QEMU has its own words for that.
    const mayCarry = peer.kind === 'unix';
    const isHuman = settings.protocol === 'hmp';
    const isExact = settings.fds && !isHuman;
    const receiving = mayCarry ? ReceivingLink.over(socket, messageCalls(), { isExact }) : null;
    const link = receiving ?? new SocketLink(socket, socket);
    this.#links.add(link);
    this.#countUser(peer, 1);
    const telnet = this.#hasTelnet ? new TelnetFilter() : null;
    if (telnet !== null) link.write(TELNET_OFFER);
    const cannot = receiving === null ? CANNOT_RECEIVE : null;
    const refused = isHuman ? HUMAN_MONITOR : SWITCHED_OFF;
    const noDescriptors = isExact ? cannot : refused;
    const isWithout = mayCarry && noDescriptors !== null;
    const port = this.#connect(link, { listener, peer, ...client, ...(isWithout ? { noDescriptors } : {}) });
    receiving?.takeDescriptors({
      receiveDescriptors: (at, descriptors, isCut) => {
        let isFirst = true;
        let hasRoom = descriptors.length > 0 || !isCut;
        for (const _ of descriptors) {
          const fits = this.#descriptors.add();
          if (isFirst) hasRoom = fits;
          isFirst = false;
        }
        const fault = noDescriptors ?? (hasRoom ? null : TOO_MANY_FILES);
        if (this.#faults.isBroken) for (const descriptor of descriptors) descriptor.close();
        this.#faults.run(() => {
          port.receiveDescriptors(at, descriptors, fault);
        });
      },
      descriptorClosed: () => {
        this.#descriptors.giveBack();
      },
    });
    const guard = peer.kind === 'tcp' && settings.http === 'refuse' ? new HttpGuard() : null;
    let isForeign = false;
    const receive = (chunk: Uint8Array) => {
      const typed = telnet === null ? chunk : telnet.filter(chunk);
      const kept = isForeign || guard === null ? typed : guard.judge(typed);
      if (isForeign || kept.length === 0) return;
      if (typeof kept === 'string') {
        isForeign = true;
        port.refuse(FOREIGN_ANSWERS[kept], foreignText(kept));
        return;
      }
      if (this.#multiplexer.clientCount === 1) this.#turn.begin();
      port.receive(kept);
      this.#turn.end();
    };
    link.attach({
      receive: (chunk) => {
        this.#faults.run(() => {
          receive(chunk);
        });
      },
      receiveEnd: () => {
        this.#faults.run(() => {
          const rest = guard?.rest() ?? EMPTY;
          if (rest.length > 0 && !isForeign) port.receive(rest);
          port.receiveEnd();
        });
      },
      closed: (reason) => {
        this.#links.delete(link);
        this.#countUser(peer, -1);
        if (!this.#isTls) this.#descriptors.giveBack();
        this.#faults.run(() => {
          port.closed(reason);
        });
      },
      drained: () => {
        this.#faults.run(() => {
          port.drained();
        });
      },
    });
  }
}

/** @param message QMP's. @returns the same for someone at a text monitor */
function asText(message: Uint8Array): Uint8Array {
  const desc: unknown = /"desc": (".*")/.exec(Buffer.from(message).toString('latin1'))?.[1];
  return Buffer.from(`Error: ${typeof desc === 'string' ? String(JSON.parse(desc)) : 'not served'}\r\n`);
}

function httpAnswer(text: string): Uint8Array {
  const head = `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\nConnection: close`;
  return Buffer.from(`${head}\r\n\r\n${text}`);
}

function foreignText(protocol: Foreign): string {
  return protocol === 'HTTP'
    ? 'it speaks HTTP: perhaps a web page that wants to reach the VM'
    : 'it speaks TLS, but this socket does not';
}

function ownerText(uid: number | undefined, gid: number | undefined): string {
  return uid === undefined
    ? 'the kernel does not identify the user'
    : `uid ${uid}, gid ${gid} is not allowed on this socket`;
}
