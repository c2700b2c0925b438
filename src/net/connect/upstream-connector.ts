/**
 * The way to QEMU: dials it (or listens for it), again and again, whichever side is there first and however often it goes away.
 *
 * The multiplexer reports the state of a connection (`follow`): `running` when the handshake is done, `lost` when the peer is no QMP
 * server. Until then a connection is an attempt, with one time limit from the first packet to the end of the handshake, because a QEMU
 * whose monitor is taken accepts the connection and says nothing (it serves one client, the next ones wait in its backlog).
 *
 * The log has one line for each change, not for each attempt.
 */
import { performance } from 'node:perf_hooks';
import type { Link, UpstreamState } from '../../mux/ports/link.js';
import type { Log } from '../../shared/log.js';
import { Countdown } from '../../system/countdown.js';
import { type DialAddress, formatAddress, type ListenAddress, type UpstreamAddress } from '../address/address.js';
import { type Connection, type ConnectionReceiver, SocketConnection } from '../link/connection.js';
import { startsTelnet, TelnetFilter } from '../link/telnet.js';
import { Listener } from '../listen/listener.js';
import { RateLimit } from '../listen/rate-limit.js';
import { dial } from './dial.js';

/** Receives the connection: the upstream side of a `Multiplexer`. */
interface UpstreamReceiver {
  upstreamOpened(link: Link): void;
  upstreamReceive(chunk: Uint8Array): void;
  upstreamClosed(reason: string): void;
}

export interface UpstreamOptions {
  readonly address: UpstreamAddress;
  readonly receiver: UpstreamReceiver;
  readonly log: Log;
  /** Called before each attempt to dial. @returns why there is nothing to dial, or null */
  readonly prepare?: () => Promise<string | null>;
  /** Whether the clients stay when QEMU is gone; for messages. */
  readonly keepsClients?: boolean;
  /** How long an attempt may take until the handshake is done, in milliseconds. Default 10 s. */
  readonly attemptTimeout?: number;
  /** Pause after the first failed attempt and the longest pause, in milliseconds. Defaults 100 ms and 5 s. */
  readonly firstPause?: number;
  readonly longestPause?: number;
  /** Random numbers from 0 to 1, for the jitter. */
  readonly random?: () => number;
}

type State =
  | { readonly name: 'idle' }
  /** Until the next attempt. */
  | { readonly name: 'pausing'; readonly timer: Countdown }
  | { readonly name: 'dialling'; readonly abort: () => void; readonly deadline: Countdown }
  /** QEMU is to dial us. */
  | { readonly name: 'listening' }
  /** Connected; the multiplexer has not said `running` yet. */
  | {
      readonly name: 'greeting';
      readonly connection: Connection;
      readonly isGreeted: boolean;
      readonly deadline: Countdown;
    }
  | { readonly name: 'running'; readonly connection: Connection; readonly since: number }
  | { readonly name: 'stopped' };

/** A connection that has run for as long as this was a success: the next pause is the first one again. In milliseconds. */
const STABLE_AFTER_MS = 1000;
/** Lines of a failing command that are remembered, in order to write each once. */
const REMEMBERED_LINES = 100;
/** So many of them are written a second, in the long run; twice as many at once. */
const LINES_A_SECOND = 10;

export class UpstreamConnector {
  readonly #address: UpstreamAddress;
  readonly #receiver: UpstreamReceiver;
  readonly #log: Log;
  readonly #attemptTimeout: number;
  readonly #firstPause: number;
  readonly #longestPause: number;
  readonly #random: () => number;
  /** For messages. */
  readonly #place: string;
  readonly #lostText: string;
  readonly #prepare: (() => Promise<string | null>) | null;
  readonly #listener: Listener | null;
  #state: State = { name: 'idle' };
  #nextPause: number;
  /** The last reason logged for not being connected. */
  #reported: string | null = null;
  /** Whether a second QEMU that dialled us while the first one is connected has been logged. */
  #hasRefused = false;
  readonly #linesSaid = new Set<string>();
  readonly #lineRate = new RateLimit(LINES_A_SECOND, performance.now());
  /** Files with a password, and their modes, that have been logged. */
  readonly #exposed = new Set<string>();
  /** Earlier connections that have not closed yet. */
  readonly #leftovers = new Set<Promise<void>>();

  constructor(options: UpstreamOptions) {
    this.#address = options.address;
    this.#receiver = options.receiver;
    this.#log = options.log;
    this.#attemptTimeout = options.attemptTimeout ?? 10_000;
    this.#firstPause = options.firstPause ?? 100;
    this.#longestPause = options.longestPause ?? 5000;
    this.#random = options.random ?? Math.random;
    this.#nextPause = this.#firstPause;
    this.#place = formatAddress(options.address);
    this.#lostText = `lost QEMU; its clients ${options.keepsClients === true ? 'stay connected' : 'are disconnected'}`;
    this.#prepare = options.prepare ?? null;
    this.#listener = options.address.kind === 'server' ? this.#newListener(options.address.listen) : null;
  }

  /** Where QEMU is to dial, with the port that was picked; null when we dial. */
  get listeningPlace(): string | null {
    return this.#listener?.place ?? null;
  }

  /** Begins. @throws ListenError when QEMU is to dial us and we cannot listen. */
  async start(): Promise<void> {
    if (this.#address.kind !== 'server') {
      this.#attempt(this.#address);
      return;
    }
    await this.#listener?.open();
    if (this.#state.name !== 'idle') return;
    this.#state = { name: 'listening' };
    this.#log.info({ upstream: this.#place }, `waiting for QEMU to connect to ${this.#listener?.place}`);
  }

  /** The multiplexer's view of the connection has changed. */
  follow(multiplexer: UpstreamState): void {
    const state = this.#state;
    switch (multiplexer.name) {
      case 'connecting':
      case 'greeting':
        break;
      case 'negotiating':
        if (state.name === 'greeting') this.#state = { ...state, isGreeted: true };
        break;
      case 'running':
        if (state.name !== 'greeting') break;
        state.deadline.stop();
        this.#state = { name: 'running', connection: state.connection, since: performance.now() };
        this.#reported = null;
        this.#linesSaid.clear();
        break;
      case 'lost':
        // Only when the multiplexer found out by itself: the peer is no QMP server, or broke the protocol.
        if (state.name === 'greeting' || state.name === 'running') this.#end(state.connection, multiplexer.reason);
        break;
    }
  }

  /** Closes everything; resolves when a child process has ended, too. */
  async stop(): Promise<void> {
    const before = this.#state;
    this.#state = { name: 'stopped' };
    this.#listener?.close();
    switch (before.name) {
      case 'idle':
      case 'listening':
      case 'stopped':
        break;
      case 'pausing':
        before.timer.stop();
        break;
      case 'dialling':
        before.deadline.stop();
        before.abort();
        break;
      case 'greeting':
        before.deadline.stop();
        this.#close(before.connection, true);
        break;
      case 'running':
        this.#close(before.connection, true);
        break;
    }
    await Promise.all(this.#leftovers);
  }

  #newListener(address: ListenAddress): Listener {
    return new Listener({
      address,
      accept: (socket) => {
        if (this.#state.name === 'listening') {
          this.#opened(new SocketConnection(socket), this.#newDeadline());
          return;
        }
        socket.on('error', () => undefined);
        socket.destroy();
        const fields = { upstream: this.#place };
        if (this.#hasRefused) this.#log.debug(fields, 'refused another connection to the upstream');
        else this.#log.warn(fields, 'refused a second connection to the upstream: one QEMU is connected');
        this.#hasRefused = true;
      },
      trouble: (error) => {
        this.#log.error({ upstream: this.#place, error: error.message }, 'cannot accept a connection from QEMU');
      },
    });
  }

  #attempt(address: DialAddress): void {
    if (this.#prepare === null) {
      this.#dial(address);
      return;
    }
    let isWanted = true;
    const deadline = this.#newDeadline();
    this.#state = {
      name: 'dialling',
      deadline,
      abort: () => {
        isWanted = false;
      },
    };
    // It goes on by itself, as far as it is wanted: its end is a state.
    void this.#prepareAndDial(address, this.#prepare, () => isWanted, deadline);
  }

  async #prepareAndDial(
    address: DialAddress,
    prepare: () => Promise<string | null>,
    isWanted: () => boolean,
    deadline: Countdown,
  ): Promise<void> {
    const problem = await prepare();
    if (!isWanted()) return;
    deadline.stop();
    if (problem === null) this.#dial(address);
    else this.#missed(problem);
  }

  #dial(address: DialAddress): void {
    // A child's callbacks may come before `dial` returns only in theory; a state that is in place cannot be missed.
    const deadline = this.#newDeadline();
    const { abort } = dial(address, {
      connected: (connection) => {
        this.#opened(connection, deadline);
      },
      failed: (reason) => {
        deadline.stop();
        this.#missed(reason);
      },
      said: (line, pid) => {
        this.#said(line, pid);
      },
      exposed: (file, mode) => {
        this.#tellExposed(file, mode);
      },
    });
    this.#state = { name: 'dialling', abort, deadline };
  }

  #newDeadline(): Countdown {
    return new Countdown(this.#attemptTimeout, () => {
      const state = this.#state;
      if (state.name === 'dialling') {
        state.abort();
        this.#missed(`no connection within ${this.#attemptTimeout / 1000} s`);
      } else if (state.name === 'greeting') {
        this.#tellEnd(state.connection, this.#describeSilence(state.isGreeted));
      }
    });
  }

  #describeSilence(isGreeted: boolean): string {
    const time = `within ${this.#attemptTimeout / 1000} s`;
    if (isGreeted) return `no answer to qmp_capabilities ${time}: QEMU hangs or is stopped`;
    if (this.#address.kind === 'server') return `no greeting ${time}: the peer is not a QEMU monitor`;
    return `no greeting ${time}: another client probably holds this monitor (QEMU serves one at a time)`;
  }

  #opened(connection: Connection, deadline: Countdown): void {
    this.#state = { name: 'greeting', connection, isGreeted: false, deadline };
    this.#hasRefused = false;
    let telnet: TelnetFilter | null | undefined;
    const receiver: ConnectionReceiver = {
      receive: (chunk) => {
        // A monitor behind telnet begins with telnet's own bytes, which QMP never has; it asks for no answer to them.
        if (telnet === undefined) telnet = startsTelnet(chunk) ? new TelnetFilter() : null;
        const kept = telnet === null ? chunk : telnet.filter(chunk);
        if (kept.length > 0) this.#receiver.upstreamReceive(kept);
      },
      unsent: (code) => {
        // With EPIPE QEMU is gone, which is reported by itself.
        if (code === 'EPIPE') return;
        const fields = { upstream: this.#place, error: code };
        this.#log.error(fields, "cannot pass a descriptor to QEMU; its client gets QEMU's error that there is none");
      },
      closed: (reason) => {
        const isEarly = this.#state.name === 'greeting';
        this.#tellEnd(connection, isEarly ? `${reason}, before the QMP handshake was done` : reason);
      },
    };
    // The multiplexer first: input comes after it knows the connection.
    this.#receiver.upstreamOpened(connection.link);
    connection.attach(receiver);
  }

  #isCurrent(connection: Connection): boolean {
    const state = this.#state;
    return (state.name === 'greeting' || state.name === 'running') && state.connection === connection;
  }

  /** The multiplexer first: when the log reports the loss, the clients' sockets are gone. */
  #tellEnd(connection: Connection, reason: string): void {
    if (!this.#isCurrent(connection)) return;
    this.#receiver.upstreamClosed(reason);
    // Unless its answer, by `follow`, has done so.
    if (this.#isCurrent(connection)) this.#end(connection, reason);
  }

  /** A connection that was made is over. */
  #end(connection: Connection, reason: string): void {
    const before = this.#state;
    if (before.name === 'greeting') before.deadline.stop();
    if (before.name === 'running') {
      if (performance.now() - before.since >= STABLE_AFTER_MS) this.#nextPause = this.#firstPause;
      this.#log.warn({ upstream: this.#place, reason }, this.#lostText);
    } else {
      this.#report(reason);
    }
    this.#close(connection, false);
    this.#again();
  }

  /** An attempt that came to no connection. */
  #missed(reason: string): void {
    this.#report(reason);
    this.#again();
  }

  #again(): void {
    if (this.#address.kind === 'server') {
      this.#state = { name: 'listening' };
      return;
    }
    const address = this.#address;
    // From half of it to all of it, so that the daemons of a host do not knock in step.
    const pause = this.#nextPause * (0.5 + this.#random() / 2);
    this.#nextPause = Math.min(this.#nextPause * 2, this.#longestPause);
    const timer = new Countdown(pause, () => {
      // A command of the last attempt still holds the monitor; another one would only wait behind it.
      // That a connection ends cannot fail.
      void Promise.all(this.#leftovers).then(() => {
        if (this.#state.name === 'pausing' && this.#state.timer === timer) this.#attempt(address);
        return undefined;
      });
    });
    this.#state = { name: 'pausing', timer };
  }

  #close(connection: Connection, atOnce: boolean): void {
    const gone = connection.close(atOnce).finally(() => {
      this.#leftovers.delete(gone);
    });
    this.#leftovers.add(gone);
  }

  #report(reason: string): void {
    const fields = { upstream: this.#place, reason };
    const changed = withoutNumbers(reason) !== this.#reported;
    this.#reported = withoutNumbers(reason);
    if (changed) this.#log.warn(fields, 'waiting for QEMU');
    else this.#log.debug(fields, 'still waiting for QEMU');
  }

  #said(line: string, pid: number): void {
    const fields = { upstream: this.#place, pid, line };
    const pattern = withoutNumbers(line);
    // A command that says something else each time is not to fill the log.
    const isNew = !this.#linesSaid.has(pattern) && this.#lineRate.take(performance.now());
    if (this.#linesSaid.size >= REMEMBERED_LINES) this.#linesSaid.clear();
    this.#linesSaid.add(pattern);
    if (isNew) this.#log.warn(fields, 'upstream command wrote to stderr');
    else this.#log.debug(fields, 'upstream command wrote to stderr again');
  }

  #tellExposed(file: string, mode: string): void {
    const exposure = `${mode} ${file}`;
    if (this.#exposed.has(exposure)) return;
    this.#exposed.add(exposure);
    const fields = { upstream: this.#place, file, mode };
    this.#log.warn(fields, 'other users can read the file with the password for libvirt; chmod 0600 it');
  }
}

/** Messages that differ in a process id or a time of day say the same. */
function withoutNumbers(text: string): string {
  return text.replaceAll(/\d+/g, '#');
}
