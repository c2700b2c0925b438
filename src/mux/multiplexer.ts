/**
 * Many clients on one monitor. This file composes the rest; its interface is what net/, audit/ and daemon/ plug into.
 *
 * A turn: connections hand in what they read (`receive`, `upstreamReceive`), nothing is written yet. Then the host calls
 * `commit`: waiting commands are dispatched as far as the window allows, recorded, and written upstream in one piece;
 * then every client with output gets it in one piece. So a turn costs one write per connection,
 * however many messages it carries, and a command never reaches QEMU before the observer has it.
 */
import { Parser } from '../qmp/json/parser.js';
import { isAtLeast } from '../qmp/qemu-version.js';
import { type ExtensionServices, Extensions } from './admin/extension.js';
import type { Admission } from './client/admission.js';
import type { ClientOptions } from './client/client-options.js';
import { Clients } from './client/clients.js';
import type { SessionPorts } from './client/session.js';
import type { PendingCommand } from './commands/command.js';
import { InFlight } from './commands/in-flight.js';
import type { LatencyHistogram } from './commands/reply-stats.js';
import { DescriptorBroker } from './descriptors/broker.js';
import { EventFeed } from './events/feed.js';
import { Bookkeeping } from './ports/bookkeeping.js';
import type { ClientPort } from './ports/client-port.js';
import type { Counters, Traffic } from './ports/counters.js';
import { DEFAULT_LIMITS, type Limits } from './ports/limits.js';
import type { Host, Link, UpstreamState } from './ports/link.js';
import type { ClientView, Observer, UpstreamHealth } from './ports/observer.js';
import { Dispatcher } from './upstream/dispatcher.js';
import { MessageRouter } from './upstream/message-router.js';
import { Replies } from './upstream/replies.js';
import { UpstreamProbe } from './upstream/upstream-probe.js';
import { UpstreamSession } from './upstream/upstream-session.js';

export type { ClientOptions } from './client/client-options.js';
export type { ClientPort } from './ports/client-port.js';

export interface MultiplexerOptions {
  /** The monitor's name, for messages. */
  readonly name: string;
  readonly host: Host;
  readonly observer?: Observer;
  /** Whether replies that cannot change while QEMU lives are served from memory; true by default. */
  readonly cache?: boolean;
  /** Whether identical queries that wait at the same time go upstream once; true by default. */
  readonly merge?: boolean;
  /** Whether `oob` is enabled, and offered to clients, if QEMU offers it; true by default. */
  readonly oob?: boolean;
  /** Whether commands are ended by line feeds towards QEMU, for relays that read lines; by default that is found out. */
  readonly lines?: boolean;
  /** Overrides of the default limits. */
  readonly limits?: Partial<Limits>;
  /** Whether clients stay connected while QEMU is gone; false by default. */
  readonly keepClients?: boolean;
  /** A command still unanswered after this time is reported to the observer once, in milliseconds; 0 for never, 10 s by default. */
  readonly warnAfter?: number;
  /** QEMU is probed after this much silence, in milliseconds; 0, the default, for never. */
  readonly probeAfter?: number;
  /** QEMU is given up if it stays silent this long after a probe while a client waits; 0, the default, for never. Needs `oob`. */
  readonly probeTimeout?: number;
  /** What qmpmux's own commands need from outside the multiplexer. */
  readonly services?: ExtensionServices;
}

/** Default of `warnAfter`. */
const WARN_AFTER = 10_000;

export class Multiplexer {
  readonly name: string;
  readonly #host: Host;
  readonly #books: Bookkeeping;
  readonly #broker = new DescriptorBroker();
  readonly #inFlight = new InFlight();
  readonly #feed: EventFeed;
  readonly #clients: Clients;
  readonly #upstream: UpstreamSession;
  readonly #replies: Replies;
  readonly #dispatcher: Dispatcher;
  readonly #probe: UpstreamProbe;
  readonly #router: MessageRouter;
  readonly #extensions: Extensions;
  readonly #sessionPorts: SessionPorts;
  readonly #keepClients: boolean;
  /** In microseconds; 0 for never. */
  readonly #warnAfter: number;
  #isClosing = false;

  constructor(options: MultiplexerOptions) {
    const { name, host, cache = true, merge: mayMerge = true, oob: enablesOob = true } = options;
    this.name = name;
    this.#host = host;
    this.#keepClients = options.keepClients === true;
    this.#warnAfter = (options.warnAfter ?? WARN_AFTER) * 1000;
    const books = new Bookkeeping(host, { ...DEFAULT_LIMITS, ...options.limits }, options.observer ?? null);
    this.#books = books;
    const [broker, inFlight] = [this.#broker, this.#inFlight];
    const feed = (this.#feed = new EventFeed(books, host));
    const clients = (this.#clients = new Clients(books, feed, host));
    const { limits, seenTime } = books;
    const upstream = (this.#upstream = new UpstreamSession(
      host,
      { enablesOob, endsLines: options.lines ?? null, mostReplyBytes: limits.replyBytes, seenTime },
      {
        message: (envelope) => this.#router.route(envelope),
        stray: (chunks, why) => this.#router.stray(chunks, why),
        changed: (state) => this.#upstreamChanged(state),
      },
    ));
    const replies = (this.#replies = new Replies(books, cache));
    const toQemu = { books, host, broker, inFlight, replies, crowd: clients };
    const dispatcher = (this.#dispatcher = new Dispatcher({ ...toQemu, mayMerge }));
    const { probeAfter: after = 0, probeTimeout: timeout = 0 } = options;
    const probe = (this.#probe = new UpstreamProbe({ books, host, upstream, broker, inFlight }, { after, timeout }));
    this.#router = new MessageRouter({ ...toQemu, upstream, probe, feed, dispatcher });
    const reported = { name, books, clients, upstream, probe, inFlight, replies, ring: feed.ring };
    const failed = (error: unknown): void => host.failed?.(error);
    this.#extensions = new Extensions(reported, options.services ?? null, failed);
    this.#sessionPorts = {
      books,
      registry: clients,
      sink: dispatcher,
      qemu: upstream,
      extensions: this.#extensions,
      broker,
      budget: clients.budget,
      events: feed,
      parser: new Parser(),
    };
  }

  get state(): UpstreamState {
    return this.#upstream.state;
  }

  /** The last finding about QEMU; null while it is not connected, and if it is not probed. */
  get health(): UpstreamHealth | null {
    return this.#probe.health;
  }

  /** Counts of refusals and ended connections. */
  get counters(): Counters {
    return this.#books.counters;
  }

  get traffic(): Traffic {
    return this.#books.traffic;
  }

  /** Decides whether one more client may connect. */
  get admission(): Admission {
    return this.#clients.admission;
  }

  get clientCount(): number {
    return this.#clients.clientCount;
  }

  /** Sessions, including those whose client has left while some of their commands are upstream. */
  get sessionCount(): number {
    return this.#clients.sessionCount;
  }

  /** Bytes held for all clients: unfinished commands, waiting commands, unread output. */
  get heldBytes(): number {
    return this.#clients.heldBytes;
  }

  /** Clients that are connected. */
  get clients(): readonly ClientView[] {
    return [...this.#clients.sessions].filter((session) => session.isConnected);
  }

  /** Commands of all clients that have not gone upstream and have no answer. Counted at each call. */
  get waitingCount(): number {
    return this.#clients.waitingCount;
  }

  /** Statistics of the answers to all clients. */
  get tally(): LatencyHistogram {
    return this.#replies.tally;
  }

  /** Commands in flight upstream, oldest first. */
  get inFlight(): readonly PendingCommand[] {
    return this.#inFlight.all();
  }

  /** Reports to another observer from now on. That observer records a command in flight again when it is answered. */
  replaceObserver(observer: Observer): void {
    this.#books.observer = observer;
    for (const command of this.#inFlight.all()) command.auditSeq = 0;
    this.#probe.forgetMarks();
    this.#extensions.forgetMarks();
  }

  /** A connection to QEMU is there; the greeting is awaited. */
  upstreamOpened(link: Link): void {
    this.#upstream.opened(link);
  }

  /** Bytes from QEMU. The chunk is handed over: the caller never changes it afterwards. */
  upstreamReceive(chunk: Uint8Array): void {
    this.#router.receive(chunk);
  }

  /** The upstream connection ended or could not be kept; every client gets EOF. */
  upstreamClosed(reason: string): void {
    this.#upstream.closed(reason);
  }

  /**
   * A client connected; it is sent the greeting.
   * @throws Error unless `state` is `running`: before, there is no greeting to send
   */
  connect(link: Link, options: ClientOptions): ClientPort {
    if (this.state.name !== 'running') throw new Error(`no client can be served: the upstream is ${this.state.name}`);
    return this.#clients.connect(this.#sessionPorts, link, options, this.#upstream.greeting);
  }

  /** The end of a turn: dispatches commands, records, writes. Called by the host after `Host.schedule`. */
  commit(): void {
    const { link } = this.#upstream;
    if (link !== null) {
      this.#probe.proceed(this.#dispatcher.hasWaiting);
      this.#dispatcher.dispatch(link);
    }
    this.#clients.flush();
  }

  /** Whether no client waits for anything, and none has yet to negotiate: no time limit is near. */
  get isIdle(): boolean {
    const { name } = this.state;
    const isSettled = name === 'running' || name === 'lost' || name === 'connecting';
    return isSettled && this.inFlight.length === 0 && this.waitingCount === 0 && this.#clients.areIdle;
  }

  /**
   * Time has passed; to be called about once a second. All time limits are checked here.
   * @param missed how much of that time this process was stopped and could do nothing, in microseconds
   */
  tick(missed: number = 0): void {
    const now = this.#books.now();
    this.#books.seenTime.miss(now, missed);
    this.#upstream.tick(now);
    for (const session of this.#clients.sessions) session.tick(now);
    this.#extensions.tick();
    this.#probe.tick(now);
    // Out-of-band commands wait for a descriptor to be taken, but not for long.
    if (this.#broker.isDelicate && this.#dispatcher.hasWaiting) this.#host.schedule();
    if (this.#warnAfter > 0) this.#warn(now);
  }

  /** Reports commands that have been upstream for too long. */
  #warn(now: number): void {
    const { seenTime, observer } = this.#books;
    for (const command of this.#inFlight.stuck(now - this.#warnAfter)) {
      if (seenTime.between(command.sentAt, now) < this.#warnAfter) continue;
      command.isWarned = true;
      observer?.stuck?.(command, now - command.sentAt);
    }
  }

  /**
   * Reads no more of the clients. Each gets its answers and then EOF; when all have, `sessionCount` is 0. Without patience, `close`
   * ends the rest.
   */
  drain(reason: string): void {
    this.#extensions.giveUp(reason);
    for (const session of this.#clients.sessions) session.finishUp(reason);
  }

  /** Ends every client and the upstream connection. */
  close(reason: string): void {
    this.#isClosing = true;
    this.#upstream.drop(reason);
    for (const session of this.#clients.sessions) session.terminate(reason);
  }

  #upstreamChanged(state: UpstreamState): void {
    if (state.name === 'lost') this.#lose(state.reason);
    else if (state.name === 'running') {
      this.#feed.running(state.version);
      this.#broker.isRacy = !isAtLeast(state.version, 11, 0);
      this.#probe.begin(this.#books.now());
      for (const session of this.#clients.sessions) session.dialect = this.#upstream.dialect;
    }
    this.#extensions.stateChanged();
    this.#books.observer?.upstream(state);
    this.#host.upstreamChanged(state);
  }

  /** The upstream is gone: nothing that is in flight will be answered. */
  #lose(reason: string): void {
    this.#replies.clear();
    this.#router.reset();
    this.#dispatcher.clear();
    this.#probe.end(reason);
    this.#broker.clear();
    const keeps = this.#keepClients && !this.#isClosing;
    for (const command of this.#inFlight.clear()) {
      for (const each of [command, ...command.followers]) {
        this.#books.observer?.unanswered(each, reason);
        // The rest are in their client's queue, and go with it.
        if (each.stage === 'abandoned') each.release();
      }
    }
    for (const session of this.#clients.sessions) {
      if (keeps) session.commands.fail(reason);
      else session.terminate('the upstream is gone');
    }
    this.#feed.lost(reason, keeps);
  }
}
