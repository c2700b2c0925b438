/** The journal that writes the daemon's own log: what an operator wants to know of clients and commands, not all that happens. */
import type { ClientView, CommandView, Journal, ReplySource } from '../mux/journal.js';
import type { ClientId } from '../mux/link.js';
import type { Log } from '../net/log.js';

/** A message that is shown in the log is cut here. */
const SHOWN_BYTES = 200;

export class LogJournal implements Journal {
  readonly wantsRaw = false;
  readonly #log: Log;
  readonly #connected = new Set<ClientId>();

  constructor(log: Log) {
    this.#log = log;
  }

  connected(client: ClientView): void {
    this.#connected.add(client.id);
    this.#log.debug({ client: client.id, listener: client.listener, peer: client.peer }, 'a client connected');
  }

  negotiated(client: ClientView, capabilities: readonly string[]): void {
    this.#log.debug({ client: client.id, capabilities }, 'a client negotiated');
  }

  disconnected(client: ClientView, reason: string): void {
    this.#connected.delete(client.id);
    this.#log.debug({ client: client.id, listener: client.listener, reason }, 'a client is gone');
  }

  command(): void {
    // One line a command is the audit log's business.
  }

  answered(command: CommandView, _reply: readonly Uint8Array[], isError: boolean, _source: ReplySource): void {
    if (this.#connected.has(command.client.id)) return;
    const fields = { client: command.client.id, command: command.name, isError };
    this.#log.info(fields, 'dropped the answer to a client that has left');
  }

  unanswered(command: CommandView, reason: string): void {
    const { client, name, oob } = command;
    this.#log.warn({ client: client.id, command: name, oob, reason }, 'a command was sent and will not be answered');
  }

  malformed(client: ClientView, _raw: Uint8Array, reply: Uint8Array): void {
    this.#log.debug({ client: client.id, reply: shown([reply]) }, 'a client sent what QEMU would not take');
  }

  denied(command: CommandView, rule: string): void {
    this.#log.info({ client: command.client.id, command: command.name, rule }, 'refused a command');
  }

  event(): void {
    // Nor one line an event.
  }

  upstream(): void {
    // The monitor's service tells these changes, with what it knows of the way to QEMU.
  }

  stray(message: readonly Uint8Array[], why: string): void {
    this.#log.warn({ why, message: shown(message) }, 'QEMU sent a message that belongs to nobody');
  }

  flush(): null {
    return null;
  }
}

function shown(message: readonly Uint8Array[]): string {
  let text = '';
  for (const chunk of message) {
    if (text.length > SHOWN_BYTES) break;
    text += Buffer.from(chunk.subarray(0, SHOWN_BYTES + 1)).toString('latin1');
  }
  return text.length > SHOWN_BYTES ? `${text.slice(0, SHOWN_BYTES)}…` : text.trimEnd();
}
