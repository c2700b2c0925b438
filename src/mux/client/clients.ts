/**
 * All clients of a monitor: who is connected, who has output for the end of the turn, and who is to be read on in the next.
 * Sessions report changes through `ClientRegistry`.
 */
import type { EventFeed } from '../events/feed.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { ClientId, Host, Link } from '../ports/link.js';
import { Admission } from './admission.js';
import type { ClientOptions } from './client-options.js';
import type { ClientRegistry } from './client-registry.js';
import { MemoryBudget } from './memory-budget.js';
import { Session, type SessionPorts } from './session.js';
import { TurnBudget } from './turn-budget.js';

// The one place where counted numbers become client ids.
function toClientId(value: number): ClientId {
  return value as ClientId;
}

export class Clients implements ClientRegistry<Session> {
  readonly admission: Admission;
  readonly budget: TurnBudget = new TurnBudget();
  readonly #books: Bookkeeping;
  readonly #feed: EventFeed;
  readonly #host: Pick<Host, 'schedule'>;
  readonly #memory: MemoryBudget;
  readonly #sessions = new Map<ClientId, Session>();
  #touched = new Set<Session>();
  /** Those that have had a part of a turn and have sent more, in the order in which they are read on. */
  #resting: Session[] = [];
  #lastId = 0;

  /** @param host provides the end of this turn */
  constructor(books: Bookkeeping, feed: EventFeed, host: Pick<Host, 'schedule'>) {
    this.#books = books;
    this.#feed = feed;
    this.#host = host;
    this.admission = new Admission(books);
    this.#memory = new MemoryBudget(books.limits.memory);
  }

  /** Clients that are connected. */
  get clientCount(): number {
    return this.admission.clientCount;
  }

  /** All sessions, including those whose client has left while some of their commands are upstream. */
  get sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Whether all have negotiated, and nothing is held for any of them. */
  get areIdle(): boolean {
    if (this.#memory.bytes > 0) return false;
    for (const session of this.#sessions.values()) if (!session.isNegotiated) return false;
    return true;
  }

  /** Bytes held for all clients: unfinished commands, waiting commands, unread output. */
  get heldBytes(): number {
    return this.#memory.bytes;
  }

  /** Commands of all clients that have not gone upstream and have no answer. Counted at each call. */
  get waitingCount(): number {
    let count = 0;
    for (const session of this.sessions) count += session.commands.waitingCount;
    return count;
  }

  /** @returns the session of this number; null for none */
  find(id: number): Session | null {
    // A number that is no client's is in the map under none.
    return this.#sessions.get(toClientId(id)) ?? null;
  }

  /** A client has connected. @param greeting its first output */
  connect(ports: SessionPorts, link: Link, options: ClientOptions, greeting: Uint8Array): Session {
    const session = new Session(ports, link, toClientId(++this.#lastId), options);
    this.#sessions.set(session.id, session);
    this.admission.enter(options.listener);
    this.#books.observer?.connected(session);
    session.greet(greeting);
    return session;
  }

  /** Each client that has a command waiting offers it. */
  offerAll(): void {
    for (const session of this.sessions) session.commands.offerAgain();
  }

  /** The end of a turn: sends everyone's output, and reads on clients that rest. */
  flush(): void {
    this.#feed.handOut();
    const touched = this.#touched;
    this.#touched = new Set();
    for (const session of touched) session.flush();
    if (this.#memory.isOver) this.#memory.shed(this.sessions);
    this.budget.renew();
    if (this.#resting.length > 0) this.#readOn();
  }

  /** The next turn has begun: reads those that rest, until it is the others' again. */
  #readOn(): void {
    const resting = this.#resting;
    this.#resting = [];
    let next = 0;
    while (next < resting.length && this.budget.hasLeft) resting[next++]?.readOn();
    if (next < resting.length) this.#resting = [...resting.slice(next), ...this.#resting];
    if (this.#resting.length > 0) this.#host.schedule();
  }

  touch(session: Session): void {
    if (this.#touched.has(session)) return;
    this.#touched.add(session);
    this.#host.schedule();
  }

  rest(session: Session): void {
    this.#resting.push(session);
    this.#host.schedule();
  }

  negotiated(session: Session): void {
    this.#feed.subscribe(session);
  }

  account(change: number): void {
    this.#memory.add(change);
    if (this.#memory.isOver) this.#host.schedule();
  }

  disconnected(session: Session, reason: string): void {
    this.#feed.unsubscribe(session);
    this.admission.leave(session.listener);
    this.#books.observer?.disconnected(session, reason);
  }

  remove(session: Session): void {
    this.#sessions.delete(session.id);
  }
}
