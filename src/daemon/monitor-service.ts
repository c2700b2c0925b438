/**
 * One monitor: the way to QEMU, the multiplexer, and the sockets for its clients.
 *
 * The listening sockets exist exactly while QEMU can be reached (the multiplexer is `running`), so a client that connects is served
 * and one that cannot be served finds no socket, as with QEMU itself.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as setTimeoutPromise } from 'node:timers/promises';
import type { Journal } from '../mux/journal.js';
import type { Host, Peer, UpstreamState } from '../mux/link.js';
import { EventFilter } from '../mux/events.js';
import { type ClientOptions, Multiplexer } from '../mux/multiplexer.js';
import { formatAddress } from '../net/address.js';
import { Listener } from '../net/listener.js';
import type { Log } from '../net/log.js';
import { certificateName, preparePeerCredentials, unixPeer } from '../net/peer-credentials.js';
import { RateLimit } from '../net/rate-limit.js';
import { refuseSocket } from '../net/refuse.js';
import { SocketLink } from '../net/socket-link.js';
import { Takeover } from '../net/takeover.js';
import { Upstream } from '../net/upstream.js';
import type { ListenerConfig, MonitorConfig } from './config.js';
import { Journals } from './journals.js';
import type { Descriptors } from './descriptors.js';
import { DEFAULT_LISTENER, type ListenerSettings } from './listener-settings.js';
import { LogJournal } from './log-journal.js';
import type { Metrics } from './metrics.js';
import type { MonitorFigures } from './monitor-figures.js';
import { type PolicyRules, policyFor } from './policies.js';

export interface MonitorServiceOptions {
  readonly config: MonitorConfig;
  readonly log: Log;
  /** The audit log's, besides one that writes to `log`. */
  readonly audit: Journal | null;
  /** Counts what happens; null when nobody asks for it. */
  readonly metrics: Metrics | null;
  /** Shared by all monitors of the daemon. */
  readonly descriptors: Descriptors;
  /** The policies that listeners may name. */
  readonly policies: ReadonlyMap<string, PolicyRules>;
  /** How long commands in flight may take when the service stops, in milliseconds. */
  readonly drainTime: number;
  /** Clients are accepted, for the first time or again; with the places where. */
  readonly ready: (places: readonly string[]) => void;
}

/** When a socket that could not be made is tried again, in milliseconds. */
const LISTEN_AGAIN = 2000;
/** How often the multiplexer looks at what has a time limit, in milliseconds. */
const TICK = 500;
/** How often it is looked whether all is answered when the service stops, in milliseconds. */
const DRAIN_LOOK = 10;
/** How long clients may take for the rest of what they are due when the service stops, in milliseconds. */
const FAREWELL = 1000;

/** How the clients of one listener are served. */
interface Service {
  readonly settings: ListenerSettings;
  readonly rate: RateLimit;
  readonly client: Omit<ClientOptions, 'listener' | 'peer'>;
}

export class MonitorService {
  readonly name: string;
  readonly #log: Log;
  readonly #ready: (places: readonly string[]) => void;
  readonly #multiplexer: Multiplexer;
  readonly #upstream: Upstream;
  readonly #listeners: readonly Listener[];
  readonly #clients = new Set<SocketLink>();
  readonly #drainTime: number;
  readonly #takeover: Takeover | null;
  readonly #descriptors: Descriptors;
  #listenAgain: NodeJS.Timeout | null = null;
  #ticker: NodeJS.Timeout | null = null;

  constructor(options: MonitorServiceOptions) {
    const { config, log } = options;
    this.name = config.name;
    this.#log = log;
    this.#ready = options.ready;
    this.#multiplexer = new Multiplexer({
      name: config.name,
      host: this.#newHost(),
      cache: config.cache,
      merge: config.merge,
      keepClients: config.keepClients,
      warnAfter: config.warnAfter,
      limits: config.limits,
      journal: this.#newJournal(options),
    });
    this.#drainTime = options.drainTime;
    this.#descriptors = options.descriptors;
    this.#takeover = config.takeover && config.upstream.kind === 'unix' ? new Takeover(config.upstream.path) : null;
    this.#upstream = new Upstream({
      address: this.#takeover === null ? config.upstream : { kind: 'unix', path: this.#takeover.aside },
      ...(this.#takeover === null ? {} : { prepare: () => this.#prepare() }),
      receiver: this.#multiplexer,
      log,
      keepsClients: config.keepClients,
    });
    this.#listeners = this.#placesOf(config).map((listener) => this.#newListener(listener, options.policies));
  }

  /** How the monitor stands, in a few words. */
  get status(): string {
    const state = this.#multiplexer.state;
    if (state.name !== 'running') return 'waiting for QEMU';
    const count = this.#multiplexer.clientCount;
    return `QEMU ${state.version}, ${count} ${count === 1 ? 'client' : 'clients'}`;
  }

  /** How the monitor stands, in numbers. */
  get figures(): MonitorFigures {
    const { state, waitingCount, inFlight, heldBytes, counters, traffic } = this.#multiplexer;
    const [first] = inFlight;
    return {
      state,
      waiting: waitingCount,
      inFlight: inFlight.length,
      oldest: first === undefined ? 0 : (now() - first.sentAt) / 1e6,
      held: heldBytes,
      counters,
      traffic,
    };
  }

  /** Finds out whether the clients' sockets can be made, before anything is started. @throws ListenError */
  async check(): Promise<void> {
    // What stands at the upstream's path is QEMU's socket until it is moved aside.
    if (this.#takeover !== null) await this.#takeover.prepare();
    for (const listener of this.#listeners) await listener.check();
  }

  /** Begins to reach for QEMU. @throws ListenError when QEMU is to dial us and we cannot listen. */
  async start(): Promise<void> {
    this.#ticker = setInterval(() => {
      this.#multiplexer.tick();
    }, TICK);
    await this.#upstream.start();
  }

  /**
   * Removes the sockets at once and reads no more of the clients; answers what they have sent, as far as that comes in time; gives them
   * EOF, and ends what carries the upstream.
   */
  async stop(reason: string): Promise<void> {
    this.#closeListeners();
    await this.#drain(reason);
    if (this.#ticker !== null) clearInterval(this.#ticker);
    const upstreamStopped = this.#upstream.stop();
    this.#multiplexer.close(reason);
    const links = [...this.#clients];
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, FAREWELL);
    });
    await Promise.race([Promise.all(links.map((link) => link.drained())), late]);
    clearTimeout(timer);
    for (const link of links) link.destroy();
    await upstreamStopped;
    await this.#restore();
  }

  /** Moves QEMU's socket aside, if it is to be and there is one. @returns why it cannot be dialled, or null */
  async #prepare(): Promise<string | null> {
    if (this.#takeover === null) return null;
    const { path, aside } = this.#takeover;
    try {
      const prepared = await this.#takeover.prepare();
      if (!prepared.ready) return prepared.why;
      if (prepared.moved) this.#log.info({ path, aside }, 'moved the socket of QEMU aside, to take its place');
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  async #restore(): Promise<void> {
    if (this.#takeover === null) return;
    const { path, aside } = this.#takeover;
    try {
      if (await this.#takeover.restore()) this.#log.info({ path, aside }, 'put the socket of QEMU back');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.error({ path, aside, reason }, 'cannot put the socket of QEMU back; qmpmux restore does it later');
    }
  }

  /** Where clients are served: where the config says, and in QEMU's place if that is to be taken. */
  #placesOf({ listen }: MonitorConfig): readonly ListenerConfig[] {
    if (this.#takeover === null) return listen;
    const { path, aside } = this.#takeover;
    const like = ({ address, settings }: ListenerConfig): ListenerConfig =>
      address.kind === 'unix' && address.path === path
        ? { address: { ...address, like: aside }, settings }
        : { address, settings };
    const all = listen.map(like);
    if (all.some(({ address }) => address.kind === 'unix' && address.path === path)) return all;
    return [...all, { address: { kind: 'unix', path, like: aside }, settings: DEFAULT_LISTENER }];
  }

  #newJournal({ audit, log, metrics }: MonitorServiceOptions): Journal {
    const all: Journal[] = [new LogJournal(log)];
    if (audit !== null) all.unshift(audit);
    if (metrics !== null) all.push(metrics.add(this.name, () => this.figures, now));
    const [only] = all;
    return all.length === 1 && only !== undefined ? only : new Journals(all);
  }

  #newHost(): Host {
    let isScheduled = false;
    const commit = () => {
      isScheduled = false;
      this.#multiplexer.commit();
    };
    return {
      now,
      epoch: () => Date.now() * 1000,
      schedule: () => {
        if (isScheduled) return;
        isScheduled = true;
        setImmediate(commit);
      },
      nonce: () => randomBytes(12).toString('hex'),
      upstreamChanged: (state) => {
        this.#upstreamChanged(state);
      },
    };
  }

  /** Lets clients have the answers to what they have sent. */
  async #drain(reason: string): Promise<void> {
    if (this.#multiplexer.state.name !== 'running' || this.#drainTime === 0) return;
    this.#multiplexer.drain(reason);
    this.#multiplexer.commit();
    const end = performance.now() + this.#drainTime;
    while (this.#multiplexer.sessionCount > 0 && performance.now() < end) await setTimeoutPromise(DRAIN_LOOK);
    const left = this.#multiplexer.inFlight.length;
    if (left > 0) this.#log.warn({ commands: left }, 'ending though commands have no answer yet (--drain-timeout)');
  }

  #newListener({ address, settings }: ListenerConfig, policies: ReadonlyMap<string, PolicyRules>): Listener {
    const policy = policyFor(settings.policy, policies, this.#log);
    const service: Service = {
      settings,
      rate: new RateLimit(settings.connectionRate, performance.now()),
      client: {
        commandTime: settings.commandTime,
        ...(policy === null ? {} : { policy }),
        ...(settings.events === null ? {} : { events: new EventFilter(settings.events) }),
      },
    };
    const listener: Listener = new Listener({
      address,
      accept: (socket) => {
        this.#accept(socket, listener.place, service);
      },
      trouble: (error) => {
        this.#log.error({ listener: formatAddress(address), error: error.message }, 'cannot accept a client');
      },
    });
    return listener;
  }

  /** @returns what to say to a client that is not let in; null for one that is. */
  #refusal(listener: string, peer: Peer, { settings, rate }: Service): Uint8Array | null {
    const { allow } = settings;
    if (allow !== null) {
      const { uid, gid } = peer.kind === 'unix' ? peer : {};
      const isAllowed = (uid !== undefined && allow.uids.has(uid)) || (gid !== undefined && allow.gids.has(gid));
      if (!isAllowed) return this.#multiplexer.turnAway(listener, 'refusedByOwner', ownerText(uid, gid));
    }
    if (!rate.take(performance.now())) {
      const what = `more than ${settings.connectionRate} connections a second`;
      return this.#multiplexer.turnAway(listener, 'refusedByRate', what);
    }
    const full = this.#multiplexer.refusal(listener, settings.clients ?? undefined);
    if (full !== null) return full;
    if (this.#descriptors.take()) return null;
    return this.#multiplexer.turnAway(listener, 'refusedByDescriptors', 'too many open files, try again later');
  }

  #accept(socket: Socket, listener: string, service: Service): void {
    // The upstream was lost while this client waited in the kernel's queue.
    if (this.#multiplexer.state.name !== 'running') {
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    const peer = peerOf(socket);
    const refusal = this.#refusal(listener, peer, service);
    if (refusal !== null) {
      refuseSocket(socket, refusal);
      return;
    }
    const link = new SocketLink(socket, socket);
    this.#clients.add(link);
    const port = this.#multiplexer.connect(link, { listener, peer, ...service.client });
    link.attach({
      receive: (chunk) => {
        port.receive(chunk);
      },
      receiveEnd: () => {
        port.receiveEnd();
      },
      closed: (reason) => {
        this.#clients.delete(link);
        this.#descriptors.giveBack();
        port.closed(reason);
      },
      drained: () => {
        port.drained();
      },
    });
  }

  #upstreamChanged(state: UpstreamState): void {
    if (state.name !== 'running') this.#closeListeners();
    this.#upstream.follow(state);
    if (state.name !== 'running') return;
    const { version, oob, pretty } = state;
    this.#log.info({ version, oob, pretty }, 'connected to QEMU');
    this.#openListeners();
  }

  async #openListeners(): Promise<void> {
    const results = await Promise.allSettled(this.#listeners.map((listener) => listener.open()));
    if (this.#multiplexer.state.name !== 'running' || results.some(isWithdrawn)) return;
    const failures = results.filter((result) => result.status === 'rejected');
    for (const { reason } of failures) {
      this.#log.error(
        { reason: reason instanceof Error ? reason.message : String(reason) },
        'a socket could not be made',
      );
    }
    if (failures.length === 0) {
      const places = this.#listeners.map((listener) => listener.place);
      this.#log.info({ listen: places }, 'accepting clients');
      this.#ready(places);
      setImmediate(preparePeerCredentials);
      return;
    }
    this.#listenAgain = setTimeout(() => {
      this.#openListeners();
    }, LISTEN_AGAIN);
  }

  #closeListeners(): void {
    if (this.#listenAgain !== null) clearTimeout(this.#listenAgain);
    this.#listenAgain = null;
    for (const listener of this.#listeners) listener.close();
  }
}

/** The multiplexer's clock. */
function now(): number {
  return performance.now() * 1000;
}

function peerOf(socket: Socket): Peer {
  // A socket that was handed over is known by what it tells: unix sockets have no address.
  if (socket.remoteAddress === undefined) return unixPeer(socket);
  const peer = { kind: 'tcp', address: socket.remoteAddress, port: socket.remotePort ?? 0 } as const;
  const subject = certificateName(socket);
  return subject === null ? peer : { ...peer, subject };
}

function ownerText(uid: number | undefined, gid: number | undefined): string {
  return uid === undefined ? 'a user whom the kernel does not name' : `uid ${uid}, gid ${gid}, whom it does not allow`;
}

/** Whether a listener was closed while it was being opened: QEMU was lost meanwhile. */
function isWithdrawn(result: PromiseSettledResult<boolean>): boolean {
  return result.status === 'fulfilled' && !result.value;
}
