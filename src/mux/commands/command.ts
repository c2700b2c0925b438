/** A command between the client that sent it and its answer. */
import { viewOf } from '../../shared/bytes.js';
import type { ExtensionCall } from '../admin/extension.js';
import type { Session } from '../client/session.js';
import type { CommandDescriptors } from '../descriptors/command-descriptors.js';
import type { Descriptor, UpstreamId } from '../ports/link.js';
import type { ClientView, CommandView } from '../ports/observer.js';

/**
 * Where a command stands. `waiting` in its client's queue; `inFlight` upstream; `answered` locally, its reply waiting for
 * the client's earlier answers; `running` is being carried out here; `abandoned` upstream, while its client has been given an error in place of the answer;
 * `done` when nobody waits for it.
 */
export type CommandStage = 'waiting' | 'inFlight' | 'answered' | 'running' | 'abandoned' | 'done';

const NOTHING = new Uint8Array(0);
const NO_WIRE = viewOf(NOTHING);
const NO_CHUNKS: readonly Uint8Array[] = [];

export class PendingCommand implements CommandView {
  stage: CommandStage = 'waiting';
  name = '';
  oob = false;
  raw: Uint8Array = NOTHING;
  upstreamId: UpstreamId | -1 = -1;
  receivedAt = 0;
  sentAt = 0;
  auditSeq = 0;
  /** What goes upstream, up to the id (`{"execute":"stop","id":`): in `wire` from `wireStart` to `wireEnd`. */
  wire: DataView = NO_WIRE;
  wireStart = 0;
  wireEnd = 0;
  /** The client's id as QEMU would send it back: in `idBytes` from `idStart` to `idEnd`; null for none. */
  idBytes: Uint8Array | null = null;
  idStart = 0;
  idEnd = 0;
  /** The reply of an `answered` command, in chunks. */
  reply: readonly Uint8Array[] = NO_CHUNKS;
  /** Whether it counts among those that its client has upstream. */
  isTaken = false;
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
  #session: Session | null;

  constructor(session: Session) {
    this.#session = session;
  }

  get session(): Session {
    if (this.#session === null) throw new Error('a command is used after its release');
    return this.#session;
  }

  get descriptor(): Descriptor | null {
    return this.use?.descriptor ?? null;
  }

  /** The client's id as QEMU would send it back, or null for none. An array of its own each time. */
  get id(): Uint8Array | null {
    return this.idBytes?.subarray(this.idStart, this.idEnd) ?? null;
  }

  get idLength(): number {
    return this.idBytes === null ? 0 : this.idEnd - this.idStart;
  }

  get wireLength(): number {
    return this.wireEnd - this.wireStart;
  }

  get client(): ClientView {
    return this.session;
  }

  /** Its bytes have been handed over. */
  forgetWire(): void {
    if (this.wire !== NO_WIRE) this.wire = NO_WIRE;
    this.wireStart = 0;
    this.wireEnd = 0;
  }

  /** The command is through. Nobody may use it any more. */
  release(): void {
    if (this.stage === 'done') throw new Error('a command is released twice');
    this.stage = 'done';
    this.use?.release();
    this.use = null;
    this.#session = null;
    // Its client's queue may have it for a while, among those that have left.
    this.raw = NOTHING;
    this.idBytes = null;
    this.reply = NO_CHUNKS;
    this.followers = NO_FOLLOWERS;
    this.forgetWire();
  }
}

/** Never pushed to: a command that gets followers gets a list of its own. */
const NO_FOLLOWERS: PendingCommand[] = [];
