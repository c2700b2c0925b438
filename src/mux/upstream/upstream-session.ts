/**
 * The upstream connection: its state, the handshake, and QEMU's messages.
 *
 * All transitions are in `#become`:
 *   connecting → greeting      a connection is there
 *   greeting → negotiating     QEMU's greeting came; the handshake went out
 *   negotiating → running      the handshake's own answer came
 *   any of these → lost        the connection ended, or the peer is no QMP server
 *   lost → greeting            a new connection
 *
 * QEMU keeps an answer that is due to a client that has left and gives it to the next connection, before its greeting or between
 * that and the answer to its own qmp_capabilities; events on their way to the earlier client come before the greeting, too. So everything
 * before the answer to our handshake, whose id nobody can guess, belongs to nobody.
 */

import type { Dialect } from '../../qmp/json/prompt-stream.js';
import { isBefore } from '../../qmp/qemu-version.js';
import { Envelope, MessageKind } from '../../qmp/stream/envelope.js';
import { LineReader } from '../../qmp/stream/lines.js';
import { PrettyFolder } from '../../qmp/stream/pretty.js';
import { ascii, asciiText, concat } from '../../shared/bytes.js';
import { type CapabilityErrorTexts, defaultWords } from '../ports/capability-errors.js';
import type { ConnectedQemu } from '../ports/connected-qemu.js';
import type { Host, Link, UpstreamState } from '../ports/link.js';
import type { SeenTime } from '../ports/seen-time.js';
import { readGreeting, readReply, withoutOob } from './handshake-messages.js';
import { dialectOf, dialectProbe, type Probe, probes } from './handshake-probes.js';
import { LineLink } from './line-link.js';

export interface UpstreamSessionOptions {
  /** Whether `oob` is enabled, and offered to clients, if QEMU offers it. */
  readonly enablesOob: boolean;
  /** Whether commands are ended by line feeds; null to find out. */
  readonly endsLines: boolean | null;
  /** The most bytes of one message; 0 for any number. */
  readonly mostReplyBytes: number;
  readonly seenTime: SeenTime;
}

/** The receiver of QEMU's messages and of changes of state. */
export interface UpstreamListener {
  /** A message from QEMU after the handshake; `envelope` is valid during the call only. */
  message(envelope: Envelope): void;
  /** A message that belongs to nobody. */
  stray(chunks: readonly Uint8Array[], why: string): void;
  /** The state has changed. */
  changed(state: UpstreamState): void;
}

const NEXT: Record<UpstreamState['name'], readonly UpstreamState['name'][]> = {
  connecting: ['greeting'],
  greeting: ['negotiating', 'lost'],
  negotiating: ['running', 'lost'],
  running: ['lost'],
  lost: ['greeting'],
};

const OUTAGE = 'qmpmux has lost QEMU and waits for it; this command was not executed';
/** At most this many bytes of the input before a greeting are shown. */
const SHOWN = 80;
/** A line longer than this that does not begin as a message does is no greeting. */
const LONGEST_GREETING = 64 * 1024;
/** A longer message is no answer to our handshake. */
const LONGEST_ANSWER = 4 * 1024 * 1024;
/** Limits on the input before the greeting, in messages and bytes: leftovers that QEMU had ready for an earlier client. */
const MOST_EARLY_MESSAGES = 1000;
const MOST_EARLY_BYTES = 64 * 1024 * 1024;
/**
 * A handshake unanswered for this time is tried with a line feed after it; in microseconds. QEMU itself answers in milliseconds, and
 * takes the line feed for a blank if it does not.
 */
const LINE_PATIENCE = 1_000_000;
/** QEMU's reason for refusing is quoted up to this many characters. */
const LONGEST_DESC = 500;
/** How all that we send begins. */
const COMMAND = ascii('{"exec');
const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

export class UpstreamSession implements ConnectedQemu {
  /** QEMU's greeting in its one-line form, for clients. Empty before the first. */
  greeting: Uint8Array = new Uint8Array(0);
  /** Whether clients are offered `oob`. */
  offersOob = false;
  words: CapabilityErrorTexts = defaultWords();
  /** How QEMU judges what it reads. */
  dialect: Dialect = 'classic';

  #state: UpstreamState = { name: 'connecting' };
  #link: Link | null = null;
  #lines = new LineReader();
  #folder: PrettyFolder | null = null;
  /** The start of the stream, four bytes at most, until it shows whether the upstream is pretty-printing. */
  #opening: Uint8Array | null = new Uint8Array(0);
  /** The input before the greeting. */
  #earlyMessages = 0;
  #earlyBytes = 0;
  #beginsWithBrace = false;
  #nonce = '';
  #probes: Probe[] = [];
  /** When the handshake went out. */
  #askedAt = 0;
  /** Whether a line feed after a command has helped, on this connection or an earlier one. */
  #needsLines = false;
  #isByLines = false;
  /** Whether our own bytes come back as well: there is a terminal between, which echoes them. */
  #echoes = false;
  readonly #envelope = new Envelope();
  readonly #host: Pick<Host, 'now' | 'nonce'>;
  readonly #options: UpstreamSessionOptions;
  readonly #listener: UpstreamListener;

  constructor(host: Pick<Host, 'now' | 'nonce'>, options: UpstreamSessionOptions, listener: UpstreamListener) {
    this.#host = host;
    this.#options = options;
    this.#listener = listener;
  }

  get state(): UpstreamState {
    return this.#state;
  }

  /** The link, while commands flow. */
  get link(): Link | null {
    return this.#state.name === 'running' ? this.#link : null;
  }

  get outage(): string | null {
    return this.link === null ? OUTAGE : null;
  }

  get carriesDescriptors(): boolean {
    return this.link?.sendWith !== undefined;
  }

  get closesUnusedSets(): boolean {
    return this.#state.name === 'running' && isBefore(this.#state.version, 9, 1);
  }

  opened(link: Link): void {
    this.#checkNext('greeting');
    this.#isByLines = this.#options.endsLines ?? this.#needsLines;
    this.#link = this.#isByLines ? new LineLink(link) : link;
    this.#echoes = false;
    this.#lines = new LineReader();
    this.#folder = null;
    this.#opening = new Uint8Array(0);
    this.#earlyMessages = 0;
    this.#earlyBytes = 0;
    this.#beginsWithBrace = false;
    this.#become({ name: 'greeting' });
  }

  /** Ends the connection, if there is one. */
  drop(reason: string): void {
    const link = this.#link;
    this.closed(reason);
    link?.destroy();
  }

  /** Time has passed. @param now in microseconds */
  tick(now: number): void {
    const link = this.#link;
    if (this.#state.name !== 'negotiating' || this.#isByLines || this.#options.endsLines !== null || link === null)
      return;
    if (this.#options.seenTime.between(this.#askedAt, now) < LINE_PATIENCE) return;
    this.#isByLines = true;
    this.#link = new LineLink(link);
    link.write(ascii('\n'));
  }

  /** Whether a message that cannot be read is a command of ours that a terminal has echoed. */
  isEcho(envelope: Envelope): boolean {
    return this.#echoes && beginsWith(envelope.chunks(), COMMAND);
  }

  closed(reason: string): void {
    if (this.#link === null) return;
    this.#link = null;
    this.#become({ name: 'lost', reason });
  }

  receive(chunk: Uint8Array): void {
    if (this.#state.name === 'greeting') this.#earlyBytes += chunk.length;
    if (this.#opening !== null) this.#open(concat([this.#opening, chunk]));
    else this.#lines.push(this.#folder === null ? chunk : this.#folder.fold(chunk));
    if (this.#opening !== null) return;
    // The link goes away when a message says so (a handshake refused); the bytes after it are not read.
    while (this.#link !== null && this.#readNext()) if (!this.#envelope.isBlank) this.#dispatch();
    if (this.#state.name === 'greeting') this.#lookForGreeting();
    const most = this.#options.mostReplyBytes;
    if (most > 0 && this.#lines.heldBytes > most) this.drop(`an unfinished message of more than ${most} bytes`);
  }

  /** @returns whether there was a message; the envelope has it */
  #readNext(): boolean {
    if (!this.#lines.next()) return false;
    this.#envelope.read(this.#lines);
    return true;
  }

  #checkNext(name: UpstreamState['name']): void {
    if (!NEXT[this.#state.name].includes(name)) {
      throw new Error(`upstream cannot go from ${this.#state.name} to ${name}`);
    }
  }

  #become(state: UpstreamState): void {
    this.#checkNext(state.name);
    this.#state = state;
    this.#listener.changed(state);
  }

  /** A pretty-printing QEMU begins each message, the greeting too, with a brace alone on its line. */
  #open(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length && (bytes[from] ?? 0) <= 0x20) from++;
    this.#beginsWithBrace = bytes[from] === OPENING_BRACE;
    // A terminal in between turns a carriage return into two.
    let lineEnd = from + 1;
    while (lineEnd < from + 3 && bytes[lineEnd] === CARRIAGE_RETURN) lineEnd++;
    const isUndecided = from >= bytes.length || (this.#beginsWithBrace && lineEnd >= bytes.length);
    this.#opening = isUndecided ? bytes.subarray(from) : null;
    if (isUndecided) return;
    if (this.#beginsWithBrace && bytes[lineEnd] === LINE_FEED) this.#folder = new PrettyFolder();
    const rest = bytes.subarray(from);
    this.#lines.push(this.#folder === null ? rest : this.#folder.fold(rest));
  }

  /** Gives up on a peer that sends much, but no greeting. */
  #lookForGreeting(): void {
    if (!this.#beginsWithBrace && this.#earlyMessages === 0 && this.#lines.heldBytes > LONGEST_GREETING) {
      this.drop('not a QMP server: no line break in its first 64 KiB');
    } else if (this.#earlyBytes > MOST_EARLY_BYTES) {
      this.drop(`not a QMP server: no greeting in its first ${MOST_EARLY_BYTES / 1048576} MiB`);
    }
  }

  #dispatch(): void {
    const envelope = this.#envelope;
    switch (this.#state.name) {
      case 'greeting':
        this.#greet();
        break;
      case 'negotiating':
        this.#negotiate();
        break;
      case 'running':
        this.#listener.message(envelope);
        break;
      // Not reached: without a connection nothing is read.
      case 'connecting':
      case 'lost':
        break;
    }
  }

  #greet(): void {
    const chunks = this.#envelope.chunks();
    if (this.#isForEarlierClient(chunks)) {
      this.#earlyMessages++;
      if (this.#earlyMessages > MOST_EARLY_MESSAGES)
        this.drop(`not a QMP server: ${MOST_EARLY_MESSAGES} messages, and no greeting`);
      else this.#listener.stray(chunks, 'from before the greeting');
      return;
    }
    const message = concat(chunks);
    const greeting = message.length > LONGEST_GREETING ? null : readGreeting(message);
    if (greeting === null) {
      const shown = asciiText(message.subarray(0, SHOWN).filter((byte) => byte >= 0x20 && byte < 0x7f));
      this.drop(`not a QMP server: its first line is ${JSON.stringify(shown)}`);
      return;
    }
    this.offersOob = greeting.offersOob && this.#options.enablesOob;
    this.greeting = greeting.offersOob && !this.offersOob ? withoutOob(message) : message;
    this.words = defaultWords();
    this.dialect = 'classic';
    this.#nonce = this.#host.nonce();
    this.#probes = probes(this.#nonce, greeting.offersOob);
    let request = '';
    this.#probes.forEach((probe, index) => {
      request += `{${probe.members},"id":"${this.#nonce}${index}"}`;
    });
    request += dialectProbe(`"${this.#nonce}dialect"`);
    const enable = this.offersOob ? ',"arguments":{"enable":["oob"]}' : '';
    request += `{"execute":"qmp_capabilities"${enable},"id":"${this.#nonce}"}`;
    const link = this.#link;
    this.#become({ name: 'negotiating' });
    this.#askedAt = this.#host.now();
    link?.write(ascii(request));
  }

  /** Whether a message before the greeting is an answer or an event for an earlier client, or the rest of one. */
  #isForEarlierClient(chunks: readonly Uint8Array[]): boolean {
    const envelope = this.#envelope;
    if (envelope.kind === MessageKind.Unknown) envelope.readThoroughly();
    switch (envelope.kind) {
      case MessageKind.Return:
      case MessageKind.Error:
      case MessageKind.Event:
        return true;
      case MessageKind.Greeting:
        return false;
      case MessageKind.Unknown:
        return this.#earlyMessages === 0 && !this.#beginsWithBrace && lastByte(chunks) === CLOSING_BRACE;
    }
  }

  #negotiate(): void {
    const chunks = this.#envelope.chunks();
    const message = concat(chunks);
    // Answers to our own requests are short; a long one is somebody else's, and not worth reading.
    const reply = message.length > LONGEST_ANSWER ? null : readReply(message);
    const dialect = reply === null || reply.id !== undefined ? null : dialectOf(reply.desc);
    if (dialect !== null) {
      this.dialect = dialect;
      return;
    }
    if (reply === null || typeof reply.id !== 'string' || !reply.id.startsWith(this.#nonce)) {
      const isOurs = beginsWith(chunks, COMMAND) && message.length <= LONGEST_GREETING;
      const isEcho = reply === null && isOurs && asciiText(message).includes(this.#nonce);
      if (isEcho) this.#echoes = true;
      else this.#listener.stray(chunks, 'an answer to an earlier connection');
      return;
    }
    if (reply.id === this.#nonce) {
      if (reply.isError)
        this.drop(`QEMU refused the handshake: ${reply.desc?.slice(0, LONGEST_DESC) ?? 'without a reason'}`);
      else {
        const version = readGreeting(this.greeting)?.version ?? 'unknown';
        this.#needsLines = this.#isByLines;
        const pretty = this.#folder !== null;
        this.#become({
          name: 'running',
          oob: this.offersOob,
          pretty,
          version,
          ...(this.#isByLines && { lines: true }),
        });
      }
      return;
    }
    const probe = this.#probes.find((_, index) => reply.id === `${this.#nonce}${index}`);
    if (reply.desc !== null) probe?.learn(this.words, reply.desc);
  }
}

function beginsWith(chunks: readonly Uint8Array[], start: Uint8Array): boolean {
  const [first] = chunks;
  return first !== undefined && start.every((byte, at) => first[at] === byte);
}

/** @returns the last byte of a message, before its line break */
function lastByte(chunks: readonly Uint8Array[]): number | undefined {
  return concat(chunks.slice(-2)).findLast((byte) => byte > 0x20);
}
