/** The server's end of a connection in memory, for tests that decide every byte a client gets. */
import { type Duplex, duplexPair } from 'node:stream';

export const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "scripted"}, "capabilities": ["oob"]}}\r\n';

export interface ScriptedCommand {
  readonly execute?: string;
  readonly 'exec-oob'?: string;
  readonly arguments?: Record<string, unknown>;
  readonly id?: unknown;
}

export class ScriptedServer {
  /** The connected stream given to the client under test. */
  readonly clientEnd: Duplex;
  readonly #stream: Duplex;
  /** Everything the client wrote. */
  received = '';
  #text = '';
  readonly #commands: ScriptedCommand[] = [];
  readonly #waiting: ((command: ScriptedCommand) => void)[] = [];

  constructor() {
    [this.clientEnd, this.#stream] = duplexPair();
    this.#stream.on('error', () => {});
    this.#stream.setEncoding('latin1');
    this.#stream.on('data', (text: string) => {
      this.received += text;
      this.#text += text;
      const lines = this.#text.split('\n');
      this.#text = lines.pop() ?? '';
      for (const line of lines) {
        const command: ScriptedCommand = JSON.parse(line.replace(/^\xff/, ''));
        const waiter = this.#waiting.shift();
        if (waiter === undefined) this.#commands.push(command);
        else waiter(command);
      }
    });
  }

  /** Greets, and accepts the negotiation that the client must begin with. */
  async negotiate(): Promise<ScriptedCommand> {
    this.say(GREETING);
    const command = await this.command();
    this.reply(command, {});
    return command;
  }

  /** The next command of the client, which ends its commands by a line feed. */
  command(): Promise<ScriptedCommand> {
    const command = this.#commands.shift();
    return command === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(command);
  }

  async commands(count: number): Promise<ScriptedCommand[]> {
    const commands: ScriptedCommand[] = [];
    while (commands.length < count) commands.push(await this.command());
    return commands;
  }

  reply(command: ScriptedCommand, value: unknown): void {
    this.say(`{"return": ${JSON.stringify(value)}, "id": ${JSON.stringify(command.id)}}\r\n`);
  }

  say(bytes: string | Uint8Array): void {
    this.#stream.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
  }

  /** EOF for the client. */
  end(): void {
    this.#stream.end();
  }

  /** Resolves when the client has ended its side, or destroyed the connection. */
  ended(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#stream.readableEnded || this.clientEnd.destroyed) resolve();
      this.#stream.once('end', () => resolve());
      this.clientEnd.once('close', () => resolve());
    });
  }
}
