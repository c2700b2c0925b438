/**
 * Connections of one listener that have not agreed on TLS yet. Nobody knows who they are, and each has a descriptor: there are
 * only a limited number, and when one more comes, the one that has taken longest goes. An honest client takes milliseconds.
 */
import { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Countdown } from '../../system/countdown.js';

/** How long a client may take to agree on TLS, in milliseconds. */
const HANDSHAKE_TIME = 10_000;

interface Waiting {
  readonly socket: Socket;
  readonly deadline: Countdown;
}

export interface HandshakeOptions {
  /** How many there may be at a time. */
  readonly most: number;
  /** Whether one more may come; that takes a descriptor until its socket is closed. */
  readonly enter: (socket: Socket) => boolean;
  /** Told of one that came to nothing. */
  readonly failed: (why: 'slow' | 'refused', what: string) => void;
}

export class Handshakes {
  readonly #options: HandshakeOptions;
  /** By `nameOf`, the one that has taken longest first. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(options: HandshakeOptions) {
    this.#options = options;
  }

  /** @returns whether the handshake may begin; otherwise the connection is gone */
  begin(socket: Socket): boolean {
    const { most, enter, failed } = this.#options;
    socket.on('error', () => undefined);
    if (!enter(socket)) {
      socket.destroy();
      return false;
    }
    const [oldest] = this.#waiting;
    if (this.#waiting.size >= most && oldest !== undefined) {
      const [name] = oldest;
      this.#giveUp(name);
      failed('slow', `dropped the TLS handshake with ${name}, the oldest of ${most} pending ones`);
    }
    const name = nameOf(socket);
    const deadline = new Countdown(HANDSHAKE_TIME, () => {
      this.#giveUp(name);
      failed('slow', `no TLS with ${name} within ${HANDSHAKE_TIME / 1000} s`);
    });
    this.#waiting.set(name, { socket, deadline });
    socket.once('close', () => {
      // Its failure is reported after that.
      setImmediate(() => {
        if (this.#waiting.get(name)?.socket === socket) this.#forget(name);
      });
    });
    return true;
  }

  agreed(socket: TLSSocket): void {
    this.#forget(nameOf(socket));
  }

  #giveUp(name: string): void {
    const waiting = this.#waiting.get(name);
    this.#forget(name);
    waiting?.socket.destroy();
  }

  /** @returns whether it was waited for */
  #forget(name: string): boolean {
    this.#waiting.get(name)?.deadline.stop();
    return this.#waiting.delete(name);
  }

  failed(error: Error, socket: TLSSocket): void {
    // A socket that is gone has no address; the one beneath it was asked in time. Node has no public name for that.
    const beneath: unknown = Reflect.get(socket, '_parent');
    const name = nameOf(beneath instanceof Socket ? beneath : socket);
    // One that had to go was reported then.
    if (!this.#forget(name)) return;
    const reason: unknown = Reflect.get(error, 'reason');
    // OpenSSL's name for the certificate's fault; it is typed as an error, but is a text.
    const fault: unknown = socket.authorizationError;
    let why = typeof reason === 'string' ? reason : error.message;
    if (typeof fault === 'string') why = `its certificate was refused: ${fault}`;
    this.#options.failed('refused', `no TLS with ${name}: ${why}`);
  }
}

function nameOf(socket: Socket): string {
  return `${socket.remoteAddress} port ${socket.remotePort}`;
}
