/**
 * A client's link that takes the open files which come with its bytes (SCM_RIGHTS). Node would lose them without a word.
 *
 * Node's socket does all but the reading. libuv asks the reader for a buffer first; given one of no bytes, it reports ENOBUFS and reads
 * nothing (uv_read_start(3)), again and again while there is something to read. So the event loop's own epoll shows when to call recvmsg,
 * and there is no thread, no second epoll and no second owner of the descriptor: docs/adr/0008.
 *
 * The kernel glues bytes written before a descriptor to those that came with it, and QEMU, which reads byte by byte, sees where
 * one ends and the other begins. So each read is looked at first (MSG_PEEK); where it would bring descriptors, it is made in pieces.
 */
import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { CALL_BYTES, EAGAIN, type MessageCalls } from './message-calls.js';
import { nodeHandle } from './node-handle.js';
import { ReceivedDescriptor } from './received-descriptor.js';
import { type Receiver, SocketLink } from './socket-link.js';

/** Receives descriptors. */
interface DescriptorReceiver {
  /**
   * Descriptors came, at or after `position` in the client's input, and before its next closing brace; called before those bytes are handed
   * over.
   * @param descriptors as many as this process could take, in the order sent
   * @param isCut whether there were more
   */
  receiveDescriptors(position: number, descriptors: readonly ReceivedDescriptor[], isCut: boolean): void;
  /** One that was handed over is closed. */
  descriptorClosed(): void;
}

interface ReceivingOptions {
  /** Whether it matters which bytes descriptors came with; true by default. Not so where they are only refused. */
  readonly isExact?: boolean;
  /** As for `SocketLink`. */
  readonly linger?: number;
}

/** The part we need of Node's own handle of a socket, which has no public name. */
interface Handle {
  readonly fd: number;
  /** Whether Node believes that libuv is reading. */
  reading: boolean;
  onread: () => void;
  readStart(): number;
  readStop(): number;
  useUserBuffer(buffer: Uint8Array): void;
}

/** A buffer without room, also returned at EOF. */
const NO_BYTES = Buffer.alloc(0);
const BRACE = 0x7d;
/** The most calls in a row for one client. */
const MOST_PIECES = 256;

export class ReceivingLink extends SocketLink {
  readonly #socket: Socket;
  readonly #handle: Handle;
  /** Good until the socket is destroyed: its number may be another file's then. */
  readonly #fd: number;
  readonly #calls: MessageCalls;
  #takes: DescriptorReceiver | null = null;
  #receiver: Receiver | null = null;
  /** Bytes received so far. */
  #position = 0;
  #reading: 'paused' | 'on' | 'over' = 'paused';
  readonly #isExact: boolean;

  private constructor(
    socket: Socket,
    handle: Handle,
    calls: MessageCalls,
    { isExact = true, linger }: ReceivingOptions,
  ) {
    super(socket, socket, linger);
    this.#socket = socket;
    this.#handle = handle;
    this.#fd = handle.fd;
    this.#calls = calls;
    this.#isExact = isExact;
    handle.useUserBuffer(NO_BYTES);
    handle.onread = () => {
      this.#readable();
    };
    handle.readStop();
    // Node is left to believe that it reads, and so never begins to.
    handle.reading = true;
  }

  /** @returns a link for a unix socket that nothing was read from; null where this Node, or this machine, cannot do it. */
  static over(socket: Socket, calls: MessageCalls | null, options: ReceivingOptions = {}): ReceivingLink | null {
    const handle = handleOf(socket);
    return handle === null || calls === null ? null : new ReceivingLink(socket, handle, calls, options);
  }

  /** Hands descriptors to `receiver`, from now on. */
  takeDescriptors(receiver: DescriptorReceiver): void {
    this.#takes = receiver;
  }

  override pause(): void {
    if (this.#reading !== 'on') return;
    this.#reading = 'paused';
    if (!this.#socket.destroyed) this.#handle.readStop();
  }

  override resume(): void {
    if (this.#reading !== 'paused' || this.#receiver === null) return;
    this.#reading = 'on';
    if (!this.#socket.destroyed) this.#handle.readStart();
  }

  protected override startReading(receiver: Receiver): void {
    this.#receiver = receiver;
    this.resume();
  }

  protected override readNow(fd: number): Uint8Array | null {
    const chunk = this.#read(fd);
    return typeof chunk === 'number' ? null : chunk;
  }

  /** Called by libuv while there is something to be read, or the other end is gone. */
  #readable(): void {
    if (this.#socket.destroyed || this.#reading !== 'on') return;
    const chunk = this.#read(this.#fd);
    if (chunk === -EAGAIN) return;
    if (typeof chunk === 'number') {
      const code = getSystemErrorName(chunk);
      this.#socket.destroy(Object.assign(new Error(`reading failed: ${code}`), { code }));
    } else if (chunk.length > 0) this.#receiver?.receive(chunk);
    else {
      this.#reading = 'over';
      this.#handle.readStop();
      this.receiveEnd();
      // Node closes a socket when both of its directions have ended.
      this.#socket.push(null);
      this.#socket.read(0);
    }
  }

  /** @returns bytes, none for EOF, or an error number below zero */
  #read(fd: number): Uint8Array | number {
    const calls = this.#calls;
    let length = CALL_BYTES;
    if (this.#isExact) {
      length = calls.peek(fd, CALL_BYTES);
      if (length <= 0) return length === 0 ? NO_BYTES : length;
      if (calls.touchesDescriptors) return this.#readApart(fd, length);
    }
    length = calls.receive(fd, length);
    if (length <= 0) return length === 0 ? NO_BYTES : length;
    return this.#taken(length);
  }

  /**
   * Reads the bytes that descriptors come with, and those before. Commands end with a brace, and only their ends matter: so it is read
   * brace by brace until the descriptors are there.
   * @param length of all that the kernel would give at once
   */
  #readApart(fd: number, length: number): Uint8Array | number {
    const calls = this.#calls;
    const peeked = Buffer.from(calls.data.subarray(0, length));
    let taken = 0;
    for (let pieces = 0; taken < length && pieces < MOST_PIECES; pieces++) {
      const end = peeked.indexOf(BRACE, taken) + 1 || length;
      const received = calls.receive(fd, end - taken);
      // Not reached: it was there a moment ago, and nobody else reads.
      if (received <= 0) break;
      if (calls.descriptors.length > 0 || calls.isCut) {
        this.#descriptorsCame(this.#position + taken, calls.descriptors, calls.isCut);
        taken += received;
        break;
      }
      taken += received;
    }
    if (taken === 0) return -EAGAIN;
    this.#position += taken;
    return peeked.subarray(0, taken);
  }

  #taken(length: number): Uint8Array {
    const { data, descriptors, isCut } = this.#calls;
    const chunk = Buffer.allocUnsafe(length);
    data.copy(chunk, 0, 0, length);
    if (descriptors.length > 0 || isCut) this.#descriptorsCame(this.#position, descriptors, isCut);
    this.#position += length;
    return chunk;
  }

  #descriptorsCame(position: number, numbers: readonly number[], isCut: boolean): void {
    const takes = this.#takes;
    const descriptors = numbers.map(
      (fd) =>
        new ReceivedDescriptor(fd, () => {
          takes?.descriptorClosed();
        }),
    );
    if (takes !== null) takes.receiveDescriptors(position, descriptors, isCut);
    else for (const descriptor of descriptors) descriptor.close();
  }
}

function handleOf(socket: Socket): Handle | null {
  const handle = nodeHandle(socket);
  return isHandle(handle) ? handle : null;
}

function isHandle(handle: object | null): handle is Handle {
  if (handle === null) return false;
  const fd: unknown = Reflect.get(handle, 'fd');
  if (typeof fd !== 'number' || fd < 0) return false;
  return ['readStart', 'readStop', 'useUserBuffer'].every((name) => typeof Reflect.get(handle, name) === 'function');
}
