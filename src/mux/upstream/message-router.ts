/**
 * Messages from QEMU → their recipients: answers go to the commands that wait for them, events to the feed, answers to our own
 * probes to the probe. A message that belongs to nobody goes to the observer alone.
 */
import { type Envelope, FOREIGN_ID, MessageKind, NO_ID } from '../../qmp/stream/envelope.js';
import type { InFlight } from '../commands/in-flight.js';
import type { DescriptorBroker } from '../descriptors/broker.js';
import type { EventFeed } from '../events/feed.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { Host } from '../ports/link.js';
import type { Crowd, Dispatcher } from './dispatcher.js';
import type { Replies } from './replies.js';
import type { UpstreamProbe } from './upstream-probe.js';
import type { UpstreamSession } from './upstream-session.js';

/** After this many unreadable messages in a row, the peer is taken for something other than a QMP server. */
const MOST_UNREADABLE = 100;

export interface RouterParts {
  readonly books: Bookkeeping;
  readonly host: Pick<Host, 'schedule'>;
  readonly upstream: UpstreamSession;
  readonly probe: UpstreamProbe;
  readonly feed: EventFeed;
  readonly broker: DescriptorBroker;
  readonly inFlight: InFlight;
  readonly replies: Replies;
  readonly dispatcher: Dispatcher;
  readonly crowd: Crowd;
}

export class MessageRouter {
  readonly #parts: RouterParts;
  /** Messages in a row that could not be read. */
  #unreadable = 0;
  /** When the bytes at hand were read; a clock costs too much to ask for each message. */
  #readAt = 0;

  constructor(parts: RouterParts) {
    this.#parts = parts;
  }

  /** Bytes from QEMU. */
  receive(chunk: Uint8Array): void {
    const { books, probe, upstream } = this.#parts;
    this.#readAt = books.now();
    books.traffic.fromUpstream += chunk.length;
    probe.heard(this.#readAt);
    upstream.receive(chunk);
    probe.read(this.#readAt);
  }

  /** A message from QEMU after the handshake; `envelope` is valid during the call only. */
  route(envelope: Envelope): void {
    const { upstream, feed } = this.#parts;
    if (envelope.kind === MessageKind.Unknown && upstream.isEcho(envelope)) return;
    if (envelope.kind === MessageKind.Unknown || envelope.id === FOREIGN_ID) envelope.readThoroughly();
    this.#unreadable = envelope.kind === MessageKind.Unknown ? this.#unreadable + 1 : 0;
    switch (envelope.kind) {
      case MessageKind.Return:
      case MessageKind.Error:
        this.#answer(envelope, envelope.kind === MessageKind.Error);
        break;
      case MessageKind.Event:
        feed.publish(envelope.eventName, envelope.chunks());
        break;
      case MessageKind.Greeting:
        this.stray(envelope.chunks(), 'a second greeting');
        // A new monitor on the same character device (QEMU 11.1): it wants a negotiation, and knows nothing of commands in flight.
        upstream.drop('QEMU has made its monitor again');
        break;
      case MessageKind.Unknown:
        this.stray(envelope.chunks(), 'not a QMP message');
        if (this.#unreadable >= MOST_UNREADABLE) {
          upstream.drop(`no longer a QMP server: ${MOST_UNREADABLE} messages in a row cannot be read`);
        }
        break;
    }
  }

  /** A message that belongs to nobody. */
  stray(chunks: readonly Uint8Array[], why: string): void {
    this.#parts.books.observer?.stray(chunks, why);
  }

  /** The upstream is gone. */
  reset(): void {
    this.#unreadable = 0;
  }

  #answer(envelope: Envelope, isError: boolean): void {
    const { probe, dispatcher, inFlight, broker, crowd, replies, host } = this.#parts;
    if (probe.takes(envelope, isError)) {
      if (dispatcher.hasWaiting) host.schedule();
      return;
    }
    // An error without an id is QEMU's answer to bytes it could not read; they belonged to the oldest command.
    const command = envelope.id === NO_ID && isError ? inFlight.takeOldestInBand() : inFlight.take(envelope.id);
    if (command === null) {
      this.stray(envelope.chunks(), 'an answer that no client waits for');
      return;
    }
    if (!command.oob) probe.commandAnswered(command.sentAt);
    const { use } = command;
    if (use !== null && broker.answered(use, envelope, isError)) crowd.offerAll();
    replies.deliver(command, envelope, isError, this.#readAt);
    if (dispatcher.hasWaiting) host.schedule();
  }
}
