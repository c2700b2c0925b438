/** A command between the client that sent it and its answer: what is known of it. Where it stands is in lifecycle.ts. */
import type { Envelope } from '../../qmp/stream/envelope.js';
import type { CommandDescriptors } from '../descriptors/command-descriptors.js';
import type { Descriptor, UpstreamId } from '../ports/link.js';
import type { ClientView, CommandView, ReplySource } from '../ports/observer.js';
import { Lifecycle } from './lifecycle.js';
import type { ReplyStats } from './reply-stats.js';

/** The commands of one client, as those need them who answer one. */
export interface CommandOwner {
  readonly client: ClientView;
  /** What was answered to the client. */
  readonly tally: ReplyStats;
  /** QEMU's reply to one of these commands. */
  deliverReply(command: PendingCommand, envelope: Envelope, isError: boolean, source: ReplySource): void;
  /** Answers a command here, with a reply in chunks, in its turn. The observer has been told. */
  answerLocally(command: PendingCommand, reply: readonly Uint8Array[]): void;
  /** A command's bytes have been handed over. */
  forgetWire(command: PendingCommand): void;
}

/** What is done here for a command that does not go to QEMU. */
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
  /** What goes upstream, up to the id: `{"execute":"stop","id":`. Empty once it has been handed over. */
  wire: Uint8Array = NOTHING;
  /** The client's id as QEMU would send it back; null for none. */
  id: Uint8Array | null = null;
  /** The reply of an `answered` command, in chunks. */
  reply: readonly Uint8Array[] = NO_CHUNKS;
  /** Whether it was told that its answer takes long. */
  isWarned = false;
  /** Bytes that it holds of what its client may have waiting. */
  size = 0;
  /** How many out-of-band commands of its client came before it. */
  afterOob = 0;
  /** A query without arguments, in-band: its reply may be shared with others who ask the same at the same time. */
  isPlainQuery = false;
  /** What is to be done here, for a command that does not go upstream; null for all others. */
  call: ExtensionCall | null = null;
  /** What it has to do with descriptors; null for nothing. */
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

/** Never pushed to: a command that gets followers gets a list of its own. */
const NO_FOLLOWERS: PendingCommand[] = [];
