/** A unix datagram socket, such as systemd's NOTIFY_SOCKET: Node has none, so socat holds it. */
import { spawn } from 'node:child_process';
import type { Scope } from '../files/scratch.js';

/** How long a wait may take before the test is given up, in milliseconds. Only a bound against hanging, never a measure. */
const PATIENCE = 60_000;

export class DatagramReceiver {
  /** All datagrams received, one after the other. */
  text = '';
  #look: (() => void) | null = null;

  /** @param path of the socket; an abstract name when it begins with `@`. */
  static async open(scope: Scope, path: string): Promise<DatagramReceiver> {
    const receiver = new DatagramReceiver();
    const address = path.startsWith('@') ? `ABSTRACT-RECV:${path.slice(1)}` : `UNIX-RECV:${path}`;
    // With -d -d socat says on standard error when the socket is there and it begins to read.
    const child = spawn('socat', ['-d', '-d', '-u', address, 'STDOUT'], { stdio: ['ignore', 'pipe', 'pipe'] });
    const gone = new Promise<void>((resolve) => {
      child.once('close', () => {
        resolve();
      });
    });
    scope.after(async () => {
      child.kill('SIGKILL');
      await gone;
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      receiver.text += text;
      receiver.#look?.();
    });
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes('starting data transfer loop')) resolve();
      });
      child.once('close', () => {
        reject(new Error(`socat ended: ${said}`));
      });
    });
    return receiver;
  }

  /** Waits until the received text matches. One wait at a time. */
  until(wanted: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const bound = setTimeout(() => {
        this.#look = null;
        reject(new Error(`waited for ${String(wanted)}; received: ${this.text}`));
      }, PATIENCE);
      this.#look = () => {
        if (!wanted.test(this.text)) return;
        clearTimeout(bound);
        this.#look = null;
        resolve();
      };
      this.#look();
    });
  }
}
