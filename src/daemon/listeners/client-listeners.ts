/** The sockets of one monitor. They exist while QEMU can be reached; a change to one does not touch the clients of another. */
import type { Multiplexer } from '../../mux/multiplexer.js';
import { mayAddMonitors } from '../../mux/policy/policy.js';
import { formatAddress, formatPlace } from '../../net/address/address.js';
import { messageCalls } from '../../net/link/message-calls.js';
import type { SocketLink } from '../../net/link/socket-link.js';
import { preparePeerCredentials } from '../../net/listen/peer-credentials.js';
import type { Log } from '../../shared/log.js';
import type { ListenerConfig } from '../config/config.js';
import type { PolicyRules } from '../config/policies.js';
import { ClientListener } from './client-listener.js';
import type { FaultGuard } from './fault-guard.js';
import type { FlushScheduler } from './flush-scheduler.js';
import type { OpenFileBudget } from './open-file-budget.js';
import { isSameService, newServingRules, type ServingRules } from './serving-rules.js';

export interface ClientListenersOptions {
  readonly listen: readonly ListenerConfig[];
  /** The policies that listeners may name. */
  readonly policies: ReadonlyMap<string, PolicyRules>;
  readonly multiplexer: Multiplexer;
  readonly turn: FlushScheduler;
  readonly faults: FaultGuard;
  readonly descriptors: OpenFileBudget;
  readonly log: Log;
  /** Clients are accepted, for the first time or again; with the places where. */
  readonly ready: (places: readonly string[]) => void;
}

/** Carries out another choice of sockets in two steps, so that one monitor can take a place that another one leaves. */
export interface SocketChange {
  leave(): void;
  take(): void;
}

/** When a socket that could not be made is tried again, in milliseconds. */
const AGAIN = 2000;

export class ClientListeners {
  readonly #options: ClientListenersOptions;
  #listeners: readonly ClientListener[];
  #again: NodeJS.Timeout | null = null;
  /** Whose files were not there at the last look. */
  #lost: readonly ClientListener[] = [];

  /** @throws ConfigError when a policy cannot be read */
  constructor(options: ClientListenersOptions) {
    this.#options = options;
    const { listen, policies, log } = options;
    this.#listeners = listen.map((config) =>
      this.#newListener(config, newServingRules(config.settings, policies, log)),
    );
  }

  /** Where clients can connect, or could while QEMU is there. */
  get places(): readonly string[] {
    return this.#listeners.map(({ place }) => place);
  }

  /** How clients of each socket are served, for clients that ask. */
  get report() {
    return this.#listeners.map(({ place, links, service: { settings, client } }) => ({
      address: place,
      clients: [...links].length,
      policy: client.policy?.name ?? 'full',
      extensions: settings.extensions,
    }));
  }

  /** The places where clients may add another monitor to a QEMU that supports it. */
  get openToMonitors(): readonly string[] {
    return this.#listeners
      .filter(({ service }) => mayAddMonitors(service.client.policy ?? null))
      .map(({ place }) => place);
  }

  /** The connections of all clients. */
  get links(): readonly SocketLink[] {
    return this.#listeners.flatMap(({ links }) => [...links]);
  }

  /**
   * Finds out whether the sockets can be made.
   * @param except places that are known to be free, or will be
   * @throws ListenError
   */
  async check(except: ReadonlySet<string>): Promise<void> {
    for (const { place, listener } of this.#listeners) {
      if (!except.has(place)) await listener.check();
    }
  }

  /**
   * Finds out whether the sockets can become those of `listen`. Changes nothing.
   * @param except places that are known to be free, or will be
   * @returns the change, first `leave`, then `take`; only clients of a socket that goes, or whose rules change, are disconnected
   * @throws ListenError
   * @throws ConfigError
   */
  async prepare(
    listen: readonly ListenerConfig[],
    policies: ReadonlyMap<string, PolicyRules>,
    except: ReadonlySet<string>,
  ): Promise<SocketChange> {
    const changes: (() => void)[] = [];
    const listeners: ClientListener[] = [];
    for (const config of listen) {
      const service = newServingRules(config.settings, policies, this.#options.log);
      const address = formatAddress(config.address);
      const present = this.#listeners.find((listener) => listener.address === address);
      if (present === undefined) {
        const listener = this.#newListener(config, service);
        if (!except.has(formatPlace(config.address))) await listener.listener.check();
        listeners.push(listener);
        continue;
      }
      listeners.push(present);
      if (isSameService(present.service, service)) continue;
      changes.push(() => {
        present.serve(service);
      });
    }
    const gone = this.#listeners.filter((listener) => !listeners.includes(listener));
    const isChanged = gone.length > 0 || listeners.length > this.#listeners.length;
    return {
      leave: () => {
        for (const change of changes) change();
        for (const listener of gone) listener.close();
        this.#listeners = listeners;
      },
      take: () => {
        if (isChanged && this.#isWanted) this.open();
      },
    };
  }

  /** Makes the sockets, and reports when all are there; failures are tried again. */
  open(): void {
    // It settles every failure itself.
    void this.#open();
  }

  async #open(): Promise<void> {
    const { log, ready } = this.#options;
    if (this.#again !== null) clearTimeout(this.#again);
    const results = await Promise.allSettled(this.#listeners.map(({ listener }) => listener.open()));
    if (!this.#isWanted || results.some(isWithdrawn)) return;
    const failures = results.filter((result) => result.status === 'rejected');
    for (const { reason } of failures) {
      log.error({ reason: reason instanceof Error ? reason.message : String(reason) }, 'cannot create a socket');
    }
    if (failures.length === 0) {
      const places = this.#listeners.map(({ listener }) => listener.place);
      log.info({ listen: places }, 'accepting clients');
      ready(places);
      // Loads everything that the first client needs before it comes.
      setImmediate(() => {
        preparePeerCredentials();
        messageCalls();
      });
      return;
    }
    this.#again = setTimeout(() => {
      this.open();
    }, AGAIN);
  }

  /**
   * Makes sockets again whose files somebody has removed, at the second look: at the first, another program may be just about to put
   * its own there. To be called once a second or so.
   */
  look(): void {
    const lost = this.#listeners.filter(({ listener }) => listener.hasLostFile);
    const again = lost.filter((listener) => this.#lost.includes(listener));
    this.#lost = lost;
    if (again.length === 0 || !this.#isWanted) return;
    for (const { place, listener } of again) {
      this.#options.log.warn({ listener: place }, 'the file of a socket was removed; creating it again');
      listener.close();
    }
    this.open();
  }

  /** Removes the sockets at once; connected clients stay. */
  close(): void {
    if (this.#again !== null) clearTimeout(this.#again);
    this.#again = null;
    for (const { listener } of this.#listeners) listener.close();
  }

  get #isWanted(): boolean {
    return this.#options.multiplexer.state.name === 'running';
  }

  #newListener(config: ListenerConfig, service: ServingRules): ClientListener {
    const { multiplexer, turn, faults, descriptors, log } = this.#options;
    return new ClientListener({ config, service, multiplexer, turn, faults, descriptors, log });
  }
}

/** Whether a listener was closed while it was being opened: QEMU was lost meanwhile. */
function isWithdrawn(result: PromiseSettledResult<boolean>): boolean {
  return result.status === 'fulfilled' && !result.value;
}
