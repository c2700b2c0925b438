/**
 * A line of a shell, read and held against the schema before it is sent: an unknown command, argument or word is reported with
 * the nearest known one, and costs no round trip. A line in JSON is QEMU's to judge, if it is JSON.
 */

import { MalformedCommandError } from '../../client/errors.js';
import { faultText } from '../../client/fault-text.js';
import { prepareCommand } from '../../client/raw-command.js';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../../qmp/json/value.js';
import type { Fault } from '../../qmp/schema.js';
import { suggestion } from '../../shared/spelling.js';
import { commandText, type ShellLineReader } from './command-syntax.js';

export type CheckedLine =
  | { readonly kind: 'empty' }
  /** `json` is to be sent. `name` is empty where it has none, which QEMU will say. */
  | { readonly kind: 'command'; readonly name: string; readonly json: string }
  /** A transaction is open and goes on. */
  | { readonly kind: 'action' }
  /** Nothing is to be sent. */
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

/** The schema has their arguments, but they take others too: those of the device. */
const UNCHECKED = new Set(['device_add']);
/** Downstream extensions are not in QEMU's schema. */
const EXTENSION = /^__/;

/** Words that people type to leave, and which QEMU does not have or takes for something else. */
const LEAVING = new Set(['exit', 'bye', 'logout', 'q', ':q']);

export function readChecked(reader: ShellLineReader, line: string): CheckedLine {
  const unknown = reader.inTransaction ? null : unknownCommand(reader, line);
  if (unknown !== null) return { kind: 'refused', problems: [unknown] };
  const parsed = reader.readLine(line);
  switch (parsed.kind) {
    case 'empty':
      return parsed;
    case 'malformed':
      return { kind: 'refused', problems: [parsed.message] };
    case 'json':
      return checkJson(parsed.text);
    case 'action':
      return checkAction(reader);
    case 'command': {
      const { name } = parsed;
      const command = reader.schema?.commands.get(name);
      const faults = command === undefined ? [] : (reader.schema?.check(command, parsed.arguments) ?? []);
      const problems = faults
        .filter((fault) => isTold(name, fault))
        .map((fault) => faultText(fault, name) + sizeHint(fault, parsed.arguments));
      return problems.length > 0
        ? { kind: 'refused', problems }
        : { kind: 'command', name, json: commandText(name, parsed.arguments) };
    }
  }
}

function unknownCommand(reader: ShellLineReader, line: string): string | null {
  const name = /^\s*(\S+)/.exec(line)?.[1] ?? '';
  const { schema } = reader;
  if (schema === null || name === '' || name.startsWith('{') || name === 'transaction(' || EXTENSION.test(name))
    return null;
  if (schema.commands.has(name)) return null;
  if (LEAVING.has(name)) return `there is no command ${name}: Ctrl-D leaves the shell, quit ends QEMU`;
  if (name === 'info') return 'info is a command of the human monitor: .hmp info …, or qmpmux shell -H';
  if (schema.events.has(name)) return `${name} is an event, not a command: help ${name}`;
  return `there is no command ${name}${suggestion(name, schema.commands.keys())}`;
}

function checkJson(text: string): CheckedLine {
  try {
    return { kind: 'command', name: prepareCommand(text, 0).name, json: text };
  } catch (error) {
    if (error instanceof MalformedCommandError) return { kind: 'refused', problems: [error.message] };
    throw error;
  }
}

/** A mistake in an action is reported at once, and its transaction is not sent. */
function checkAction(reader: ShellLineReader): CheckedLine {
  const { schema, actions } = reader;
  const command = schema?.commands.get('transaction');
  if (schema === null || command === undefined) return { kind: 'action' };
  const last = actions.length - 1;
  const faults = schema.check(command, { actions }).filter(({ path }) => path[0] === 'actions' && path[1] === last);
  if (faults.length === 0) return { kind: 'action' };
  reader.spoil();
  const problems = faults.map(
    (fault) => faultText({ ...fault, path: fault.path.slice(2) }) + sizeHint(fault, { actions }),
  );
  return { kind: 'refused', problems };
}

const UNITS = 'KMGTPE';

/** The human monitor takes `1G`; QMP takes numbers alone. */
function sizeHint(fault: Fault, args: JsonObject): string {
  if (fault.kind !== 'type' || fault.expected !== 'integer') return '';
  const given = fault.path.reduce<JsonValue | undefined>(
    (value, step) =>
      isJsonArray(value) || isJsonObject(value)
        ? Object.entries(value).find(([key]) => key === String(step))?.[1]
        : undefined,
    args,
  );
  if (typeof given !== 'string') return '';
  const [, digits = '', unit = ''] = /^(\d{1,12})([kmgtpe])(?:i?b)?$/i.exec(given) ?? [];
  if (unit === '') return '';
  return `; QMP knows no units: ${given} is ${BigInt(digits) * 1024n ** BigInt(UNITS.indexOf(unit.toUpperCase()) + 1)} bytes`;
}

function isTold(name: string, fault: Fault): boolean {
  return !(UNCHECKED.has(name) && fault.kind === 'unexpected');
}
