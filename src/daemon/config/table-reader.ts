/**
 * Reads a table of a config file by the rows of its options. A fault is an error with the file, the line and the key that the user
 * wrote; an unknown key is reported before a missing one, which it probably was meant to be.
 */
import { suggestion } from '../../shared/spelling.js';
import type { ConfigError } from './config-error.js';
import type { KeyPath } from './config-lines.js';
import { isRequired, namesOf, type OptionRow, type Rows, type Settings, settingsOf } from './options/row.js';

/** Makes the error for a fault at a key. */
export type Fault = (path: KeyPath, problem: string, cause?: unknown) => ConfigError;

/** The keys of a table, each with its value. */
export type Table = ReadonlyMap<string, unknown>;

/** @param value of the parser. @returns null if it is no table */
export function tableOf(value: unknown): Table | null {
  const isTable = typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
  return isTable ? new Map(Object.entries(value)) : null;
}

/** @throws ConfigError for a key that is none of `known` */
export function refuseUnknown(table: Table, known: readonly string[], path: KeyPath, fault: Fault): void {
  for (const key of table.keys()) {
    if (known.includes(key)) continue;
    throw fault([...path, key], `unknown key${suggestion(key, known) || ` (known here: ${known.join(', ')})`}`);
  }
}

/** @returns the row's reading of a value of TOML. @throws ConfigError */
export function readOption<T>(row: OptionRow<T>, value: unknown, path: KeyPath, fault: Fault): T {
  const read = row.type.fromToml(value);
  if ('value' in read) return read.value;
  throw fault(read.at === undefined ? path : [...path, read.at], read.problem);
}

/**
 * Reads a table that has options alone.
 * @param header as it is written, for messages: `[log]`
 * @returns the settings, with defaults for options not given. @throws ConfigError
 */
export function readTable<R extends Rows>(
  value: unknown,
  rows: R,
  path: KeyPath,
  fault: Fault,
  header: string,
): Settings<R> {
  const table = tableOf(value);
  if (table === null) throw fault(path, `must be a table: ${header}`);
  refuseUnknown(table, namesOf(rows), path, fault);
  return settingsOf(rows, (row) => {
    if (table.has(row.name)) return readOption(row, table.get(row.name), [...path, row.name], fault);
    if (isRequired(row)) throw fault([...path, row.name], 'is missing');
    return row.default;
  });
}

/** Reads tables by name. @returns the name, the value and the path of each. @throws ConfigError */
export function namedTables(
  value: unknown,
  path: KeyPath,
  fault: Fault,
  header: string,
): readonly (readonly [name: string, value: unknown, path: KeyPath])[] {
  if (value === undefined) return [];
  const tables = tableOf(value);
  if (tables === null) throw fault(path, `must be tables by name: ${header}`);
  return [...tables].map(([name, table]) => [name, table, [...path, name]]);
}
