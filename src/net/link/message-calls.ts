/**
 * recvmsg and sendmsg (recvmsg(2), unix(7)), which Node does not offer: a unix socket carries open files besides bytes.
 *
 * All that the kernel reads and writes lies in one piece of C memory that lives as long as the process: the addresses in a msghdr must
 * stay good, which is not certain for JavaScript's buffers. Every call is made without blocking, and is over when it returns, so
 * one piece serves all sockets.
 */
import { constants, endianness } from 'node:os';
import { type Koffi, loadKoffi } from '../../system/koffi.js';
import {
  type LinuxNumbers,
  linuxNumbers,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  SCM_RIGHTS,
} from '../../system/linux.js';

/** The most bytes of one call that may bring descriptors. */
export const CALL_BYTES = 64 * 1024;

export const { EAGAIN } = constants.errno;
const { EINTR } = constants.errno;
/** SCM_MAX_FD: the kernel lets nobody send more with one message. */
const MOST_DESCRIPTORS = 253;
const INT = 4;

/** Where things lie in the piece of memory: a msghdr for each call (56 bytes at most), one iovec, room for descriptors, bytes. */
const PEEKING = 0;
const RECEIVING = 64;
const SENDING = 128;
const VECTOR = 192;
const CONTROL = 256;
const CONTROL_BYTES = 2048;
const DATA = 4096;

export class MessageCalls {
  /** The bytes read last; overwritten by the next call. */
  readonly data: Buffer;
  /** Whether the last peek reached into a message that came with descriptors. */
  touchesDescriptors = false;
  /** Descriptors from the last receive, ours now. */
  descriptors: number[] = [];
  /** Whether descriptors came with it that this process could not take: it has too many open files. */
  isCut = false;

  readonly #numbers: LinuxNumbers;
  readonly #recvmsg: (fd: number, header: unknown, flags: number) => number;
  readonly #sendmsg: (fd: number, header: unknown, flags: number) => number;
  readonly #errno: () => number;
  /** The headers' addresses, and others. */
  readonly #peeking: bigint;
  readonly #receiving: bigint;
  readonly #sending: bigint;
  /** The memory as ints. Sizes that are a word of the machine (size_t) are written and read by their lower half. */
  readonly #ints: Int32Array;
  readonly #wordBytes: number;
  /** Where the lower half of a word is, in ints. */
  readonly #low: number;

  private constructor(koffi: Koffi, numbers: LinuxNumbers) {
    this.#numbers = numbers;
    const libc = koffi.load(null);
    this.#recvmsg = libc.func('long recvmsg(int, void *, int)');
    this.#sendmsg = libc.func('long sendmsg(int, void *, int)');
    this.#errno = () => koffi.errno();
    const piece: unknown = koffi.alloc('uint8_t', DATA + CALL_BYTES);
    const memory = koffi.view(piece, DATA + CALL_BYTES);
    const address = koffi.address(piece);
    this.#peeking = address + BigInt(PEEKING);
    this.#receiving = address + BigInt(RECEIVING);
    this.#sending = address + BigInt(SENDING);
    this.#wordBytes = koffi.sizeof('size_t');
    this.#low = this.#wordBytes === 8 && endianness() === 'BE' ? 1 : 0;
    this.#ints = new Int32Array(memory);
    this.#ints.fill(0);
    this.data = Buffer.from(memory, DATA, CALL_BYTES);
    const words = this.#wordBytes === 8 ? new BigUint64Array(memory) : new Uint32Array(memory);
    const setPointer = (at: number, to: number) => {
      const value = address + BigInt(to);
      if (words instanceof BigUint64Array) words[at / 8] = value;
      else words[at / 4] = Number(value);
    };
    setPointer(VECTOR, DATA);
    // struct msghdr: name, its length (an int in a word's room), iov, its length, control, its length, flags.
    for (const header of [PEEKING, RECEIVING, SENDING]) {
      setPointer(header + 2 * this.#wordBytes, VECTOR);
      this.#setSize(header + 3 * this.#wordBytes, 1);
      if (header !== PEEKING) setPointer(header + 4 * this.#wordBytes, CONTROL);
    }
  }

  /** @returns the calls, or null where they cannot be made: koffi has no binary for this machine, or its numbers are not known. */
  static load(): MessageCalls | null {
    try {
      return new MessageCalls(loadKoffi(), linuxNumbers());
    } catch {
      return null;
    }
  }

  /**
   * Reads the bytes that could be received, and leaves them there. Only the presence of descriptors is checked.
   * @returns the number of bytes, 0 for EOF, or an error number below zero
   */
  peek(fd: number, most: number): number {
    this.#setSize(VECTOR + this.#wordBytes, most);
    const length = this.#recvmsg(fd, this.#peeking, MSG_PEEK | MSG_DONTWAIT);
    if (length < 0) return this.#error();
    // With no room for descriptors, this is how the kernel shows that there are some.
    this.touchesDescriptors = (this.#flagsOf(PEEKING) & MSG_CTRUNC) !== 0;
    return length;
  }

  /**
   * Receives bytes and descriptors. The kernel stops after the message that descriptors came with.
   * @returns as `peek`
   */
  receive(fd: number, most: number): number {
    this.#setSize(VECTOR + this.#wordBytes, most);
    this.#setSize(RECEIVING + 5 * this.#wordBytes, CONTROL_BYTES);
    if (this.descriptors.length > 0) this.descriptors = [];
    const length = this.#recvmsg(fd, this.#receiving, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0) return this.#error();
    this.isCut = (this.#flagsOf(RECEIVING) & MSG_CTRUNC) !== 0;
    if (this.#size(RECEIVING + 5 * this.#wordBytes) > 0) this.#readControl();
    return length;
  }

  /**
   * Sends bytes, as many of them as the kernel takes, and descriptors with the first.
   * @returns how many it took, or an error number below zero
   */
  send(fd: number, bytes: Uint8Array, descriptors: readonly number[]): number {
    const most = Math.min(bytes.length, CALL_BYTES);
    this.data.set(bytes.subarray(0, most));
    const length = this.#headBytes + INT * descriptors.length;
    // CMSG_SPACE and CMSG_LEN of that number of ints.
    this.#setSize(VECTOR + this.#wordBytes, most);
    this.#setSize(SENDING + 5 * this.#wordBytes, descriptors.length === 0 ? 0 : this.#align(length));
    this.#setSize(CONTROL, length);
    this.#ints[(CONTROL + this.#wordBytes) / INT] = this.#numbers.SOL_SOCKET;
    this.#ints[(CONTROL + this.#wordBytes) / INT + 1] = SCM_RIGHTS;
    this.#ints.set(descriptors, (CONTROL + this.#headBytes) / INT);
    const sent = this.#sendmsg(fd, this.#sending, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? this.#error() : sent;
  }

  #flagsOf(header: number): number {
    return this.#ints[(header + 6 * this.#wordBytes) / INT] ?? 0;
  }

  /** Bytes of a struct cmsghdr: its length, level and type. */
  get #headBytes(): number {
    return this.#wordBytes + 2 * INT;
  }

  #readControl(): void {
    const end = CONTROL + Math.min(CONTROL_BYTES, this.#size(RECEIVING + 5 * this.#wordBytes));
    for (let at = CONTROL; at + this.#headBytes <= end; ) {
      const length = this.#size(at);
      if (length < this.#headBytes) return;
      const level = this.#ints[(at + this.#wordBytes) / INT];
      const type = this.#ints[(at + this.#wordBytes) / INT + 1];
      if (level === this.#numbers.SOL_SOCKET && type === SCM_RIGHTS) {
        const count = Math.min(MOST_DESCRIPTORS, Math.floor((length - this.#headBytes) / INT));
        const first = (at + this.#headBytes) / INT;
        for (let i = 0; i < count; i++) this.descriptors.push(this.#ints[first + i] ?? -1);
      }
      at += this.#align(length);
    }
  }

  #align(length: number): number {
    return Math.ceil(length / this.#wordBytes) * this.#wordBytes;
  }

  #size(at: number): number {
    return this.#ints[at / INT + this.#low] ?? 0;
  }

  #setSize(at: number, value: number): void {
    this.#ints[at / INT + this.#low] = value;
  }

  #error(): number {
    const error = this.#errno();
    // Nothing was done; the caller is called again when there is something.
    return error === EINTR ? -EAGAIN : -error;
  }
}

let calls: MessageCalls | null | undefined;

/** @returns the calls shared by all sockets of the process; null where descriptors cannot pass. */
export function messageCalls(): MessageCalls | null {
  if (calls === undefined) calls = MessageCalls.load();
  return calls;
}
