/**
 * The shell's connection, which is made again when it is lost; and the server's description of itself, requested each time, because it may
 * be another QEMU.
 */

import { openTarget, type Target } from '../cli/framework/address-operand.js';
import type { ConnectionError } from '../client/errors.js';
import type { Greeting, QmpEvent } from '../client/messages.js';
import type { ConnectOptions } from '../client/options.js';
import { QmpClient } from '../client/qmp-client.js';
import type { RawReply } from '../client/raw-command.js';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../qmp/json/value.js';
import { Schema } from '../qmp/schema.js';
import { HmpCommands } from './language/hmp-commands.js';
import type { Vocabulary } from './language/line-completion.js';
import type { Ask } from './language/live-source.js';

export interface LinkObserver {
  readonly event: (event: QmpEvent) => void;
  readonly lost: (error: ConnectionError) => void;
  readonly back: (greeting: Greeting) => void;
}

/** Pauses between attempts to connect, in milliseconds. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2000;
/** How long the VM may take to answer a completion, in milliseconds: a busy one must not hold the keyboard. */
const COMPLETION_WAIT_MS = 1500;
/** As long may a command wait for the schema, which comes first on the same connection. */
const NO_VOCABULARY: Vocabulary = { schema: null, names: [] };

export class ShellLink {
  readonly #target: Target;
  readonly #options: ConnectOptions;
  readonly #observer: LinkObserver;
  #client: QmpClient;
  #vocabulary: Promise<Vocabulary>;
  #hmp: Promise<HmpCommands> | null = null;
  #isClosing = false;
  #retry: NodeJS.Timeout | undefined;

  /** @throws the errors of QmpClient.connect */
  static async open(target: Target, options: ConnectOptions, observer: LinkObserver): Promise<ShellLink> {
    return new ShellLink(target, options, observer, await QmpClient.connect(await openTarget(target), options));
  }

  private constructor(target: Target, options: ConnectOptions, observer: LinkObserver, client: QmpClient) {
    this.#target = target;
    this.#options = options;
    this.#observer = observer;
    this.#client = client;
    this.#vocabulary = Promise.resolve(NO_VOCABULARY);
    this.#attach(client);
  }

  get isConnected(): boolean {
    return this.#client.state.name === 'running';
  }

  get greeting(): Greeting {
    return this.#client.greeting;
  }

  get where(): string {
    return this.#target.text;
  }

  /** The commands that the server says it understands. */
  get vocabulary(): Promise<Vocabulary> {
    return this.#vocabulary;
  }

  /** The commands of the human monitor. */
  get hmp(): Promise<HmpCommands> {
    this.#hmp ??= this.#askHmp();
    return this.#hmp;
  }

  /** @throws as QmpClient.executeRaw */
  execute(command: string, signal: AbortSignal): Promise<RawReply> {
    return this.#client.executeRaw(command, { signal });
  }

  /** For questions of our own: null for every kind of failure, and where the answer takes too long. */
  readonly ask: Ask = async (command, args) => {
    try {
      return await this.#client.execute(command, args, { signal: AbortSignal.timeout(COMPLETION_WAIT_MS) });
    } catch {
      return null;
    }
  };

  /** Asks again for the server's commands: it answers only after the negotiation, and that may have been left to the user. */
  learn(): void {
    this.#vocabulary = askVocabulary(this.#client);
  }

  close(): void {
    this.#isClosing = true;
    clearTimeout(this.#retry);
    this.#client.destroy();
  }

  #attach(client: QmpClient): void {
    this.#client = client;
    this.#hmp = null;
    client.on('event', this.#observer.event);
    client.on('close', (error) => {
      if (this.#isClosing || error === null) return;
      this.#observer.lost(error);
      this.#reconnect(FIRST_PAUSE_MS);
    });
    this.learn();
  }

  #reconnect(pause: number): void {
    this.#retry = setTimeout(() => {
      this.#attempt().catch(() => this.#reconnect(Math.min(pause * 2, LONGEST_PAUSE_MS)));
    }, pause);
  }

  async #attempt(): Promise<void> {
    const client = await QmpClient.connect(await openTarget(this.#target), this.#options);
    if (this.#isClosing) {
      client.destroy();
      return;
    }
    this.#attach(client);
    this.#observer.back(client.greeting);
  }

  async #askHmp(): Promise<HmpCommands> {
    const [help, info] = await Promise.all(
      ['help', 'help info'].map((line) => this.ask('human-monitor-command', { 'command-line': line })),
    );
    const commands = new HmpCommands(typeof help === 'string' ? help : '', typeof info === 'string' ? info : '');
    if (commands.commands.length === 0) this.#hmp = null;
    return commands;
  }
}

async function askVocabulary(client: QmpClient): Promise<Vocabulary> {
  const ask = (command: string, args?: JsonObject) => client.execute(command, args).catch(() => null);
  const answer = await ask('query-qmp-schema');
  const schema = answer === null ? null : Schema.read(answer);
  if (schema !== null) return { schema, names: [] };
  const commands = namesIn(await ask('query-commands'));
  if (commands.length > 0) return { schema: null, names: commands };
  // The guest agent.
  const info = await ask('guest-info');
  return {
    schema: null,
    names: isJsonObject(info ?? undefined) ? namesIn((info as JsonObject)['supported_commands']) : [],
  };
}

function namesIn(list: JsonValue | null | undefined): string[] {
  if (!isJsonArray(list ?? undefined)) return [];
  return (list as readonly JsonValue[]).flatMap((item) => {
    const name = isJsonObject(item) ? item['name'] : null;
    return typeof name === 'string' ? [name] : [];
  });
}
