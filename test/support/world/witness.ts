/** A QMP server that remembers every command it was sent, by the `n` among its arguments: proof of the commands that reached the VM. */

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Scan, Scanner } from '../../../dist/qmp/json/scanner.js';
import type { Scope } from '../files/scratch.js';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": "witness"}, "capabilities": ["oob"]}}\r\n';

export class Witness {
  /** The commands seen, in order. */
  readonly seen: string[] = [];

  /** Listens at `path`; it ends with `scope`. */
  static async start(scope: Scope, path: string): Promise<Witness> {
    const witness = new Witness();
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      witness.#serve(socket);
    }).listen(path);
    await once(server, 'listening');
    scope.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return witness;
  }

  #serve(socket: Socket): void {
    const scanner = new Scanner();
    socket.on('error', () => undefined);
    socket.write(GREETING);
    socket.on('data', (chunk: Buffer) => {
      scanner.push(chunk);
      let answers = '';
      while (scanner.next() === Scan.Message) {
        const text = Buffer.from(scanner.bytes.subarray(scanner.start, scanner.end)).toString();
        // The commands of these tests are all of this form.
        const command: { id?: unknown; arguments?: { n?: string } } = JSON.parse(text);
        if (command.arguments?.n !== undefined) this.seen.push(command.arguments.n);
        answers += `{"return": {}${command.id === undefined ? '' : `, "id": ${JSON.stringify(command.id)}`}}\r\n`;
      }
      socket.write(answers);
    });
  }
}

/** A client that always has some numbered commands under way, until its connection ends. */
export class Load {
  /** Answers so far. */
  answers = 0;
  readonly ended: Promise<void>;
  readonly #socket: Socket;
  readonly #name: string;
  #sent = 0;
  #isReady = false;
  #isStopped = false;

  /** @param outstanding how many commands are under way at a time */
  constructor(path: string, name: string, outstanding = 10) {
    this.#name = name;
    this.#socket = connect(path);
    this.#socket.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      this.#socket.on('close', () => {
        resolve();
      });
    });
    this.#socket.write('{"execute":"qmp_capabilities"}\n');
    this.#socket.setEncoding('latin1').on('data', (text: string) => {
      if (this.#isReady) this.answers += text.split('\n').length - 1;
      else this.#isReady = text.includes('return');
      if (this.#isReady) this.#more(outstanding);
    });
  }

  /** Sends no more, and leaves when all is answered. */
  stop(): Promise<void> {
    this.#isStopped = true;
    this.#more(0);
    return this.ended;
  }

  #more(outstanding: number): void {
    let text = '';
    if (!this.#isStopped) {
      for (let open = this.#sent - this.answers; open < outstanding; open++) {
        text += `{"execute":"count","arguments":{"n":"${this.#name}-${this.#sent++}"},"id":${this.#sent}}\n`;
      }
    }
    if (text !== '') this.#socket.write(text);
    if (this.#isStopped && this.#sent === this.answers) this.#socket.end();
  }
}
