/**
 * qmpmux's own commands, sent to a qmpmux; and the error where a socket does not have them.
 * This room owns the subcommands that look at a running qmpmux, or disconnect its clients: `status`, `clients`, `queue`, `top`, `kill`. A report
 * may come from another version of qmpmux, so a member that is missing is no error (json-view.ts).
 */
import { QmpError } from '../../../client/errors.js';
import { readError } from '../../../client/messages.js';
import type { QmpClient } from '../../../client/qmp-client.js';
import { findMembers } from '../../../client/reply-members.js';
import { formatJson, isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../../qmp/json/value.js';
import { QmpmuxError } from '../../../shared/errors.js';
import { type Target, takeTarget } from '../../framework/address-operand.js';
import { Deadline } from '../../framework/deadline.js';
import { EXIT } from '../../framework/exit-code.js';
import { UsageError } from '../../framework/subcommand.js';
import { Report } from '../../screen/json-view.js';
import { textFor } from '../../screen/screen-text.js';

/** For the notes of the subcommands that use them. */
export const OWN_COMMANDS_NOTE =
  'ADDRESS is a qmpmux socket with extensions=on: qmpmux serve … --listen unix:/run/vm.ctl,extensions=on. QMPMUX_SOCKET is its default.';

export const JSON_OPTION = {
  type: 'boolean',
  describe: 'print everything as one line of JSON',
} as const;

export const TIMEOUT_OPTION = {
  type: 'string',
  describe: 'give up after this time, such as 5s (default: never)',
} as const;

/** The socket does not have qmpmux's own commands. */
export class NotThereError extends QmpmuxError {
  readonly code = 'QMPMUX_NO_EXTENSIONS';
}

/** The result of a command: parsed, and as it was written. */
export interface Returned {
  readonly value: JsonValue;
  readonly text: string;
}

/** A qmpmux that is asked. */
export class OwnCommands {
  readonly client: QmpClient;
  readonly target: Target;
  readonly #deadline: Deadline;

  constructor(client: QmpClient, target: Target, deadline: Deadline) {
    this.client = client;
    this.target = target;
    this.#deadline = deadline;
  }

  /** @throws NotThereError, QmpError, and the errors of the connection */
  async ask(name: string, args?: JsonObject): Promise<Returned> {
    const command = `__org.qmpmux_${name}`;
    const message = formatJson({ execute: command, ...(args === undefined ? {} : { arguments: args }) });
    const { bytes, isError } = await this.client.executeRaw(message, this.#deadline.waiting);
    const reply = parseJson(bytes.toString());
    const members = reply.ok && isJsonObject(reply.value) ? reply.value : {};
    if (isError) throw this.#explain(readError(members, command));
    const member = findMembers(bytes)?.find((each) => each.name === 'return');
    return { value: members['return'] ?? null, text: bytes.toString('utf8', member?.valueStart ?? 0, member?.end) };
  }

  #explain(error: QmpError): QmpmuxError {
    if (error.class !== 'CommandNotFound') return error;
    const { text } = this.target;
    return new NotThereError(
      `${text} does not offer qmpmux's own commands: it is QEMU itself, or a socket without extensions=on; ` +
        'add one to qmpmux serve: --listen unix:/PATH,extensions=on',
    );
  }
}

/**
 * Connects, lets the caller ask, and disconnects.
 * @param signal ends it at once: pending questions reject
 */
export async function withOwnCommands<T>(
  target: Target,
  timeout: string | undefined,
  ask: (commands: OwnCommands) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const deadline = new Deadline(timeout);
  try {
    const client = await deadline.connect(target, signal === undefined ? {} : { signal });
    const end = () => client.destroy();
    signal?.addEventListener('abort', end, { once: true });
    try {
      return await ask(new OwnCommands(client, target, deadline));
    } finally {
      signal?.removeEventListener('abort', end);
      client.destroy();
    }
  } catch (error) {
    throw deadline.explain(error, target);
  }
}

/** @returns the ADDRESS, where nothing else is allowed. @throws UsageError, AddressError */
export function onlyTarget(operands: readonly string[]): Target {
  const { target, rest } = takeTarget(operands);
  const [unexpected] = rest;
  if (unexpected !== undefined) throw new UsageError(`${JSON.stringify(unexpected)} is unexpected here`);
  return target;
}

/**
 * Asks, and writes the answer: as it came with `--json`, laid out otherwise.
 * @param layOut loads the layout code, which JSON does not need
 * @param more members for the JSON that qmpmux itself does not know, if any
 * @returns the exit code
 */
export async function writeAnswer(
  target: Target,
  { json, timeout }: { readonly json?: boolean | undefined; readonly timeout?: string | undefined },
  name: string,
  layOut: (report: Report, commands: OwnCommands) => Promise<readonly string[]>,
  more: (report: Report, commands: OwnCommands) => Promise<JsonObject> = () => Promise.resolve({}),
): Promise<number> {
  return withOwnCommands(target, timeout, async (commands) => {
    const { value, text } = await commands.ask(name);
    const report = new Report(value);
    const shown =
      json === true
        ? textFor(process.stdout, withMembers(text, await more(report, commands)))
        : (await layOut(report, commands)).join('\n');
    process.stdout.write(`${shown}\n`);
    return EXIT.ok;
  });
}

/** @param object the text of a JSON object that is not empty */
function withMembers(object: string, members: JsonObject): string {
  return Object.keys(members).length === 0 ? object : `${object.slice(0, -1)}, ${formatJson(members).slice(1)}`;
}
