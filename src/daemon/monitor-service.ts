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
import { isDeepStrictEqual } from 'node:util';
import type { Journal } from '../mux/journal.js';
import type { Host, Peer, UpstreamState } from '../mux/link.js';
import { EventFilter } from '../mux/events.js';
import { type ClientOptions, Multiplexer } from '../mux/multiplexer.js';
import { formatAddress, formatPlace } from '../net/address.js';
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
import type { MonitorFigures } from './monitor-figures.js';
import { type PolicyRules, policyFor, rulesOf } from './policies.js';

export interface MonitorServiceOptions {
  readonly config: MonitorConfig;
  readonly log: Log;
  /** The audit log's, besides one that writes to `log`. */
  readonly audit: Journal | null;
  /** Counts what happens; null when nobody asks for it. */
  readonly metrics: Journal | null;
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

/** One socket for clients, and how they are served there. */
interface Door {
  readonly config: ListenerConfig;
  readonly listener: Listener;
  readonly links: Set<SocketLink>;
  service: Service;
}

/** How the clients of one listener are served. */
interface Service {
  readonly settings: ListenerSettings;
  readonly rate: RateLimit;
  readonly client: Omit<ClientOptions, 'listener' | 'peer'>;
  /** The rules that the policy was made of; null where it has none of its own. */
  readonly rules: PolicyRules | null;
}

export class MonitorService {
  readonly name: string;
  /** QEMU's address, as configured. */
  readonly upstream: string;
  readonly #log: Log;
  readonly #ready: (places: readonly string[]) => void;
  readonly #multiplexer: Multiplexer;
  readonly #upstream: Upstream;
  readonly #logJournal: LogJournal;
  readonly #metrics: Journal | null;
  #doors: readonly Door[];
  readonly #clients = new Set<SocketLink>();
  readonly #takeover: Takeover | null;
  /** How long commands in flight may take when the service stops, in milliseconds. */
  drainTime: number;
  readonly #descriptors: Descriptors;
  #listenAgain: NodeJS.Timeout | null = null;
  #ticker: NodeJS.Timeout | null = null;

  constructor(options: MonitorServiceOptions) {
    const { config, log } = options;
    this.name = config.name;
    this.upstream = formatAddress(config.upstream);
    this.#log = log;
    this.#ready = options.ready;
    this.#logJournal = new LogJournal(log);
    this.#metrics = options.metrics;
    this.#multiplexer = new Multiplexer({
      name: config.name,
      host: this.#newHost(),
      cache: config.cache,
      merge: config.merge,
      keepClients: config.keepClients,
      warnAfter: config.warnAfter,
      limits: config.limits,
      journal: this.#newJournal(options.audit),
    });
    this.drainTime = options.drainTime;
    this.#descriptors = options.descriptors;
    this.#takeover = config.takeover && config.upstream.kind === 'unix' ? new Takeover(config.upstream.path) : null;
    this.#upstream = new Upstream({
      address: this.#takeover === null ? config.upstream : { kind: 'unix', path: this.#takeover.aside },
      ...(this.#takeover === null ? {} : { prepare: () => this.#prepare() }),
      receiver: this.#multiplexer,
      log,
      keepsClients: config.keepClients,
    });
    this.#doors = this.#placesOf(config.listen).map((listener) =>
      this.#newDoor(listener, this.#newService(listener, options.policies)),
    );
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
      oldest: first === undefined ? 0 : (multiplexerTime() - first.sentAt) / 1e6,
      held: heldBytes,
      counters,
      traffic,
    };
  }

  /** Where clients can connect, or could while QEMU is there. */
  get places(): readonly string[] {
    return this.#doors.map(({ config }) => formatPlace(config.address));
  }

  /**
   * Finds out whether the clients' sockets can be made, before anything is started.
   * @param except places that are known to be free, or will be
   * @throws ListenError
   */
  async check(except: ReadonlySet<string> = new Set()): Promise<void> {
    // What stands at the upstream's path is QEMU's socket until it is moved aside.
    if (this.#takeover !== null && !except.has(formatPlace({ kind: 'unix', path: this.#takeover.path }))) {
      await this.#takeover.prepare();
    }
    for (const { config, listener } of this.#doors) {
      if (!except.has(formatPlace(config.address))) await listener.check();
    }
  }

  /**
   * Finds out whether the sockets can become those of `listen`. Changes nothing.
   * @param except places that are known to be free, or will be
   * @returns what changes them; clients of a socket that goes, or whose rules change, are disconnected, and nobody else is
   * @throws ListenError
   * @throws ConfigError
   */
  async prepare(
    listen: readonly ListenerConfig[],
    policies: ReadonlyMap<string, PolicyRules>,
    except: ReadonlySet<string>,
  ): Promise<() => void> {
    const changes: (() => void)[] = [];
    const doors: Door[] = [];
    for (const config of this.#placesOf(listen)) {
      const service = this.#newService(config, policies);
      const address = formatAddress(config.address);
      const present = this.#doors.find((door) => formatAddress(door.config.address) === address);
      if (present === undefined) {
        const door = this.#newDoor(config, service);
        if (!except.has(formatPlace(config.address))) await door.listener.check();
        doors.push(door);
        continue;
      }
      doors.push(present);
      const { settings, rules } = present.service;
      if (isDeepStrictEqual([settings, rules], [service.settings, service.rules])) continue;
      changes.push(() => {
        present.service = service;
        for (const link of present.links) link.destroy();
      });
    }
    const gone = this.#doors.filter((door) => !doors.includes(door));
    const isChanged = gone.length > 0 || doors.length > this.#doors.length;
    return () => {
      for (const change of changes) change();
      for (const { listener, links } of gone) {
        listener.close();
        for (const link of links) link.destroy();
      }
      this.#doors = doors;
      if (isChanged && this.#multiplexer.state.name === 'running') this.#openListeners();
    };
  }

  /** Records in another audit log, or none, from now on. */
  audit(journal: Journal | null): void {
    this.#multiplexer.replaceJournal(this.#newJournal(journal));
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
  #placesOf(listen: readonly ListenerConfig[]): readonly ListenerConfig[] {
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

  #newJournal(audit: Journal | null): Journal {
    const others: Journal[] = [];
    if (audit !== null) others.push(audit);
    if (this.#metrics !== null) others.push(this.#metrics);
    return others.length === 0 ? this.#logJournal : new Journals([...others, this.#logJournal]);
  }

  #newHost(): Host {
    let isScheduled = false;
    const commit = () => {
      isScheduled = false;
      this.#multiplexer.commit();
    };
    return {
      now: multiplexerTime,
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
    if (this.#multiplexer.state.name !== 'running' || this.drainTime === 0) return;
    this.#multiplexer.drain(reason);
    this.#multiplexer.commit();
    const end = performance.now() + this.drainTime;
    while (this.#multiplexer.sessionCount > 0 && performance.now() < end) await setTimeoutPromise(DRAIN_LOOK);
    const left = this.#multiplexer.inFlight.length;
    if (left > 0) this.#log.warn({ commands: left }, 'ending though commands have no answer yet (--drain-timeout)');
  }

  #newService({ settings }: ListenerConfig, policies: ReadonlyMap<string, PolicyRules>): Service {
    const policy = policyFor(settings.policy, policies, this.#log);
    return {
      settings,
      rules: rulesOf(settings.policy, policies),
      rate: new RateLimit(settings.connectionRate, performance.now()),
      client: {
        commandTime: settings.commandTime,
        ...(policy === null ? {} : { policy }),
        ...(settings.events === null ? {} : { events: new EventFilter(settings.events) }),
      },
    };
  }

  #newDoor(config: ListenerConfig, service: Service): Door {
    const { address } = config;
    const listener: Listener = new Listener({
      address,
      accept: (socket) => {
        this.#accept(socket, door);
      },
      trouble: (error) => {
        this.#log.error({ listener: formatAddress(address), error: error.message }, 'cannot accept a client');
      },
    });
    const door: Door = { config, listener, links: new Set(), service };
    return door;
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

  #accept(socket: Socket, { listener: { place: listener }, links, service }: Door): void {
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
    links.add(link);
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
        links.delete(link);
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
    if (this.#listenAgain !== null) clearTimeout(this.#listenAgain);
    const results = await Promise.allSettled(this.#doors.map(({ listener }) => listener.open()));
    if (this.#multiplexer.state.name !== 'running' || results.some(isWithdrawn)) return;
    const failures = results.filter((result) => result.status === 'rejected');
    for (const { reason } of failures) {
      this.#log.error(
        { reason: reason instanceof Error ? reason.message : String(reason) },
        'a socket could not be made',
      );
    }
    if (failures.length === 0) {
      const places = this.#doors.map(({ listener }) => listener.place);
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
    for (const { listener } of this.#doors) listener.close();
  }
}

/** The multiplexers' clock, in microseconds. */
export function multiplexerTime(): number {
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
