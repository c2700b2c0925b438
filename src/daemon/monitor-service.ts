/**
 * One monitor: the way to QEMU, the multiplexer, and the sockets for its clients.
 *
 * The listening sockets exist exactly while QEMU can be reached (the multiplexer is `running`), so a client that connects is served
 * and one that cannot be served finds no socket, as with QEMU itself.
 */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { setTimeout as setTimeoutPromise } from 'node:timers/promises';
import { Multiplexer } from '../mux/multiplexer.js';
import { canAddMonitors } from '../mux/policy/monitor-commands.js';
import type { Host, UpstreamState } from '../mux/ports/link.js';
import type { Observer } from '../mux/ports/observer.js';
import { formatAddress, type UpstreamAddress } from '../net/address/address.js';
import { UpstreamConnector } from '../net/connect/upstream-connector.js';
import type { Log } from '../shared/log.js';
import { packageVersion } from '../system/version.js';
import type { ListenerConfig, MonitorConfig } from './config/config.js';
import type { PolicyRules } from './config/policies.js';
import { ClientListeners, type SocketChange } from './listeners/client-listeners.js';
import { FaultGuard } from './listeners/fault-guard.js';
import { FlushScheduler } from './listeners/flush-scheduler.js';
import type { OpenFileBudget } from './listeners/open-file-budget.js';
import { ChannelObserver } from './observe/channel-observer.js';
import { LogObserver } from './observe/log-observer.js';
import type { MonitorFigures } from './observe/monitor-figures.js';
import { ObserverGroup } from './observe/observer-group.js';
import { TakenPlace } from './taken-place.js';
import type { Ticked, Ticker } from './ticker.js';

export interface MonitorServiceOptions {
  readonly config: MonitorConfig;
  readonly log: Log;
  /** The audit log's, besides one that writes to `log`. */
  readonly audit: Observer | null;
  /** Counts events for the metrics; null if nobody asks for them. */
  readonly metrics: Observer | null;
  /** Shared by all monitors of the daemon. */
  readonly descriptors: OpenFileBudget;
  /** The policies that listeners may name. */
  readonly policies: ReadonlyMap<string, PolicyRules>;
  /** How long commands in flight may take when the service stops, in milliseconds. */
  readonly drainTime: number;
  /** Of all monitors of the daemon. */
  readonly ticker: Ticker;
  /** Clients are accepted, for the first time or again; with the places where. */
  readonly ready: (places: readonly string[]) => void;
  /** There was a fault in the monitor's code: it is to be ended, by `abandon`. */
  readonly failed: (error: unknown) => void;
  /** Reads the config again, for clients that ask for it; null if there is none. @returns a description of the changes */
  readonly reload: (() => Promise<readonly string[]>) | null;
}

/** How often the service checks whether all is answered when it stops, in milliseconds. */
const DRAIN_LOOK = 10;
/** How long clients may take to read the rest of their output when the service stops, in milliseconds. */
const FAREWELL = 1000;

export class MonitorService implements Ticked {
  readonly name: string;
  /** QEMU's address, as configured. */
  readonly upstream: string;
  readonly #log: Log;
  readonly #multiplexer: Multiplexer;
  readonly #upstream: UpstreamConnector;
  readonly #ownObservers: readonly Observer[];
  readonly #metrics: Observer | null;
  readonly #listeners: ClientListeners;
  readonly #faults: FaultGuard;
  readonly #turn = new FlushScheduler(() => {
    this.#faults.run(() => {
      this.#multiplexer.commit();
    });
  });
  readonly #takenPlace: TakenPlace | null;
  /** How long commands in flight may take when the service stops, in milliseconds. */
  drainTime: number;
  readonly #ticker: Ticker;
  /** Resolves when all is ended after a fault; null if there was none. */
  #abandoned: Promise<void> | null = null;
  #isAudited = false;
  /** Listeners already reported because their clients can add monitors. */
  readonly #warnedOf = new Set<string>();

  constructor(options: MonitorServiceOptions) {
    const { config, log } = options;
    this.name = config.name;
    this.upstream = formatAddress(config.upstream);
    this.#log = log;
    this.#ticker = options.ticker;
    this.#faults = new FaultGuard(options.failed);
    this.#ownObservers = [new ChannelObserver(config.name, multiplexerTime), new LogObserver(log)];
    this.#metrics = options.metrics;
    this.#multiplexer = new Multiplexer({
      name: config.name,
      host: this.#newHost(),
      cache: config.cache,
      merge: config.merge,
      oob: config.oob,
      ...linesOf(config.upstream),
      keepClients: config.keepClients,
      warnAfter: config.warnAfter,
      // libvirt watches its monitor itself, and takes one command at a time: a probe would only wait there.
      probeAfter: config.upstream.kind === 'libvirt' ? 0 : config.probeAfter,
      probeTimeout: config.probeTimeout,
      limits: config.limits,
      observer: this.#newObserver(options.audit),
      services: {
        version: packageVersion(),
        upstream: this.upstream,
        instance: randomBytes(6).toString('hex'),
        listeners: () => this.#listeners.report,
        reload: options.reload,
      },
    });
    this.drainTime = options.drainTime;
    const { upstream } = config;
    this.#takenPlace = config.takeover && upstream.kind === 'unix' ? new TakenPlace(upstream.path, log) : null;
    this.#upstream = new UpstreamConnector({
      address: this.#takenPlace?.upstream ?? upstream,
      ...(this.#takenPlace === null ? {} : { prepare: () => this.#takenPlace?.take() ?? Promise.resolve(null) }),
      receiver: {
        upstreamOpened: (link) => {
          this.#faults.run(() => {
            this.#multiplexer.upstreamOpened(link);
          });
        },
        upstreamReceive: (chunk) => {
          this.#faults.run(() => {
            this.#turn.begin();
            this.#multiplexer.upstreamReceive(chunk);
            this.#turn.end();
          });
        },
        upstreamClosed: (reason) => {
          this.#faults.run(() => {
            this.#multiplexer.upstreamClosed(reason);
          });
        },
      },
      log,
      keepsClients: config.keepClients,
    });
    this.#listeners = new ClientListeners({
      listen: this.#listenersOf(config.listen),
      policies: options.policies,
      multiplexer: this.#multiplexer,
      turn: this.#turn,
      faults: this.#faults,
      descriptors: options.descriptors,
      log,
      ready: options.ready,
    });
  }

  /** The monitor's state, in a few words. */
  get status(): string {
    const state = this.#multiplexer.state;
    if (state.name !== 'running') return 'waiting for QEMU';
    const count = this.clientCount;
    const { health } = this.#multiplexer;
    const trouble = health === null || health.name === 'answering' ? '' : ` is ${health.name}`;
    return `QEMU ${state.version}${trouble}, ${count} ${count === 1 ? 'client' : 'clients'}`;
  }

  get clientCount(): number {
    return this.#multiplexer.clientCount;
  }

  /** The monitor's state, in numbers. */
  get figures(): MonitorFigures {
    const { state, health, waitingCount, inFlight, heldBytes, counters, traffic } = this.#multiplexer;
    const [first] = inFlight;
    return {
      state,
      health: health?.name ?? null,
      silent: health?.name === 'silent' ? (multiplexerTime() - health.since) / 1e6 : 0,
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
    return this.#listeners.places;
  }

  /**
   * Finds out whether the clients' sockets can be made, before anything is started.
   * @param except places that are known to be free, or will be
   * @throws ListenError
   */
  async check(except: ReadonlySet<string> = new Set()): Promise<void> {
    await this.#takenPlace?.check(except);
    await this.#listeners.check(except);
  }

  /** Undoes `check`, for a service that is not to be started after all. */
  async undo(): Promise<void> {
    await this.#takenPlace?.undo();
  }

  /**
   * Finds out whether the sockets can become those of `listen`. Changes nothing.
   * @param except places that are known to be free, or will be
   * @returns the change, first `leave`, then `take`; only clients of a socket that goes, or whose rules change, are disconnected
   * @throws ListenError
   * @throws ConfigError
   */
  prepare(
    listen: readonly ListenerConfig[],
    policies: ReadonlyMap<string, PolicyRules>,
    except: ReadonlySet<string>,
  ): Promise<SocketChange> {
    return this.#listeners.prepare(this.#listenersOf(listen), policies, except);
  }

  /** Records in another audit log, or none, from now on. */
  audit(observer: Observer | null): void {
    this.#multiplexer.replaceObserver(this.#newObserver(observer));
  }

  get isIdle(): boolean {
    return this.#multiplexer.isIdle;
  }

  tick(missed: number): void {
    this.#faults.run(() => {
      this.#multiplexer.tick(missed);
      this.#listeners.look();
    });
  }

  /** Begins to reach for QEMU. @throws ListenError when QEMU is to dial us and we cannot listen; it may be called again then */
  async start(): Promise<void> {
    this.#ticker.add(this);
    await this.#upstream.start();
  }

  /**
   * Removes the sockets at once and stops reading from the clients; answers their commands, as far as that comes in time; gives them
   * EOF, and ends whatever carries the upstream.
   */
  async stop(reason: string): Promise<void> {
    if (this.#abandoned !== null) return this.#abandoned;
    try {
      this.#listeners.close();
      await this.#drain(reason);
      this.#ticker.remove(this);
      await this.#takeLeave(reason);
    } finally {
      // QEMU's socket, above all.
      await this.#takenPlace?.giveBack();
    }
  }

  /** Ends all connections at once, after a fault: nothing of the monitor's code is relied on. */
  abandon(reason: string): Promise<void> {
    this.#abandoned ??= this.#abandon(reason);
    return this.#abandoned;
  }

  async #abandon(reason: string): Promise<void> {
    try {
      this.#listeners.close();
      this.#ticker.remove(this);
      try {
        // So that the leftovers of clients are released, and the observers know of their end.
        this.#multiplexer.close(reason);
      } catch (error) {
        this.#log.warn({ error: stackOf(error) }, 'a second internal error, while stopping a monitor after the first');
      }
      for (const link of this.#listeners.links) link.destroy();
      await this.#upstream.stop();
    } finally {
      await this.#takenPlace?.giveBack();
    }
  }

  async #takeLeave(reason: string): Promise<void> {
    const upstreamStopped = this.#upstream.stop();
    this.#multiplexer.close(reason);
    const { links } = this.#listeners;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, FAREWELL);
    });
    await Promise.race([Promise.all(links.map((link) => link.drained())), late]);
    clearTimeout(timer);
    for (const link of links) link.destroy();
    await upstreamStopped;
  }

  #listenersOf(listen: readonly ListenerConfig[]): readonly ListenerConfig[] {
    return this.#takenPlace?.listenersOf(listen) ?? listen;
  }

  #newObserver(audit: Observer | null): Observer {
    this.#isAudited = audit !== null;
    const first = [audit, this.#metrics].filter((observer) => observer !== null);
    return new ObserverGroup([...first, ...this.#ownObservers]);
  }

  #newHost(): Host {
    return {
      now: multiplexerTime,
      epoch: () => Date.now() * 1000,
      schedule: () => {
        this.#ticker.wake();
        this.#turn.schedule();
      },
      nonce: () => randomBytes(12).toString('hex'),
      upstreamChanged: (state) => {
        this.#upstreamChanged(state);
      },
      failed: (error) => {
        this.#faults.fail(error);
      },
    };
  }

  /** Lets clients have the answers to their commands. */
  async #drain(reason: string): Promise<void> {
    if (this.#multiplexer.state.name !== 'running' || this.drainTime === 0) return;
    this.#multiplexer.drain(reason);
    this.#multiplexer.commit();
    const end = performance.now() + this.drainTime;
    while (this.#multiplexer.sessionCount > 0 && performance.now() < end) await setTimeoutPromise(DRAIN_LOOK);
    const left = this.#multiplexer.inFlight.length;
    if (left > 0) this.#log.warn({ commands: left }, 'stopping with commands unanswered (--drain-timeout has passed)');
  }

  /** Reports listeners whose clients can make a way round the audit log, once for each. */
  #warnOfMonitors(version: string): void {
    if (!this.#isAudited || !canAddMonitors(version)) return;
    const listeners = this.#listeners.openToMonitors.filter((place) => !this.#warnedOf.has(place));
    for (const place of listeners) this.#warnedOf.add(place);
    if (listeners.length === 0) return;
    this.#log.warn(
      { version, listeners },
      'clients of these listeners can add monitors to this QEMU that bypass the audit log; to prevent that, put "deny @monitors" first in a policy',
    );
  }

  #upstreamChanged(state: UpstreamState): void {
    if (state.name !== 'running') this.#listeners.close();
    this.#upstream.follow(state);
    if (state.name !== 'running') return;
    const { version, oob, pretty, lines } = state;
    this.#log.info({ version, oob, ...(pretty && { pretty }), lines }, 'connected to QEMU');
    this.#warnOfMonitors(version);
    this.#listeners.open();
  }
}

/** @returns whether commands are to be ended by line feeds, if the address says so. */
function linesOf(address: UpstreamAddress): { readonly lines?: boolean } {
  const { lines } = address.kind === 'server' ? address.listen : { lines: undefined, ...address };
  return lines === undefined ? {} : { lines };
}

/** The multiplexers' clock, in microseconds. */
export function multiplexerTime(): number {
  return performance.now() * 1000;
}

/** @returns the description of a fault for a report: its place, if known */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
