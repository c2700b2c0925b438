/**
 * A multiplexer's `Link` over a socket, or over the two pipes of a child process.
 *
 * What must hold:
 * - nothing here throws because of a peer or the kernel: trouble ends in one call of `Receiver.closed`;
 * - a chunk that was handed over is never changed: Node gives every read its own memory, and writes are not copied;
 * - several chunks of one call are one system call;
 * - output that waits for a peer that does not read costs about as much memory as it has bytes (see `SmallWriteBuffer`);
 * - bytes that a peer sent before it went away are received, also when a failed write reveals that it has gone. Node destroys a socket
 * whose write
 *   fails, with all bytes not yet read, so the rest is fetched from the kernel first (see `#salvage`).
 *
 * Nothing is allocated per message but what Node's streams allocate; callbacks are bound once per connection.
 */

import { readSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { Link } from '../../mux/ports/link.js';
import { Countdown } from '../../system/countdown.js';
import { descriptorOf, handleProperty } from './node-handle.js';
import type { SharedReader } from './shared-reader.js';
import { SmallWriteBuffer } from './small-write-buffer.js';

/** Receives input from a connection. A `ClientPort` of the multiplexer is one. */
export interface Receiver {
  /** Bytes from the peer; the chunk is handed over. */
  receive(chunk: Uint8Array): void;
  /** The peer sends no more. */
  receiveEnd(): void;
  /** The connection is gone both ways. Called once, last. */
  closed(reason: string): void;
  /** All that was written is with the kernel, after some of it was not. */
  drained?(): void;
}

/** The most that is fetched after a failed write: more than a socket's buffer holds, and a bound for a peer that keeps sending. */
const SALVAGE_BYTES = 8 * 1024 * 1024;
const SALVAGE_CHUNK = 64 * 1024;
/** After `end`: how long a peer may take none of the remaining output, or keep its side open. In milliseconds. */
const LINGER_MS = 5000;

export class SocketLink implements Link {
  readonly #writable: Writable;
  readonly #readable: Readable;
  readonly #linger: number;
  readonly #reader: SharedReader | null;
  /** The descriptor of a socket that takes plain bytes; -1 for others. Not used once the stream is not writable any more. */
  readonly #fd: number;
  #receiver: Receiver | null = null;
  #reason: string | null = null;
  #writeFailed = false;
  #receivedEnd = false;
  /** Output to follow the stream's own queue. */
  readonly #tail = new SmallWriteBuffer();
  /** Whether to call the receiver when nothing waits any more. */
  #owesDrained = false;
  #openStreams: number;

  /**
   * @param writable towards the peer; a socket must have been made with `allowHalfOpen`.
   * @param readable from the peer; the same object for a socket.
   * @param linger how long a peer may make no progress after `end`, in milliseconds.
   * @param reader the reader the socket was made with; null for the stream
   */
  constructor(writable: Writable, readable: Readable, linger: number = LINGER_MS, reader: SharedReader | null = null) {
    this.#writable = writable;
    this.#readable = readable;
    this.#linger = linger;
    this.#reader = reader;
    this.#fd = plainDescriptorOf(writable);
    const streams = new Set<Readable | Writable>([writable, readable]);
    this.#openStreams = streams.size;
    for (const stream of streams) {
      stream.on('error', (error: NodeJS.ErrnoException) => {
        this.#reason ??= describeLoss(error);
      });
      stream.on('close', () => {
        this.#streamClosed();
      });
    }
  }

  /** Hands input to `receiver` from now on. Called once. */
  attach(receiver: Receiver): void {
    this.#receiver = receiver;
    this.#writable.on('drain', () => {
      this.#owesDrained = true;
      this.#goOn();
    });
    this.startReading(receiver);
  }

  protected startReading(receiver: Receiver): void {
    this.#readable.on('end', () => {
      this.receiveEnd();
    });
    if (this.#reader !== null) {
      this.#reader.start((chunk) => {
        receiver.receive(chunk);
      });
      return;
    }
    // Starts the flow.
    this.#readable.on('data', (chunk: Uint8Array) => {
      receiver.receive(chunk);
    });
  }

  write(chunk: Uint8Array): void {
    const writable = this.#writable;
    if (!writable.writable) return;
    if (this.backlog > 0) {
      this.#put(chunk);
      return;
    }
    const sent = this.#fd >= 0 ? tryWrite(this.#fd, chunk) : 0;
    if (sent < chunk.length) writable.write(sent === 0 ? chunk : chunk.subarray(sent), this.#written);
  }

  writeAll(chunks: readonly Uint8Array[]): void {
    const writable = this.#writable;
    if (!writable.writable) return;
    if (chunks.length === 1) {
      for (const chunk of chunks) this.write(chunk);
      return;
    }
    const mayCollect = this.backlog > 0;
    writable.cork();
    for (const chunk of chunks) {
      if (mayCollect) this.#put(chunk);
      else writable.write(chunk, this.#written);
    }
    writable.uncork();
  }

  get backlog(): number {
    return this.#writable.writableLength + this.#tail.length;
  }

  /** Node counts a chunk as waiting until all of it is gone; its handle counts bytes. */
  get progress(): number {
    const socket = beneath(this.#writable);
    return (handleProperty(socket, 'bytesWritten') ?? 0) - (handleProperty(socket, 'writeQueueSize') ?? 0);
  }

  /** Whether small pieces may wait here; not where others write to the socket past this. */
  protected get collects(): boolean {
    return true;
  }

  /** Lets a piece wait after all others. */
  #put(bytes: Uint8Array): void {
    if (this.collects && this.#tail.take(bytes)) return;
    this.#passTail();
    if (!this.collects || !this.#tail.take(bytes)) this.#writable.write(bytes, this.#written);
  }

  #passTail(): void {
    const bytes = this.#tail.give();
    if (bytes !== null) this.#writable.write(bytes, this.#written);
  }

  /** The kernel has taken some. */
  #goOn(): void {
    if (!this.#writable.writable) return;
    this.#passTail();
    if (!this.#owesDrained || this.backlog > 0) return;
    this.#owesDrained = false;
    this.#receiver?.drained?.();
  }

  /** A peer that does not take the rest, or does not close in its turn, is not waited for for ever. */
  end(): void {
    if (!this.#writable.writable) return;
    this.#passTail();
    this.#writable.end();
    let before = Number.POSITIVE_INFINITY;
    const look = () => {
      const now = unsentBytes(this.#writable);
      if (this.#writable.writableFinished || now >= before) this.destroy();
      else watch = new Countdown(this.#linger, look);
      before = now;
    };
    let watch = new Countdown(this.#linger, look);
    this.#writable.once('close', () => {
      watch.stop();
    });
  }

  /** Resolves when the peer's kernel has all that was written before `end`, or the connection is gone. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      const writable = this.#writable;
      if (writable.writableFinished || writable.destroyed) resolve();
      writable.once('finish', resolve);
      writable.once('close', resolve);
    });
  }

  destroy(): void {
    this.#reason ??= 'closed by qmpmux';
    this.#writable.destroy();
    this.#readable.destroy();
  }

  pause(): void {
    this.#readable.pause();
  }

  resume(): void {
    this.#readable.resume();
  }

  protected receiveEnd(): void {
    if (this.#receivedEnd) return;
    this.#receivedEnd = true;
    this.#receiver?.receiveEnd();
  }

  #streamClosed(): void {
    this.#openStreams--;
    // A command whose input broke may still have something to say; one whose output ended can say nothing more.
    if (this.#openStreams > 0 && !this.#readable.destroyed) return;
    const receiver = this.#receiver;
    this.#receiver = null;
    if (this.#openStreams > 0) this.#writable.destroy();
    receiver?.closed(this.#reason ?? 'closed by the peer');
  }

  readonly #written = (error?: Error | null): void => {
    if (error === undefined || error === null) {
      this.#goOn();
      return;
    }
    if (this.#writeFailed) return;
    this.#writeFailed = true;
    // Pipes of a child are two sockets: the other one lives on by itself.
    if (this.#readable instanceof Socket && Object.is(this.#readable, this.#writable)) this.#salvage(this.#readable);
  };

  /**
   * Reads the kernel's buffer, bypassing Node.
   * @returns null when there is nothing now; no bytes for EOF
   * @throws Error with the system's code, EAGAIN when there is nothing now
   */
  protected readNow(fd: number): Uint8Array | null {
    const chunk = Buffer.allocUnsafeSlow(SALVAGE_CHUNK);
    return chunk.subarray(0, readSync(fd, chunk));
  }

  /** Called with the descriptor still open, just before Node destroys a socket whose write failed. */
  #salvage(socket: Socket): void {
    const receiver = this.#receiver;
    if (receiver === null || this.#receivedEnd || socket.destroyed) return;
    // Bytes that Node has read while we were paused.
    for (let chunk: unknown = socket.read(); chunk instanceof Uint8Array; chunk = socket.read())
      receiver.receive(chunk);
    // The kernel's bytes are encrypted there.
    if (socket instanceof TLSSocket) return;
    const fd = descriptorOf(socket);
    if (fd === null) return;
    try {
      for (let total = 0; total < SALVAGE_BYTES; ) {
        const chunk = this.readNow(fd);
        if (chunk === null) return;
        if (chunk.length === 0) {
          this.receiveEnd();
          return;
        }
        receiver.receive(chunk);
        total += chunk.length;
      }
    } catch {
      // EAGAIN: that was all. ECONNRESET: there is no more.
    }
  }
}

/** Why a connection ended, in words. */
function describeLoss(error: NodeJS.ErrnoException): string {
  if (error.code === 'EPIPE') return 'closed by the peer';
  if (error.code === 'ECONNRESET') return 'reset by the peer';
  // The second two: nobody answers for its host any more.
  if (error.code === 'ETIMEDOUT' || error.code === 'EHOSTUNREACH' || error.code === 'ENETUNREACH')
    return 'the peer stopped answering';
  return error.message;
}

/** @returns the descriptor that gets writes unchanged, or -1. */
function plainDescriptorOf(writable: Writable): number {
  return writable instanceof Socket && !(writable instanceof TLSSocket) ? (descriptorOf(writable) ?? -1) : -1;
}

/**
 * Writes by the system call itself: a stream makes some ten objects and calls for each write, most of what one costs.
 * @returns how many bytes the kernel has taken; the stream is given the rest, and reports any failure.
 */
function tryWrite(fd: number, bytes: Uint8Array): number {
  try {
    return writeSync(fd, bytes);
  } catch {
    return 0;
  }
}

/** Bytes not taken by the kernel, counting within a chunk where Node gives the number. */
function unsentBytes(writable: Writable): number {
  return handleProperty(beneath(writable), 'writeQueueSize') ?? writable.writableLength;
}

/** @returns the socket that the kernel takes bytes from: with TLS the one beneath, for which Node has no public name */
function beneath(writable: Writable): Writable {
  const parent: unknown = writable instanceof TLSSocket ? Reflect.get(writable, '_parent') : null;
  return parent instanceof Socket ? parent : writable;
}
