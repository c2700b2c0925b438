/**
 * Many clients on one monitor. This file composes the rest; its interface is what net/, audit/ and daemon/ plug into.
 *
 * A turn: connections hand in what they read (`receive`, `upstreamReceive`), nothing is written yet. Then the host calls
 * `commit`: waiting commands are dispatched as far as the window allows, recorded, and written upstream in one piece;
 * then every client that has something to be sent gets it in one piece. So a turn costs one write per connection,
 * however many messages it carries, and a command never reaches QEMU before the observer has it.
 */
import { CommandReader } from '../qmp/command.js';
import { Parser } from '../qmp/json/parser.js';
import type { Dialect } from '../qmp/json/prompt-stream.js';
import { isAtLeast, isBefore } from '../qmp/qemu-version.js';
import { type Envelope, FOREIGN_ID, MessageKind, NO_ID } from '../qmp/stream/envelope.js';
import { type ExtensionServices, Extensions } from './admin/extension.js';
import { Admission } from './client/admission.js';
import type { ClientOptions } from './client/client-options.js';
import { MemoryBudget } from './client/memory-budget.js';
import { Session } from './client/session.js';
import { TurnBudget } from './client/turn-budget.js';
import type { PendingCommand } from './commands/command.js';
import { InFlight, SHARE } from './commands/in-flight.js';
import type { LatencyHistogram } from './commands/reply-stats.js';
import { DescriptorBroker } from './descriptors/broker.js';
import { EventFeed } from './events/feed.js';
import type { CapabilityErrorTexts } from './ports/capability-errors.js';
import type { ClientPort } from './ports/client-port.js';
import { Counters, Traffic } from './ports/counters.js';
import { DEFAULT_LIMITS, type Limits } from './ports/limits.js';
import type { ClientId, Host, Link, UpstreamState } from './ports/link.js';
import type { ClientView, Observer, UpstreamHealth } from './ports/observer.js';
import { SeenTime } from './ports/seen-time.js';
import type { SessionOwner } from './ports/session-owner.js';
import { Dispatcher } from './upstream/dispatcher.js';
import { Replies } from './upstream/replies.js';
import { type ProbeOwner, UpstreamProbe } from './upstream/upstream-probe.js';
import { UpstreamSession, type UpstreamSessionOwner } from './upstream/upstream-session.js';

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
  /** Whether `oob` is enabled, and offered to clients, where QEMU offers it; true by default. */
  readonly oob?: boolean;
  /** Whether commands are ended by line feeds towards QEMU, for relays that read lines; by default that is found out. */
  readonly lines?: boolean;
  /** What differs from the default limits. */
  readonly limits?: Partial<Limits>;
  /** Whether clients stay connected while QEMU is gone; false by default. */
  readonly keepClients?: boolean;
  /** A command without an answer for so long is told to the observer, in milliseconds; 0 for never, 10 s by default. */
  readonly warnAfter?: number;
  /** QEMU is probed after so much silence, in milliseconds; 0, the default, for never. */
  readonly probeAfter?: number;
  /** One that gives no sign for so long after a probe, while a client waits, is given up; 0, the default, for never. Needs `oob`. */
  readonly probeTimeout?: number;
  /** What qmpmux's own commands need of the world around. */
  readonly services?: ExtensionServices;
}

/** Default of `warnAfter`. */
const WARN_AFTER = 10_000;
/** So many messages in a row that cannot be read, and the peer is no QMP server any more. */
const MOST_UNREADABLE = 100;
const OUTAGE = 'qmpmux has lost QEMU and waits for it; this command was not executed';

// The one place where counted numbers become client ids.
function toClientId(value: number): ClientId {
  return value as ClientId;
}

export class Multiplexer implements SessionOwner, UpstreamSessionOwner, ProbeOwner {
  readonly name: string;
  readonly parser: Parser = new Parser();
  readonly reader: CommandReader = new CommandReader();
  observer: Observer | null;
  readonly counters: Counters = new Counters();
  readonly traffic: Traffic = new Traffic();
  readonly limits: Limits;
  readonly broker: DescriptorBroker = new DescriptorBroker();
  readonly extensions: Extensions;
  readonly admission: Admission;
  readonly enablesOob: boolean;
  readonly endsLines: boolean | null;
  readonly budget: TurnBudget = new TurnBudget();
  readonly seenTime: SeenTime = new SeenTime();

  readonly #host: Host;
  readonly #memory: MemoryBudget;
  readonly #monitor: UpstreamSession;
  readonly #pending = new InFlight();
  readonly #dispatcher: Dispatcher;
  readonly #feed: EventFeed;
  readonly #probe: UpstreamProbe;
  readonly #sessions = new Set<Session>();
  readonly #replies: Replies;
  readonly #keepClients: boolean;
  /** In microseconds; 0 for never. */
  readonly #warnAfter: number;
  /** Messages in a row that could not be read. */
  #unreadable = 0;
  /** QEMU's version, while it is running. */
  #version: string | null = null;
  #isClosing = false;
  /** When the upstream bytes at hand were read; a clock costs too much to ask for each. */
  #readAt = 0;
  #touched: Session[] = [];
  /** Who has had a part of a turn and has sent more, in the order in which they are read on. */
  #resting: Session[] = [];
  #lastClientId = 0;

  constructor(options: MultiplexerOptions) {
    this.name = options.name;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.admission = new Admission(this);
    this.#memory = new MemoryBudget(this.limits.memory);
    this.#host = options.host;
    this.observer = options.observer ?? null;
    this.#feed = new EventFeed(this, options.host);
    this.#replies = new Replies(this, options.cache !== false);
    this.#dispatcher = new Dispatcher(this, options.host, this.#pending, options.merge !== false);
    this.enablesOob = options.oob !== false;
    this.endsLines = options.lines ?? null;
    this.#keepClients = options.keepClients === true;
    this.#warnAfter = (options.warnAfter ?? WARN_AFTER) * 1000;
    this.#monitor = new UpstreamSession(options.host, this);
    const { probeAfter: after = 0, probeTimeout: timeout = 0 } = options;
    this.#probe = new UpstreamProbe(this, this.#pending, { after, timeout });
    this.extensions = new Extensions(this, options.services ?? null);
  }

  get state(): UpstreamState {
    return this.#monitor.state;
  }

  /** What is known of QEMU; null while it is not connected, and where it is not probed. */
  get health(): UpstreamHealth | null {
    return this.#probe.health;
  }

  get clientCount(): number {
    return this.admission.clientCount;
  }

  /** Sessions, those included whose client has left while something of theirs is upstream. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Bytes held for all clients: what they are writing, what waits, what they have not read. */
  get heldBytes(): number {
    return this.#memory.bytes;
  }

  /** Those who are connected. */
  get clients(): readonly ClientView[] {
    return [...this.#sessions].filter((session) => session.isConnected);
  }

  /** All of them, those included whose client has left while something of theirs is upstream. */
  get sessions(): Iterable<Session> {
    return this.#sessions;
  }

  /** Tells another observer from now on. What is in flight is recorded anew by it when it is answered. */
  replaceObserver(observer: Observer): void {
    this.observer = observer;
    for (const command of this.#pending.all()) command.auditSeq = 0;
    this.#probe.forgetMarks();
    this.extensions.forgetMarks();
  }

  /** Commands of all clients that have not gone upstream and have no answer. Counted at each call. */
  get waitingCount(): number {
    let count = 0;
    for (const session of this.#sessions) count += session.commands.waitingCount;
    return count;
  }

  /** What was answered to all clients. */
  get tally(): LatencyHistogram {
    return this.#replies.tally;
  }

  /** Commands in flight upstream, oldest first. */
  get inFlight(): readonly PendingCommand[] {
    return this.#pending.all();
  }

  /** A connection to QEMU is there; the greeting is awaited. */
  upstreamOpened(link: Link): void {
    this.#monitor.opened(link);
  }

  /** Bytes from QEMU. The chunk is handed over: the caller never changes it afterwards. */
  upstreamReceive(chunk: Uint8Array): void {
    this.#readAt = this.#host.now();
    this.traffic.fromUpstream += chunk.length;
    this.#probe.heard(this.#readAt);
    this.#monitor.receive(chunk);
    this.#probe.read(this.#readAt);
    this.#feed.handOut();
  }

  /** The upstream connection ended or could not be kept; every client gets EOF. */
  upstreamClosed(reason: string): void {
    this.#monitor.closed(reason);
  }

  /**
   * A client connected; it is sent the greeting.
   * @throws Error unless `state` is `running`: before, there is no greeting to send
   */
  connect(link: Link, options: ClientOptions): ClientPort {
    if (this.state.name !== 'running') throw new Error(`no client can be served: the upstream is ${this.state.name}`);
    const session = new Session(this, link, toClientId(++this.#lastClientId), options);
    this.#sessions.add(session);
    this.admission.enter(options.listener);
    this.observer?.connected(session);
    session.greet(this.#monitor.greeting);
    return session;
  }

  /** The end of a turn: dispatches commands, records, writes. Called by the host after `Host.schedule`. */
  commit(): void {
    const { link } = this.#monitor;
    if (link !== null) {
      this.#probe.proceed(this.#dispatcher.hasWaiting);
      this.#dispatcher.dispatch(link);
    }
    const touched = this.#touched;
    this.#touched = [];
    for (const session of touched) {
      session.isTouched = false;
      session.flush();
    }
    if (this.#memory.isOver) this.#memory.shed(this.#sessions);
    this.budget.renew();
    if (this.#resting.length > 0) this.#readOn();
  }

  /** The next turn has begun: reads those who rest, until it is the others' again. */
  #readOn(): void {
    const resting = this.#resting;
    this.#resting = [];
    let next = 0;
    while (next < resting.length && this.budget.hasLeft) resting[next++]?.readOn();
    if (next < resting.length) this.#resting = [...resting.slice(next), ...this.#resting];
    if (this.#resting.length > 0) this.#host.schedule();
  }

  /**
   * Time has passed; to be called about once a second. What has a time limit is looked at here.
   * @param missed how much of that time this process could not do anything in, since it was stopped; in microseconds
   */
  tick(missed: number = 0): void {
    const now = this.#host.now();
    this.seenTime.miss(now, missed);
    this.#monitor.tick(now);
    for (const session of this.#sessions) session.tick(now);
    this.extensions.tick();
    this.#probe.tick(now);
    // Out-of-band commands wait for a descriptor to be taken, but not for long.
    if (this.broker.isDelicate && this.#dispatcher.hasWaiting) this.#host.schedule();
    if (this.#warnAfter === 0) return;
    for (const command of this.#pending.stuck(now - this.#warnAfter)) {
      if (this.seenTime.between(command.sentAt, now) < this.#warnAfter) continue;
      command.isWarned = true;
      this.observer?.stuck?.(command, now - command.sentAt);
    }
  }

  /**
   * Reads no more of the clients. Each gets its answers and then EOF; when all have, `sessionCount` is 0. Without patience, `close`
   * ends the rest.
   */
  drain(reason: string): void {
    this.extensions.giveUp(reason);
    for (const session of this.#sessions) session.finishUp(reason);
  }

  /** Ends every client and the upstream connection. */
  close(reason: string): void {
    this.#isClosing = true;
    this.#monitor.drop(reason);
    for (const session of this.#sessions) session.terminate(reason);
  }

  // What sessions need

  get words(): CapabilityErrorTexts {
    return this.#monitor.words;
  }

  get dialect(): Dialect {
    return this.#monitor.dialect;
  }

  get offersOob(): boolean {
    return this.#monitor.offersOob;
  }

  get share(): number {
    return this.admission.clientCount > 1 ? SHARE : Number.POSITIVE_INFINITY;
  }

  get outage(): string | null {
    return this.#monitor.link === null ? OUTAGE : null;
  }

  get closesUnusedSets(): boolean {
    return this.#version !== null && isBefore(this.#version, 9, 1);
  }

  get carriesDescriptors(): boolean {
    return this.#monitor.link?.sendWith !== undefined;
  }

  now(): number {
    return this.#host.now();
  }

  offer(session: Session): void {
    this.#dispatcher.offer(session);
  }

  offerAll(): void {
    for (const session of this.#sessions) if (session.commands.hasWaiting) this.offer(session);
  }

  offerOob(session: Session): void {
    this.#dispatcher.offerOob(session);
  }

  answerFromCache(command: PendingCommand): boolean {
    return this.#replies.answerFromCache(command, Math.max(command.receivedAt, this.#dispatcher.sentAt));
  }

  /** There was a fault of ours outside of any call. */
  failed(error: unknown): void {
    this.#host.failed?.(error);
  }

  rest(session: Session): void {
    this.#resting.push(session);
    this.#host.schedule();
  }

  touch(session: Session): void {
    if (session.isTouched) return;
    session.isTouched = true;
    this.#touched.push(session);
    this.#host.schedule();
  }

  subscribe(session: Session): void {
    this.#feed.subscribe(session);
  }

  unsubscribe(session: Session): void {
    this.#feed.unsubscribe(session);
  }

  account(change: number): void {
    this.#memory.add(change);
    if (this.#memory.isOver) this.#host.schedule();
  }

  disconnected(session: Session, reason: string): void {
    this.admission.leave(session.listener);
    this.observer?.disconnected(session, reason);
  }

  remove(session: Session): void {
    this.broker.forget(session);
    this.#sessions.delete(session);
  }

  // What the probe needs

  get upstreamLink(): Link | null {
    return this.#monitor.link;
  }

  scheduleProbe(): void {
    this.#host.schedule();
  }

  giveUp(reason: string): void {
    this.#monitor.drop(reason);
  }

  // What the monitor tells, and asks

  get mostReplyBytes(): number {
    return this.limits.replyBytes;
  }

  upstreamMessage(envelope: Envelope): void {
    if (envelope.kind === MessageKind.Unknown && this.#monitor.isEcho(envelope)) return;
    if (envelope.kind === MessageKind.Unknown || envelope.id === FOREIGN_ID) envelope.readThoroughly();
    this.#unreadable = envelope.kind === MessageKind.Unknown ? this.#unreadable + 1 : 0;
    if (envelope.kind !== MessageKind.Event) this.#feed.handOut();
    switch (envelope.kind) {
      case MessageKind.Return:
      case MessageKind.Error:
        this.#answer(envelope, envelope.kind === MessageKind.Error);
        break;
      case MessageKind.Event:
        this.#feed.publish(envelope.eventName, envelope.chunks());
        break;
      case MessageKind.Greeting:
        this.stray(envelope.chunks(), 'a second greeting');
        // A new monitor on the same character device (QEMU 11.1): it wants a negotiation, and knows nothing of what is in flight.
        this.#monitor.drop('QEMU has made its monitor again');
        break;
      case MessageKind.Unknown:
        this.stray(envelope.chunks(), 'not a QMP message');
        if (this.#unreadable >= MOST_UNREADABLE) {
          this.#monitor.drop(`not a QMP server any more: ${MOST_UNREADABLE} messages in a row cannot be read`);
        }
        break;
    }
  }

  stray(chunks: readonly Uint8Array[], why: string): void {
    this.observer?.stray(chunks, why);
  }

  upstreamChanged(state: UpstreamState): void {
    this.#feed.handOut();
    if (state.name === 'lost') this.#lose(state.reason);
    else if (state.name === 'running') {
      this.#feed.running(state.version);
      this.#version = state.version;
      this.broker.isRacy = !isAtLeast(state.version, 11, 0);
      this.#probe.begin(this.#host.now());
      for (const session of this.#sessions) session.dialect = this.dialect;
    }
    this.extensions.stateChanged();
    this.observer?.upstream(state);
    this.#host.upstreamChanged(state);
  }

  /** The upstream is gone: nothing that is in flight will be answered. */
  #lose(reason: string): void {
    this.#replies.clear();
    this.#unreadable = 0;
    this.#dispatcher.clear();
    this.#probe.end(reason);
    this.broker.clear();
    const keeps = this.#keepClients && !this.#isClosing;
    for (const command of this.#pending.clear()) {
      for (const each of [command, ...command.followers]) {
        this.observer?.unanswered(each, reason);
        // The rest are in their client's queue, and go with it.
        if (each.stage === 'abandoned' || (each.oob && !keeps)) each.release();
      }
    }
    if (keeps) {
      for (const session of this.#sessions) session.commands.fail(reason);
      if (this.#version !== null) this.#feed.lost(reason, this.#version);
    } else {
      for (const session of this.#sessions) session.terminate('the upstream is gone');
    }
    this.#version = null;
  }

  #answer(envelope: Envelope, isError: boolean): void {
    if (this.#probe.takes(envelope, isError)) {
      if (this.#dispatcher.hasWaiting) this.#host.schedule();
      return;
    }
    // An error without an id is QEMU's answer to bytes it could not read; they were the oldest command's.
    const command =
      envelope.id === NO_ID && isError ? this.#pending.takeOldestInBand() : this.#pending.take(envelope.id);
    if (command === null) {
      this.stray(envelope.chunks(), 'an answer that nobody waits for');
      return;
    }
    if (!command.oob) this.#probe.commandAnswered(command.sentAt);
    const { use } = command;
    if (use !== null && this.broker.answered(use, envelope, isError)) {
      this.offerAll();
    }
    this.#replies.deliver(command, envelope, isError, this.#readAt);
    if (this.#dispatcher.hasWaiting) this.#host.schedule();
  }
}
