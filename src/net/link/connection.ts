/** A connection to QEMU, whatever carries it. */
import type { Socket } from 'node:net';
import type { Link } from '../../mux/ports/link.js';
import { SendingLink } from './sending-link.js';
import type { SharedReader } from './shared-reader.js';
import { SocketLink } from './socket-link.js';

export interface ConnectionReceiver {
  /** Bytes from QEMU; the chunk is handed over. */
  receive(chunk: Uint8Array): void;
  /** A descriptor could not be sent, for this error of the system; its command went without it. */
  unsent?(code: string): void;
  /** QEMU's side has ended. Called once, last, unless `close` came first. */
  closed(reason: string): void;
}

export interface Connection {
  readonly link: Link;
  /** Hands input to `receiver` from now on. Called once. */
  attach(receiver: ConnectionReceiver): void;
  /**
   * Ends it. `receiver.closed` is not called any more.
   * @param atOnce whether to end its carrier, instead of giving it time to end by itself.
   * @returns a promise that resolves when all that belonged to it is gone.
   */
  close(atOnce: boolean): Promise<void>;
}

/** Over a connected socket. */
export class SocketConnection implements Connection {
  readonly link: SocketLink;
  #receiver: ConnectionReceiver | null = null;

  /** @param reader the reader the socket was made with; null for the stream */
  constructor(socket: Socket, reader: SharedReader | null = null) {
    // Unix sockets have no address, and carry descriptors.
    const isUnix = socket.remoteAddress === undefined;
    this.link = isUnix ? new SendingLink(socket, reader) : new SocketLink(socket, socket, undefined, reader);
  }

  attach(receiver: ConnectionReceiver): void {
    this.#receiver = receiver;
    if (this.link instanceof SendingLink) this.link.onUnsent = (code) => this.#receiver?.unsent?.(code);
    this.link.attach({
      receive: (chunk) => {
        this.#receiver?.receive(chunk);
      },
      // QEMU never shuts down one direction only: its EOF is the end.
      receiveEnd: () => {
        this.#ended('closed by QEMU');
      },
      closed: (reason) => {
        this.#ended(reason === 'closed by the peer' ? 'closed by QEMU' : reason);
      },
    });
  }

  close(): Promise<void> {
    this.#receiver = null;
    this.link.destroy();
    return Promise.resolve();
  }

  #ended(reason: string): void {
    const receiver = this.#receiver;
    this.#receiver = null;
    this.link.destroy();
    receiver?.closed(reason);
  }
}
