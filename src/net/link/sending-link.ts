/**
 * A link to QEMU's unix socket that can send open files with its bytes (SCM_RIGHTS).
 *
 * Node writes, as on any other link. Bytes with a descriptor bypass it and go by sendmsg, so Node must have nothing left to write then, and
 * write nothing before that is done: later output is held here. To learn when the kernel has taken all, or takes more, a blank is written
 * through Node, which QMP allows anywhere between messages.
 */
import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { Descriptor } from '../../mux/ports/link.js';
import { EAGAIN, messageCalls } from './message-calls.js';
import { descriptorOf } from './node-handle.js';
import { ReceivedDescriptor } from './received-descriptor.js';
import type { SharedReader } from './shared-reader.js';
import { SocketLink } from './socket-link.js';

interface Held {
  readonly bytes: Uint8Array;
  readonly descriptor: ReceivedDescriptor | null;
}

const BLANK = Buffer.from(' ');

export class SendingLink extends SocketLink {
  /** Told of a descriptor that could not be sent, with the system's error, such as `ETOOMANYREFS`. Its bytes went without it. */
  onUnsent: (code: string) => void = () => undefined;
  readonly #socket: Socket;
  /** Output that may not be written yet: empty, or its first piece waits for the kernel. */
  #held: Held[] = [];
  #heldBytes = 0;
  #isEnding = false;

  /** @param reader the reader the socket was made with; null for the stream */
  constructor(socket: Socket, reader: SharedReader | null = null) {
    super(socket, socket, undefined, reader);
    this.#socket = socket;
    socket.once('close', () => {
      this.#drop();
    });
  }

  override write(bytes: Uint8Array): void {
    if (this.#held.length === 0) super.write(bytes);
    else this.#hold(bytes, null);
  }

  override writeAll(chunks: readonly Uint8Array[]): void {
    if (this.#held.length === 0) super.writeAll(chunks);
    else for (const chunk of chunks) this.#hold(chunk, null);
  }

  sendWith(chunks: readonly Uint8Array[], descriptor: Descriptor): void {
    // Only descriptors from clients come here, and receiving-link.ts makes those.
    if (!(descriptor instanceof ReceivedDescriptor)) throw new Error('a descriptor of another kind');
    const isFirst = this.#held.length === 0;
    this.#hold(Buffer.concat(chunks), descriptor);
    if (isFirst) this.#sendHeld();
  }

  /** A blank of ours must not come between pieces of a message. */
  protected override get collects(): boolean {
    return false;
  }

  override get backlog(): number {
    return super.backlog + this.#heldBytes;
  }

  override end(): void {
    if (this.#held.length === 0) super.end();
    else this.#isEnding = true;
  }

  override destroy(): void {
    this.#drop();
    super.destroy();
  }

  #hold(bytes: Uint8Array, descriptor: ReceivedDescriptor | null): void {
    this.#held.push({ bytes, descriptor });
    this.#heldBytes += bytes.length;
  }

  #drop(): void {
    for (const { descriptor } of this.#held) descriptor?.close();
    this.#held = [];
    this.#heldBytes = 0;
  }

  readonly #sendHeld = (): void => {
    if (!this.#socket.writable) this.#drop();
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      const { bytes, descriptor } = first;
      if (descriptor !== null) {
        const sent = this.#send(bytes, descriptor);
        if (sent < 0) {
          // All that Node has comes before; then this goes on.
          this.#socket.write(BLANK, this.#sendHeld);
          return;
        }
        descriptor.close();
        if (sent < bytes.length) super.write(bytes.subarray(sent));
      } else super.write(bytes);
      // An error of the write may have ended the connection, and all that was held.
      if (this.#held[0] !== first) return;
      this.#held.shift();
      this.#heldBytes -= bytes.length;
    }
    if (this.#isEnding) super.end();
  };

  /** @returns how many bytes the kernel took, with the descriptor; -1 when it takes none now */
  #send(bytes: Uint8Array, descriptor: ReceivedDescriptor): number {
    if (super.backlog > 0) return -1;
    const fd = descriptorOf(this.#socket);
    const sent = fd === null ? 0 : (messageCalls()?.send(fd, bytes, [descriptor.fd]) ?? 0);
    if (sent === -EAGAIN) return -1;
    // The bytes go without it, and meet the same fault (EPIPE), or QEMU says that it has no descriptor.
    if (sent < 0) this.onUnsent(getSystemErrorName(sent));
    return Math.max(sent, 0);
  }
}
