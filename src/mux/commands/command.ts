/** A command between the client that sent it and its answer: its properties. Its stage is in lifecycle.ts. */
import type { Envelope } from '../../qmp/stream/envelope.js';
import type { CommandDescriptors } from '../descriptors/command-descriptors.js';
import type { Descriptor, UpstreamId } from '../ports/link.js';
import type { ClientView, CommandView, ReplySource } from '../ports/observer.js';
import { Lifecycle } from './lifecycle.js';
import type { ReplyStats } from './reply-stats.js';

/** The commands of one client, as the code that answers them sees them. */
export interface CommandOwner {
  readonly client: ClientView;
  /** Statistics of the answers to the client. */
  readonly tally: ReplyStats;
  /** QEMU's reply to one of these commands. */
  deliverReply(command: PendingCommand, envelope: Envelope, isError: boolean, source: ReplySource): void;
  /** Answers a command here, with a reply in chunks, in its turn. The observer already has the answer. */
  answerLocally(command: PendingCommand, reply: readonly Uint8Array[]): void;
  /** A command's bytes have been handed over. */
  forgetWire(command: PendingCommand): void;
}

/** An action carried out here for a command that does not go to QEMU. */
export interface ExtensionCall {
  /** Its turn has come. @returns its reply; null when that comes later, by `CommandOwner.answerLocally` */
  run(command: PendingCommand): readonly Uint8Array[] | null;
  /** The command is over: a reply that is still to come is nobody's. */
  forget(command: PendingCommand): void;
}

const NOTHING = new Uint8Array(0);
const NO_CHUNKS: readonly Uint8Array[] = [];

export class PendingCommand extends Lifecycle implements CommandView {
  name = '';
  oob = false;
  raw: Uint8Array = NOTHING;
  upstreamId: UpstreamId | -1 = -1;
  receivedAt = 0;
  sentAt = 0;
  auditSeq = 0;
  /** The bytes that go upstream, up to the id: `{"execute":"stop","id":`. Empty once handed over. */
  wire: Uint8Array = NOTHING;
  /** The client's id as QEMU would send it back; null for none. */
  id: Uint8Array | null = null;
  /** The reply of an `answered` command, in chunks. */
  reply: readonly Uint8Array[] = NO_CHUNKS;
  /** Whether it was reported as taking long. */
  isWarned = false;
  /** Its share in bytes of what its client may have waiting. */
  size = 0;
  /** How many out-of-band commands of its client came before it. */
  afterOob = 0;
  /** A query without arguments, in-band: its reply may be shared with others who ask the same at the same time. */
  isPlainQuery = false;
  /** The action carried out here, if the command does not go upstream; null for all others. */
  call: ExtensionCall | null = null;
  /** Its use of descriptors; null for none. */
  use: CommandDescriptors | null = null;
  /** Commands of other clients that get a copy of this one's reply. */
  followers: PendingCommand[] = NO_FOLLOWERS;
  #owner: CommandOwner | null;

  constructor(owner: CommandOwner) {
    super();
    this.#owner = owner;
  }

  get owner(): CommandOwner {
    if (this.#owner === null) throw new Error('a command is used after its release');
    return this.#owner;
  }

  get descriptor(): Descriptor | null {
    return this.use?.descriptor ?? null;
  }

  get client(): ClientView {
    return this.owner.client;
  }

  /** Its bytes have been handed over. */
  forgetWire(): void {
    this.wire = NOTHING;
  }

  /** The command is done: nobody may use it any more. */
  release(): void {
    this.markDone();
    this.use?.release();
    this.use = null;
    this.#owner = null;
    // Its client's queue may have it for a while, among those that have left.
    this.raw = NOTHING;
    this.id = null;
    this.reply = NO_CHUNKS;
    this.followers = NO_FOLLOWERS;
    this.forgetWire();
  }
}

/** Never pushed to: a command that gets followers gets a new list. */
const NO_FOLLOWERS: PendingCommand[] = [];
