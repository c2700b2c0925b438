/** A client of the sparse rows: it asks rarely, so that every process on the way has gone to sleep, and measures each answer. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';

const NEGOTIATION = '{"execute": "qmp_capabilities"}\n';

export class SparseClient {
  readonly #socket: Socket;
  #text = '';
  #isWanted: (line: string) => boolean = () => false;
  #found: (at: number) => void = () => {};
  #lost: Error | null = null;
  #fail: (error: Error) => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the connection was closed')));
  }

  /** Connects and negotiates. @returns the client, and how long that took, in microseconds */
  static async open(path: string): Promise<{ client: SparseClient; took: number }> {
    const begin = performance.now();
    const client = new SparseClient(connect(path));
    await client.line((line) => line.startsWith('{"QMP"'));
    await client.ask(NEGOTIATION);
    return { client, took: (performance.now() - begin) * 1000 };
  }

  /** @returns microseconds from the write to the reply */
  async ask(command: string): Promise<number> {
    const reply = this.line((line) => line.startsWith('{"return"') || line.startsWith('{"error"'));
    const begin = performance.now();
    this.#socket.write(command);
    return ((await reply) - begin) * 1000;
  }

  write(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** @returns when the next line that `isWanted` came, by `performance.now()` */
  line(isWanted: (line: string) => boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) reject(this.#lost);
      this.#isWanted = isWanted;
      this.#found = resolve;
      this.#fail = reject;
    });
  }

  async close(): Promise<void> {
    if (this.#socket.destroyed) return;
    const closed = once(this.#socket, 'close');
    this.#socket.destroy();
    await closed;
  }

  #receive(text: string): void {
    const now = performance.now();
    this.#text += text;
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      if (this.#isWanted(line)) this.#found(now);
    }
  }

  #end(error: Error): void {
    this.#lost ??= error;
    this.#fail(this.#lost);
  }
}
