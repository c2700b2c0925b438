/** The commands that were sent and are not answered yet, each with its caller. */
import type { JsonObject } from '../qmp/json/value.js';
import type { RawReply } from './raw-command.js';

/** A command's id: our number, or the word of the handshake. */
export type CommandId = number | string;

/** A raw command takes the reply's bytes, any other its value. */
type InFlightCommand = {
  readonly name: string;
  readonly failed: (reason: unknown) => void;
} & (
  | { readonly raw: false; readonly answered: (answer: JsonObject) => void }
  | { readonly raw: true; readonly answered: (reply: RawReply) => void }
);

export class InFlight {
  readonly #commands = new Map<CommandId, InFlightCommand>();
  #rawCount = 0;

  get size(): number {
    return this.#commands.size;
  }

  /** Whether there are raw commands among them. */
  get hasRaw(): boolean {
    return this.#rawCount > 0;
  }

  /** Enters a command. @returns its answer; rejects with the reason of `signal`, or as `failAll` says */
  wait(id: CommandId, name: string, signal?: AbortSignal): Promise<JsonObject> {
    return waitFor<JsonObject>(signal, (answered, failed) => {
      this.#commands.set(id, { name, raw: false, answered, failed });
    });
  }

  /** As `wait`, for a raw command. */
  waitRaw(id: CommandId, name: string, signal?: AbortSignal): Promise<RawReply> {
    return waitFor<RawReply>(signal, (answered, failed) => {
      this.#rawCount++;
      this.#commands.set(id, { name, raw: true, answered, failed });
    });
  }

  get(id: CommandId): InFlightCommand | undefined {
    return this.#commands.get(id);
  }

  /** The answer of this command has come. */
  delete(id: CommandId): void {
    if (this.#commands.get(id)?.raw === true) this.#rawCount--;
    this.#commands.delete(id);
  }

  /** The one that was sent first. */
  oldest(): CommandId | undefined {
    for (const id of this.#commands.keys()) return id;
    return undefined;
  }

  /** No answer can come any more. */
  failAll(reason: (name: string) => unknown): void {
    const commands = [...this.#commands.values()];
    this.#commands.clear();
    this.#rawCount = 0;
    for (const { name, failed } of commands) failed(reason(name));
  }
}

/** An aborted command stays entered, so that its reply finds its place when it comes. */
function waitFor<T>(
  signal: AbortSignal | undefined,
  enter: (answered: (answer: T) => void, failed: (reason: unknown) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const settled = () => signal?.removeEventListener('abort', abort);
    enter(
      (answer) => {
        settled();
        resolve(answer);
      },
      (reason) => {
        settled();
        reject(reason);
      },
    );
  });
}
