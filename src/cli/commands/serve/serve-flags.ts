/** The flags of `qmpmux serve` that are options of a config as well: made of the rows of daemon/config/options, and read by them. */
import { LISTENER } from '../../../daemon/config/options/listener.js';
import { type OptionRow, type Rows, type Settings, settingsOf } from '../../../daemon/config/options/row.js';
import { type OptionTable, UsageError } from '../../framework/subcommand.js';

/** The values given, by the names of flags. */
export type Flags = Readonly<Record<string, unknown>>;

/** @returns the flags of a table's options, with their help. */
export function flagsOf(rows: Rows): OptionTable {
  const table: Record<string, OptionTable[string]> = {};
  for (const row of Object.values(rows)) {
    if (row.flag === undefined) continue;
    const describe = helpOf(row);
    if (typeof row.default === 'boolean') table[row.flag] = { type: 'boolean', describe };
    else if (row.type.isList === true) table[row.flag] = { type: 'string', array: true, requiresArg: true, describe };
    else table[row.flag] = { type: 'string', requiresArg: true, describe };
  }
  return table;
}

/** @returns the words that flags take, where no others will do; for completion. */
export function wordsOf(...tables: readonly Rows[]): Record<string, readonly string[]> {
  const rows = tables.flatMap((table) => Object.values(table));
  return Object.fromEntries(
    rows.flatMap(({ flag, type: { words }, default: preset }) =>
      flag === undefined || words === undefined || typeof preset === 'boolean' ? [] : [[flag, words]],
    ),
  );
}

/** @returns the names of a table's flags. */
export function flagNames(...tables: readonly Rows[]): readonly string[] {
  return tables.flatMap((table) => Object.values(table).flatMap(({ flag }) => flag ?? []));
}

/**
 * Reads the flags of a table.
 * @param otherwise the values of members whose flags are not given
 * @throws UsageError
 */
export function readFlags<R extends Rows>(rows: R, flags: Flags, otherwise: Partial<Settings<R>>): Settings<R> {
  return settingsOf(rows, (row, member) => readFlag(row, flags, otherwise[member]));
}

/** @returns a flag's value; `otherwise` where it is not given. @throws UsageError */
export function readFlag<T>(row: OptionRow<T>, flags: Flags, otherwise: T): T {
  const { flag = '', type } = row;
  const given = flags[flag];
  if (given === undefined) return otherwise;
  // A flag without a value inverts an option's default.
  const value = typeof row.default === 'boolean' ? !row.default : given;
  const read = typeof value === 'string' ? type.fromText(value) : type.fromToml(value);
  if ('value' in read) return read.value;
  throw new UsageError(`--${flag}: ${read.problem}`);
}

function helpOf(row: OptionRow<unknown>): string {
  const text = row.flagText ?? row.what;
  if (typeof row.default === 'boolean') return text;
  if (row.type.isList === true) return `${text}; may be repeated`;
  const where = Object.values<OptionRow<unknown>>(LISTENER).includes(row) ? `, on sockets without ${row.name}=` : '';
  return `${text}${where}${defaultOf(row)}`;
}

function defaultOf({ default: preset, defaultText, type }: OptionRow<unknown>): string {
  if (preset === undefined) return '';
  const { zero } = type;
  if (zero === undefined) return ` (default ${defaultText ?? type.toText(preset)})`;
  return preset === 0 ? ` (default: ${zero})` : ` (default ${type.toText(preset)}; 0: ${zero})`;
}
