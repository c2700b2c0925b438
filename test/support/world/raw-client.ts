/**
 * A socket client for tests that knows nothing of QMP but its line ends: it writes the bytes it is given, keeps every byte it gets, and
 * waits for definite things (a number of lines, a text, EOF). A wait that fails shows the bytes received.
 */
import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay, setImmediate } from 'node:timers/promises';

/** A Unix socket's path (optionally with `unix:`), or `tcp:host:port` (`tcp:[::1]:4444`). */
export type Target = string;

/** How long a wait may take before the test is given up, in milliseconds. Only a bound against hanging, never a measure. */
const patience = 60_000;

interface Wait {
  /** @returns how many bytes of the unread part are the answer, or -1 for not yet. */
  readonly measure: (unread: Buffer, ended: boolean) => number;
  readonly done: (length: number) => void;
}

export class RawClient {
  readonly socket: Socket;
  /** The bytes received, and room for more: it is read again and again, and must not be copied each time. */
  #room: Buffer = Buffer.alloc(1024);
  #length = 0;
  #taken = 0;
  #ended = false;
  #failure: Error | null = null;
  #waits: Wait[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#keep(chunk);
      this.#check();
    });
    const over = () => {
      this.#ended = true;
      this.#check();
    };
    socket.on('end', over);
    socket.on('close', over);
    // QEMU may reset instead of closing (after `quit`): that is an EOF for a client, and kept for tests that ask.
    socket.on('error', (error) => {
      this.#failure = error;
    });
  }

  /** Connects; fails with the system's error (`code`: ENOENT, ECONNREFUSED, EAGAIN …). */
  static connect(target: Target): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ ...parseTarget(target), allowHalfOpen: true });
      const client = new RawClient(socket);
      socket.once('connect', () => {
        socket.off('error', reject);
        socket.setNoDelay(true);
        resolve(client);
      });
      socket.once('error', reject);
    });
  }

  /** Connects as soon as somebody listens: a socket's file is there a moment before it can be connected to. */
  static async soon(target: Target): Promise<RawClient> {
    for (const end = Date.now() + patience; ; ) {
      try {
        return await RawClient.connect(target);
      } catch (error) {
        if (Date.now() > end) throw error;
      }
      await delay(10);
    }
  }

  /** Connects and completes the negotiation. */
  static async negotiated(target: Target): Promise<RawClient> {
    const client = await RawClient.connect(target);
    await client.readLine();
    await client.write('{"execute":"qmp_capabilities"}');
    await client.readLine();
    return client;
  }

  /** Everything received since the connection began. */
  get received(): Buffer {
    return this.#room.subarray(0, this.#length);
  }

  /** The bytes received and not yet taken by one of the reads. */
  get unread(): Buffer {
    return this.received.subarray(this.#taken);
  }

  /** Whether the peer's EOF (or a reset) has come. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The error that ended the connection, such as ECONNRESET. */
  get failure(): Error | null {
    return this.#failure;
  }

  /** Writes in one piece; resolves when the kernel has taken it. A connection that is gone is not an error here: reads show it. */
  write(bytes: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.socket.write(bytes, () => {
        resolve();
      });
    });
  }

  /** Writes each byte separately, letting the event loop turn in between. */
  async writeByByte(bytes: string | Uint8Array): Promise<void> {
    const whole = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    for (let at = 0; at < whole.length; at++) {
      const taken = this.write(whole.subarray(at, at + 1));
      await setImmediate();
      await taken;
    }
  }

  /** Waits for one whole line. @returns it without its line end (CRLF or LF), as latin1. */
  async readLine(): Promise<string> {
    const line = await this.#wait((unread) => unread.indexOf(10) + 1 || -1, 'a line');
    return line.toString('latin1').replace(/\r?\n$/, '');
  }

  /** Waits for `count` whole lines. */
  async readLines(count: number): Promise<string[]> {
    const lines: string[] = [];
    while (lines.length < count) lines.push(await this.readLine());
    return lines;
  }

  /** Waits for lines until one satisfies `last`. @returns all of them, that one included. */
  async readLinesUntil(last: (line: string) => boolean): Promise<string[]> {
    const lines: string[] = [];
    for (;;) {
      const line = await this.readLine();
      lines.push(line);
      if (last(line)) return lines;
    }
  }

  /** Waits until `text` has come. @returns the bytes up to its end. */
  readUntil(text: string): Promise<Buffer> {
    return this.#wait((unread) => {
      const at = unread.indexOf(text, 0, 'latin1');
      return at < 0 ? -1 : at + Buffer.byteLength(text, 'latin1');
    }, JSON.stringify(text));
  }

  /** Waits for EOF. @returns the bytes before it that were not yet taken. */
  readToEnd(): Promise<Buffer> {
    return this.#wait((unread, ended) => (ended ? unread.length : -1), 'EOF');
  }

  /** Waits for at least `count` bytes. @returns exactly that many. */
  readBytes(count: number): Promise<Buffer> {
    return this.#wait((unread) => (unread.length >= count ? count : -1), `${count} bytes`);
  }

  /** Stops taking bytes from the kernel: a client that does not read. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Shuts down the sending side. */
  halfClose(): void {
    this.socket.end();
  }

  /** Closes both ways at once. Resolves when the descriptor is closed. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.closed) {
        resolve();
        return;
      }
      this.socket.once('close', () => {
        resolve();
      });
      this.socket.destroy();
    });
  }

  #wait(measure: Wait['measure'], what: string): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const giveUp = (why: string) => {
        const unread = this.unread;
        const shown = unread.subarray(0, 2000).toString('latin1');
        const more = unread.length > 2000 ? ` and ${unread.length - 2000} more bytes` : '';
        reject(new Error(`waited for ${what}, ${why}; unread so far: ${JSON.stringify(shown)}${more}`));
      };
      const bound = setTimeout(() => {
        this.#waits = this.#waits.filter((other) => other !== wait);
        giveUp(`not there after ${patience / 1000} s`);
      }, patience);
      const wait: Wait = {
        measure,
        done: (length) => {
          clearTimeout(bound);
          if (length < 0) {
            giveUp('the connection ended');
            return;
          }
          const from = this.#taken;
          this.#taken += length;
          resolve(this.received.subarray(from, from + length));
        },
      };
      this.#waits.push(wait);
      this.#check();
    });
  }

  #keep(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (length > this.#room.length) {
      const room = Buffer.alloc(2 * length);
      this.received.copy(room);
      this.#room = room;
    }
    chunk.copy(this.#room, this.#length);
    this.#length = length;
  }

  #check(): void {
    for (let wait = this.#waits[0]; wait !== undefined; wait = this.#waits[0]) {
      const length = wait.measure(this.unread, this.#ended);
      if (length < 0 && !this.#ended) return;
      this.#waits.shift();
      wait.done(length);
    }
  }
}

/** @returns the options of `net.createConnection` for `target`. */
export function parseTarget(target: Target): { path: string } | { host: string; port: number } {
  const tcp = /^tcp:(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(target);
  if (tcp === null) return { path: target.replace(/^unix:/, '') };
  return { host: tcp[1] ?? tcp[2] ?? '', port: Number(tcp[3]) };
}
