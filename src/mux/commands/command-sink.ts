/** Where commands come from on their way to QEMU, and where they go. */
import type { CommandOwner, PendingCommand } from './command.js';

/** A client's commands, as the code that chooses the next one for QEMU sees them. */
export interface CommandSource extends CommandOwner {
  readonly hasWaiting: boolean;
  /** The next command to go to QEMU; null when there is none, or it has to wait. */
  readonly nextWaiting: PendingCommand | null;
  /** The same of out-of-band commands. */
  readonly nextWaitingOob: PendingCommand | null;
  /** @returns `nextWaiting`, which counts as sent from now on */
  takeWaiting(): PendingCommand | null;
  takeWaitingOob(): PendingCommand | null;
}

/** The way to QEMU, as a client's commands need it. */
export interface CommandSink {
  /** How many commands of one client may be upstream at a time, in-band; and as many out-of-band. */
  readonly share: number;
  /** The client has a command waiting for its turn. */
  offer(source: CommandSource): void;
  /** The client has an out-of-band command waiting for its turn. */
  offerOob(source: CommandSource): void;
  /** Answers a plain query from memory. @returns whether there was an answer */
  answerFromCache(command: PendingCommand): boolean;
}
