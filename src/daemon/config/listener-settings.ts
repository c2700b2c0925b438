/**
 * A listener: its address, and how its clients are served. Options are after the address, or keys beside it in a config file. Those of
 * the socket itself (its mode, its owner) are read with the address, those of its clients by the rows of options/listener.ts.
 */
import type { ListenAddress } from '../../net/address/address.js';
import { parseService } from '../../net/address/address-parser.js';
import { AddressError, type OptionPart } from '../../net/address/address-text.js';
import { ADDRESS_OPTIONS } from '../../net/address/address-words.js';
import type { ListenerConfig } from './config.js';
import type { KeyPath } from './config-lines.js';
import { DEFAULT_LISTENER, LISTENER, LISTENER_WORDS, type ListenerSettings } from './options/listener.js';
import { type OptionRow, type Read, rowNamed } from './options/row.js';
import { mustBe } from './options/types.js';
import { type Fault, refuseUnknown, type Table, tableOf } from './table-reader.js';

/** An option of a listener's clients that was given. */
interface Given {
  readonly name: string;
  /** Makes the error that names its place. @param problem a predicate of the option: `must be on or off`. @param at in a list, from 0 */
  readonly fault: (problem: string, at?: number) => Error;
  readonly read: (row: OptionRow<unknown>) => Read<unknown>;
}

/** Options of the socket that may be keys beside its address. */
const SOCKET_KEYS = ADDRESS_OPTIONS.filter(({ key }) => key !== undefined);
/** Every key of a listener. */
const KEYS = ['address', ...SOCKET_KEYS.map(({ name }) => name), ...LISTENER_WORDS];
const ADDRESS = 'an address, such as "unix:/run/vm.mux"';

/**
 * Reads the address of a listener with the options after it.
 * @param defaults values for options that it does not have
 * @throws AddressError
 */
export function parseListenerSettings(text: string, defaults: ListenerSettings = DEFAULT_LISTENER): ListenerConfig {
  const { address, options } = parseService(text, LISTENER_WORDS, []);
  return { address, settings: settingsFrom(address, options.map(behindAddress), defaults) };
}

/** Reads an element of `listen` in a config file: an address, or a table of one and its options. @throws ConfigError */
export function readListener(value: unknown, path: KeyPath, fault: Fault): ListenerConfig {
  const table = typeof value === 'string' ? new Map([['address', value]]) : tableOf(value);
  if (table === null) {
    throw fault(path, 'must be an address or a table such as { address = "unix:/run/vm.mux", mode = "0660" }');
  }
  refuseUnknown(table, KEYS, path, fault);
  const keyFault = (key: string) => (problem: string) => fault([...path, key], problem);
  const written = table.get('address');
  if (written === undefined) throw keyFault('address')('is missing');
  if (typeof written !== 'string' || written === '') throw keyFault('address')(mustBe(ADDRESS).problem);
  try {
    const { address, options } = parseService(written, LISTENER_WORDS, socketOptions(table, keyFault));
    const given = options.map(behindAddress);
    for (const [name, beside] of table) {
      if (!LISTENER_WORDS.includes(name)) continue;
      if (given.some((other) => other.name === name)) throw keyFault(name)(`"${name}" is given twice`);
      given.push({
        name,
        fault: (problem, at) => fault([...path, name, ...(at === undefined ? [] : [at])], problem),
        read: (row) => row.type.fromToml(beside),
      });
    }
    return { address, settings: settingsFrom(address, given, DEFAULT_LISTENER) };
  } catch (error) {
    if (error instanceof AddressError) throw fault(path, error.message, error);
    throw error;
  }
}

/** The keys beside an address that are the socket's, as options of the address. @throws ConfigError */
function socketOptions(table: Table, keyFault: (key: string) => OptionPart['fault']): OptionPart[] {
  const options: OptionPart[] = [];
  for (const { name, key = '', isSwitch } of SOCKET_KEYS) {
    const value = table.get(name);
    if (value === undefined) continue;
    const text = isSwitch === true && typeof value === 'boolean' ? (value ? 'on' : 'off') : value;
    if (typeof text !== 'string' || text === '') throw keyFault(name)(mustBe(key).problem);
    options.push({ name, value: text, fault: keyFault(name) });
  }
  return options;
}

function behindAddress({ name, value, fault }: OptionPart): Given {
  const read = (row: OptionRow<unknown>): Read<unknown> =>
    value === null || value === '' ? { problem: `needs a value: ${name}=…` } : row.type.fromText(value);
  return { name, fault: (problem) => fault(`"${name}" ${problem}`), read };
}

/** @throws the errors that the faults of `given` make */
function settingsFrom(address: ListenAddress, given: readonly Given[], defaults: ListenerSettings): ListenerSettings {
  const rows = given.map((one) => ({ ...one, row: rowOf(one.name) }));
  let settings = defaults;
  for (const { fault, read, row } of rows) {
    const problem = address.kind === 'fd' ? undefined : row[1].unless?.[address.kind];
    if (problem !== undefined) throw fault(problem);
    const result = read(row[1]);
    if ('problem' in result) throw fault(result.problem, result.at);
    settings = { ...settings, [row[0]]: result.value };
  }
  if (settings.protocol !== 'hmp') return settings;
  for (const { name, fault, row } of rows) {
    const problem = row[1].unless?.hmp;
    if (problem !== undefined) throw fault(problem);
    if (name === LISTENER.policy.name && settings.policy.kind === 'read-only') {
      throw fault(
        'must not be read-only: that lets no command of the human monitor through; write rules for hmp (docs/reference/policy.md)',
      );
    }
  }
  return settings;
}

function rowOf(name: string): readonly [member: string, row: OptionRow<unknown>] {
  const found = rowNamed(LISTENER, name);
  // LISTENER_WORDS are the names of these rows
  if (found === null) throw new Error(`no such option of a listener: ${name}`);
  return found;
}
