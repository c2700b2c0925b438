/** QEMU's place at its own path, which a monitor takes and gives back; logs each step. See net/takeover.ts. */
import type { UnixAddress } from '../net/address/address.js';
import { formatPlace } from '../net/address/address.js';
import { joinCommand } from '../net/address/command-words.js';
import { Takeover } from '../net/listen/takeover.js';
import type { Log } from '../shared/log.js';
import type { ListenerConfig } from './config/config.js';
import { DEFAULT_LISTENER } from './config/options/listener.js';

export class TakenPlace {
  readonly #takeover: Takeover;
  readonly #log: Log;
  /** The step under way: one at a time, so that a socket is not moved aside by one when another has just put it back. */
  #step: Promise<unknown> = Promise.resolve();
  #isGivenBack = false;
  /** Whether `check` has moved QEMU's socket aside, and nothing has come of it yet. */
  #isOnTrial = false;

  /** @param path where QEMU's socket is */
  constructor(path: string, log: Log) {
    this.#takeover = new Takeover(path);
    this.#log = log;
  }

  /** Where QEMU's socket is while its place is taken. */
  get upstream(): UnixAddress {
    return { kind: 'unix', path: this.#takeover.aside };
  }

  /** Where clients are served: where the config says, and in QEMU's place. */
  listenersOf(listen: readonly ListenerConfig[]): readonly ListenerConfig[] {
    const { path, aside } = this.#takeover;
    const isThere = ({ address }: ListenerConfig) => address.kind === 'unix' && address.path === path;
    const like = ({ address, settings }: ListenerConfig): ListenerConfig =>
      address.kind === 'unix' && address.path === path
        ? { address: { ...address, like: aside }, settings }
        : { address, settings };
    const all = listen.map(like);
    if (all.some(isThere)) return all;
    return [...all, { address: { kind: 'unix', path, like: aside }, settings: DEFAULT_LISTENER }];
  }

  /**
   * The socket at the upstream's path is QEMU's until it is moved aside.
   * @param except places that are known to be free, or will be
   * @throws ListenError
   */
  async check(except: ReadonlySet<string>): Promise<void> {
    if (except.has(formatPlace({ kind: 'unix', path: this.#takeover.path }))) return;
    const prepared = await this.#takeover.prepare();
    this.#isOnTrial = prepared.ready && prepared.moved;
  }

  /** Undoes `check`, if nothing is to come of it. */
  async undo(): Promise<void> {
    if (this.#isOnTrial) await this.giveBack();
  }

  /** Moves QEMU's socket aside, if there is one. @returns why it cannot be dialled, or null */
  take(): Promise<string | null> {
    return this.#next(() => this.#take());
  }

  /** For good: nothing is taken any more. */
  giveBack(): Promise<void> {
    this.#isGivenBack = true;
    return this.#next(() => this.#giveBack());
  }

  #next<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#step.then(step);
    // Both steps report their own failures, and throw nothing.
    this.#step = result;
    return result;
  }

  async #take(): Promise<string | null> {
    if (this.#isGivenBack) return 'qmpmux is stopping';
    const { path, aside } = this.#takeover;
    try {
      const prepared = await this.#takeover.prepare();
      if (!prepared.ready) return prepared.why;
      if (prepared.moved) this.#log.info({ path, aside }, "moved QEMU's socket aside, to take its place");
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  async #giveBack(): Promise<void> {
    const { path, aside } = this.#takeover;
    try {
      if (await this.#takeover.restore()) this.#log.info({ path, aside }, "moved QEMU's socket back");
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const remedy = joinCommand(['qmpmux', 'serve', '--upstream', formatPlace({ kind: 'unix', path }), '--restore']);
      this.#log.error({ path, aside, reason }, `cannot move QEMU's socket back; to do it later, run: ${remedy}`);
    }
  }
}
