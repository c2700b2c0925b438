/**
 * libvirt's RPC (src/rpc/virnetprotocol.x), over any connection to a libvirt daemon: calls with serial numbers, their answers, and
 * messages that the daemon sends by itself.
 *
 * A message is its length, a header of six words (program, version, procedure, type, serial, status), and XDR that depends on the
 * procedure. The daemon is trusted to be one, but not to be well: any other message ends the connection with a reason.
 */
import type { Connection } from '../link/connection.js';
import { KeepAlive, type KeepAliveOptions } from './keepalive.js';
import { XdrReader, XdrWriter } from './xdr.js';

/** Programs (src/remote/remote_protocol.x, qemu_protocol.x; virkeepaliveprotocol.x). All are of version 1. */
export const Program = { remote: 0x2000_8086, qemu: 0x2000_8087, keepAlive: 0x6b65_6570 } as const;

const VERSION = 1;
const HEADER_BYTES = 28;
/** VIR_NET_MESSAGE_MAX and the length word. */
const MAX_MESSAGE_BYTES = 32 * 1024 * 1024 + 4;
const Type = { call: 0, reply: 1, message: 2 } as const;
const NO_BYTES = new Uint8Array(0);
const PING = 1;
const PONG = 2;
/** While this many bytes of ours are unread, the other side's pings get no answer: they alone could fill our memory. */
const MOST_UNREAD = 64 * 1024;
/** The longest fault text from a daemon, in characters: it goes into logs. */
const LONGEST_FAULT = 1500;

/** A fault reported by the daemon. Codes are those of libvirt/virterror.h. */
export interface LibvirtFault {
  readonly code: number;
  /** Never empty. */
  readonly message: string;
}

export type RpcAnswer =
  | { readonly ok: true; readonly body: XdrReader }
  | { readonly ok: false; readonly fault: LibvirtFault };

export interface RpcOwner {
  /** A message that answers no call. */
  message(program: number, procedure: number, body: XdrReader): void;
  /** The connection is over; calls that were not answered never will be. Called once, last, unless `close` came first. */
  closed(reason: string): void;
}

export class LibvirtRpc {
  readonly #connection: Connection;
  readonly #calls = new Map<number, (answer: RpcAnswer) => void>();
  #owner: RpcOwner;
  #serial = 0;
  /** The part received of the next message's length word. */
  #head: Uint8Array = NO_BYTES;
  /** The message of which a part has come, and its length; it has its memory at once, so that small pieces cost no more than large ones. */
  #partial: Buffer | null = null;
  #filled = 0;
  #isOpen = true;
  #keepAlive: KeepAlive | null = null;

  constructor(connection: Connection, owner: RpcOwner) {
    this.#connection = connection;
    this.#owner = owner;
    connection.attach({
      receive: (chunk) => {
        this.#receive(chunk);
      },
      closed: (reason) => {
        this.#end(reason === 'closed by QEMU' ? 'libvirtd closed the connection' : reason);
      },
    });
  }

  /** Receives the messages from now on. */
  set owner(owner: RpcOwner) {
    this.#owner = owner;
  }

  /** Calls a procedure; `done` follows, in the order of the daemon's messages, unless the connection ends before. */
  call(program: number, procedure: number, body: Uint8Array, done: (answer: RpcAnswer) => void): void {
    const serial = ++this.#serial;
    this.#calls.set(serial, done);
    this.#send(program, procedure, Type.call, serial, body);
  }

  /** Bytes that the kernel has not accepted yet. */
  get backlog(): number {
    return this.#connection.link.backlog;
  }

  pause(): void {
    if (this.#keepAlive !== null) this.#keepAlive.isPaused = true;
    this.#connection.link.pause();
  }

  resume(): void {
    if (this.#keepAlive !== null) this.#keepAlive.isPaused = false;
    this.#connection.link.resume();
  }

  /** Begins to ask whether the daemon is still there, when it is silent. */
  keepAlive(options: KeepAliveOptions): void {
    if (!this.#isOpen) return;
    this.#keepAlive ??= new KeepAlive(
      options,
      () => {
        this.#send(Program.keepAlive, PING, Type.message, 0, NO_BYTES);
      },
      (silence) => {
        this.#end(`libvirtd has not answered for ${silence / 1000} s: its host or the network may be down`);
      },
    );
  }

  /** Ends the connection, without calling anyone. */
  close(atOnce: boolean): Promise<void> {
    this.#isOpen = false;
    this.#keepAlive?.stop();
    this.#calls.clear();
    return this.#connection.close(atOnce);
  }

  #send(program: number, procedure: number, type: number, serial: number, body: Uint8Array): void {
    const header = new XdrWriter().int(HEADER_BYTES + body.length).int(program);
    header.int(VERSION).int(procedure).int(type).int(serial).int(0);
    this.#connection.link.write(header.raw(body).finish());
  }

  #receive(chunk: Uint8Array): void {
    // A part of a message is a sign of life, too: a long one may take long.
    this.#keepAlive?.heard();
    let rest = chunk;
    while (this.#isOpen && rest.length > 0) {
      if (this.#partial !== null) {
        rest = this.#fill(this.#partial, rest);
        continue;
      }
      if (this.#head.length > 0) rest = Buffer.concat([this.#head, rest]);
      this.#head = rest.length < 4 ? rest : NO_BYTES;
      if (rest.length < 4) return;
      const length = new XdrReader(rest).unsigned();
      if (length < HEADER_BYTES || length > MAX_MESSAGE_BYTES) {
        this.#end('the peer is not a libvirt daemon');
        return;
      }
      if (rest.length < length) {
        this.#partial = Buffer.allocUnsafeSlow(length);
        this.#filled = 0;
      } else {
        this.#dispatch(rest.subarray(0, length));
        rest = rest.subarray(length);
      }
    }
  }

  /** @returns the bytes after this message */
  #fill(message: Buffer, bytes: Uint8Array): Uint8Array {
    const count = Math.min(message.length - this.#filled, bytes.length);
    message.set(bytes.subarray(0, count), this.#filled);
    this.#filled += count;
    if (this.#filled === message.length) {
      this.#partial = null;
      this.#dispatch(message);
    }
    return bytes.subarray(count);
  }

  #dispatch(message: Uint8Array): void {
    const header = new XdrReader(message.subarray(4, HEADER_BYTES));
    const [program, version, procedure] = [header.unsigned(), header.unsigned(), header.unsigned()];
    const [type, serial, status] = [header.unsigned(), header.unsigned(), header.unsigned()];
    const body = new XdrReader(message.subarray(HEADER_BYTES));
    if (version !== VERSION) return;
    if (type === Type.message) {
      if (program !== Program.keepAlive) this.#owner.message(program, procedure, body);
      else if (procedure === PING && this.backlog <= MOST_UNREAD) this.#send(program, PONG, Type.message, 0, NO_BYTES);
      return;
    }
    const done = this.#calls.get(serial);
    if (type !== Type.reply || done === undefined) return;
    this.#calls.delete(serial);
    done(status === 0 ? { ok: true, body } : { ok: false, fault: readFault(body) });
  }

  #end(reason: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#keepAlive?.stop();
    this.#calls.clear();
    this.#owner.closed(reason);
  }
}

/** @returns `text`, or as much of its beginning as `most` characters are */
export function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

/** The beginning of a virNetMessageError; its other fields are parts of the same text. */
function readFault(body: XdrReader): LibvirtFault {
  const code = body.int();
  body.int();
  const message = body.optionalText() ?? '';
  return { code, message: cut(message.trim(), LONGEST_FAULT) || `error ${code}` };
}
