/**
 * The effect of a command, however it was written: the verb of a line of the human monitor, the actions of a transaction. A search for who
 * reset a VM has to find them all. A message that is no JSON (QEMU takes single quotes) is read as QEMU reads it.
 */
import { parseHmpLine } from '../../hmp/line.js';
import { skipBlanks } from '../../hmp/words.js';
import { Parser } from '../../qmp/json/parser.js';
import { Scan, Scanner } from '../../qmp/json/scanner.js';
import { isJsonArray, isJsonObject, type JsonObject, parseJson } from '../../qmp/json/value.js';
import { strictCommand } from '../../qmp/stream/respelling.js';
import { type AuditRecord, objectOf, textOf } from '../log/record.js';

/** QMP's command that carries a line of the human monitor. */
const HMP = 'human-monitor-command';
const TRANSACTION = 'transaction';

interface Deed {
  /** The command; of a line of the human monitor `hmp VERB`, or `hmp info TOPIC`. */
  readonly name: string;
  /** All names under which it is found: the command's, the verb's, those of a transaction's actions. */
  readonly names: readonly string[];
  /** The line of the human monitor, after its verb; null for other commands. */
  readonly rest: string | null;
}

/** @param record of a command, or of one that was denied */
export function deedOf(record: AuditRecord): Deed {
  const command = textOf(record, 'command') ?? '';
  if (command === HMP) return hmpDeed(record) ?? { name: command, names: [command], rest: null };
  if (command !== TRANSACTION) return { name: command, names: [command], rest: null };
  const actions = argumentsOf(record)?.['actions'];
  const names = [command];
  if (isJsonArray(actions)) {
    for (const action of actions) {
      const type = isJsonObject(action) ? action['type'] : undefined;
      if (typeof type === 'string') names.push(type);
    }
  }
  return { name: command, names, rest: null };
}

function hmpDeed(record: AuditRecord): Deed | null {
  const given = argumentsOf(record)?.['command-line'];
  if (typeof given !== 'string') return null;
  const { verb, topic, end } = parseHmpLine(given);
  const name = topic === '' ? verb : `${verb} ${topic}`;
  // The name as written, where it is an alias of the verb; `info` has none.
  const typed = topic === '' ? given.slice(skipBlanks(given, 0), end) : verb;
  const names = [HMP, `hmp ${name}`, name, verb, `hmp ${verb}`, typed];
  return { name: `hmp ${name}`, names: [...new Set(names)], rest: given.slice(end).trim() };
}

/** @returns a command's arguments, or null where it has none or they cannot be read. */
export function argumentsOf(record: AuditRecord): JsonObject | null {
  const given = messageOf(record)?.['arguments'];
  return isJsonObject(given) ? given : null;
}

/** @returns the message of a command's record, however it is kept. */
export function messageOf(record: AuditRecord): JsonObject | null {
  const message = objectOf(record, 'message');
  if (message !== null) return message;
  if (record.members['cut'] !== undefined) return null;
  const text = textOf(record, 'text');
  if (text !== null) return readAsQemu(Buffer.from(text));
  const latin1 = textOf(record, 'latin1');
  return latin1 === null ? null : readAsQemu(Buffer.from(latin1, 'latin1'));
}

/** The message that was read last: it is asked for by its filter, and again to be shown. */
let lastBytes: Buffer = Buffer.alloc(0);
let lastMessage: JsonObject | null = null;

/** @returns the message in QEMU's dialect of JSON, or null where it is none. */
function readAsQemu(bytes: Buffer): JsonObject | null {
  if (lastMessage !== null && bytes.equals(lastBytes)) return lastMessage;
  const scanner = new Scanner();
  scanner.push(bytes);
  if (scanner.next() !== Scan.Message) return null;
  const parser = new Parser();
  parser.parse(scanner.bytes, scanner.tokens);
  if (parser.error !== null || !parser.isObject) return null;
  const parsed = parseJson(Buffer.from(strictCommand(scanner.bytes, scanner.tokens, parser)).toString('utf8'));
  if (!parsed.ok || !isJsonObject(parsed.value)) return null;
  lastBytes = bytes;
  lastMessage = parsed.value;
  return parsed.value;
}
