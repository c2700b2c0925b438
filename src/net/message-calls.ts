/**
 * recvmsg and sendmsg (recvmsg(2), unix(7)), which Node has no names for: what a unix socket carries besides bytes is open files.
 *
 * All that the kernel reads and writes lies in one piece of C memory that lives as long as the process: the addresses in a msghdr must
 * stay good, which those of JavaScript's buffers need not. Every call is made without blocking, and is over when it returns, so
 * one piece serves all sockets.
 */
import { createRequire } from 'node:module';

/** The most bytes of one call. */
export const CALL_BYTES = 64 * 1024;

export const EAGAIN = 11;
const EINTR = 4;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_PEEK = 0x02;
const MSG_CTRUNC = 0x08;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
/** SCM_MAX_FD: the kernel lets nobody send more with one message. */
const MOST_DESCRIPTORS = 253;
const INT = 4;

/** Where things lie in the piece of memory. */
const HEADER = 0;
const VECTOR = 64;
const CONTROL = 128;
const CONTROL_BYTES = 2048;
const DATA = 4096;

export class MessageCalls {
  /** What was read last; overwritten by the next call. */
  readonly data: Buffer;
  /** Whether what was peeked at last reaches into a message that descriptors came with. */
  touchesDescriptors = false;
  /** Descriptors that came with what was received last, ours now. */
  descriptors: number[] = [];
  /** Whether descriptors came with it that this process could not take: it has too many open files. */
  isCut = false;

  readonly #recvmsg: (fd: number, header: unknown, flags: number) => number;
  readonly #sendmsg: (fd: number, header: unknown, flags: number) => number;
  readonly #errno: () => number;
  readonly #memory: unknown;
  /** The memory as words of the machine (size_t, pointers), and as ints. */
  readonly #words: BigUint64Array | Uint32Array;
  readonly #ints: Int32Array;
  readonly #wordBytes: number;
  readonly #vectorAddress: bigint;
  readonly #controlAddress: bigint;

  private constructor(koffi: typeof import('koffi')) {
    const libc = koffi.load(null);
    this.#recvmsg = libc.func('long recvmsg(int, void *, int)');
    this.#sendmsg = libc.func('long sendmsg(int, void *, int)');
    this.#errno = () => koffi.errno();
    this.#memory = koffi.alloc('uint8_t', DATA + CALL_BYTES);
    const memory = koffi.view(this.#memory, DATA + CALL_BYTES);
    const address = koffi.address(this.#memory);
    this.#wordBytes = koffi.sizeof('size_t');
    this.#words = this.#wordBytes === 8 ? new BigUint64Array(memory) : new Uint32Array(memory);
    this.#ints = new Int32Array(memory);
    this.data = Buffer.from(memory, DATA, CALL_BYTES);
    this.#vectorAddress = address + BigInt(VECTOR);
    this.#controlAddress = address + BigInt(CONTROL);
    this.#setWord(VECTOR, address + BigInt(DATA));
  }

  /** @returns the calls, or null where they cannot be made: koffi has no binary for this machine, or it is no Linux. */
  static load(): MessageCalls | null {
    if (process.platform !== 'linux') return null;
    try {
      // Typed by the module itself, which is not imported: only daemons with unix sockets need it.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      return new MessageCalls(createRequire(import.meta.url)('koffi') as typeof import('koffi'));
    } catch {
      return null;
    }
  }

  /**
   * Reads what could be received, and leaves it there. Descriptors are not looked at, only whether there are any.
   * @returns the number of bytes, 0 for EOF, or an error number below zero
   */
  peek(fd: number, most: number): number {
    this.#prepare(most, 0);
    const length = this.#recvmsg(fd, this.#memory, MSG_PEEK | MSG_DONTWAIT);
    if (length < 0) return this.#error();
    // With no room for descriptors, this is how the kernel tells that there are some.
    this.touchesDescriptors = (this.#flags & MSG_CTRUNC) !== 0;
    return length;
  }

  /**
   * Receives bytes and descriptors. The kernel ends behind the message that descriptors came with.
   * @returns as `peek`
   */
  receive(fd: number, most: number): number {
    this.#prepare(most, CONTROL_BYTES);
    this.descriptors = [];
    const length = this.#recvmsg(fd, this.#memory, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0) return this.#error();
    this.isCut = (this.#flags & MSG_CTRUNC) !== 0;
    if (this.#word(HEADER + 5 * this.#wordBytes) > 0) this.#readControl();
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
    // CMSG_SPACE and CMSG_LEN of so many ints.
    this.#prepare(most, descriptors.length === 0 ? 0 : this.#align(length));
    this.#setWord(CONTROL, BigInt(length));
    this.#ints[(CONTROL + this.#wordBytes) / INT] = SOL_SOCKET;
    this.#ints[(CONTROL + this.#wordBytes) / INT + 1] = SCM_RIGHTS;
    this.#ints.set(descriptors, (CONTROL + this.#headBytes) / INT);
    const sent = this.#sendmsg(fd, this.#memory, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? this.#error() : sent;
  }

  /** struct msghdr: name, its length (an int in a word's room), iov, its length, control, its length, flags. */
  #prepare(most: number, control: number): void {
    const word = this.#wordBytes;
    this.#setWord(VECTOR + word, BigInt(most));
    this.#setWord(HEADER, 0n);
    this.#setWord(HEADER + word, 0n);
    this.#setWord(HEADER + 2 * word, this.#vectorAddress);
    this.#setWord(HEADER + 3 * word, 1n);
    this.#setWord(HEADER + 4 * word, control === 0 ? 0n : this.#controlAddress);
    this.#setWord(HEADER + 5 * word, BigInt(control));
    this.#setWord(HEADER + 6 * word, 0n);
  }

  get #flags(): number {
    return this.#ints[(HEADER + 6 * this.#wordBytes) / INT] ?? 0;
  }

  /** Bytes of a struct cmsghdr: its length, level and type. */
  get #headBytes(): number {
    return this.#wordBytes + 2 * INT;
  }

  #readControl(): void {
    const end = CONTROL + Math.min(CONTROL_BYTES, this.#word(HEADER + 5 * this.#wordBytes));
    for (let at = CONTROL; at + this.#headBytes <= end; ) {
      const length = this.#word(at);
      if (length < this.#headBytes) return;
      const level = this.#ints[(at + this.#wordBytes) / INT];
      const type = this.#ints[(at + this.#wordBytes) / INT + 1];
      if (level === SOL_SOCKET && type === SCM_RIGHTS) {
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

  #word(at: number): number {
    return Number(this.#words[at / this.#wordBytes] ?? 0);
  }

  #setWord(at: number, value: bigint): void {
    const words = this.#words;
    if (words instanceof BigUint64Array) words[at / 8] = value;
    else words[at / 4] = Number(value);
  }

  #error(): number {
    const error = this.#errno();
    // Nothing was done; whoever asks is told again when there is something.
    return error === EINTR ? -EAGAIN : -error;
  }
}

let calls: MessageCalls | null | undefined;

/** @returns what all sockets of the process share; null where descriptors cannot pass. */
export function messageCalls(): MessageCalls | null {
  if (calls === undefined) calls = MessageCalls.load();
  return calls;
}
