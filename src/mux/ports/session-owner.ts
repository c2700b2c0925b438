/** What a session needs of its multiplexer. */
import type { CommandReader } from '../../qmp/command.js';
import type { Parser } from '../../qmp/json/parser.js';
import type { Dialect } from '../../qmp/json/prompt-stream.js';
import type { Extensions } from '../admin/extension.js';
import type { Session } from '../client/session.js';
import type { TurnBudget } from '../client/turn-budget.js';
import type { PendingCommand } from '../commands/command.js';
import type { DescriptorBroker } from '../descriptors/broker.js';
import type { CapabilityErrorTexts } from './capability-errors.js';
import type { Counters, Traffic } from './counters.js';
import type { Limits } from './limits.js';
import type { Observer } from './observer.js';
import type { SeenTime } from './seen-time.js';

export interface SessionOwner {
  readonly parser: Parser;
  readonly reader: CommandReader;
  readonly observer: Observer | null;
  readonly words: CapabilityErrorTexts;
  readonly offersOob: boolean;
  /** How QEMU judges what it reads. */
  readonly dialect: Dialect;
  readonly counters: Counters;
  readonly traffic: Traffic;
  readonly limits: Limits;
  readonly extensions: Extensions;
  readonly broker: DescriptorBroker;
  /** Whether the way to QEMU carries descriptors. */
  readonly carriesDescriptors: boolean;
  /** How many commands of one client may be upstream at a time, in-band; and as many out-of-band. */
  readonly share: number;
  /** Whether QEMU closes files in fd sets that nobody has used when its last monitor closes (before 9.1). */
  readonly closesUnusedSets: boolean;
  /** Why no command can be run now; null while they can. */
  readonly outage: string | null;
  readonly seenTime: SeenTime;
  /** How much is read in a turn. */
  readonly budget: TurnBudget;
  now(): number;
  /** The session has had its part of the turn: `Session.readOn` is to be called in another one. */
  rest(session: Session): void;
  /** The session has a command waiting for its turn. */
  offer(session: Session): void;
  /** The same for each session that has one. */
  offerAll(): void;
  /** The session has an out-of-band command waiting for its turn. */
  offerOob(session: Session): void;
  /** Answers a plain query from memory. @returns whether there was an answer. */
  answerFromCache(command: PendingCommand): boolean;
  /** The session has something to send, or to finish, at the end of the turn. */
  touch(session: Session): void;
  /** The session has completed its negotiation: it gets events from here on. */
  subscribe(session: Session): void;
  unsubscribe(session: Session): void;
  /** What is held for the session has changed by so many bytes. */
  account(change: number): void;
  /** The session's client is gone, or is being sent the last. */
  disconnected(session: Session, reason: string): void;
  /** The session is over. */
  remove(session: Session): void;
}
