/**
 * An option is one row: of a listener (listener.ts), of a monitor (monitor.ts), of its limits (limits.ts), of the daemon (daemon.ts).
 * From a row come its key in a config file, its word after an address, its flag with the help, its default, and its line in
 * docs/reference. A new option is a row, and the place that uses its value, where it is a member of the settings.
 *
 * Rows are read by table-reader.ts from TOML, by listener-settings.ts after an address, by cli/commands/serve from flags.
 */

/** The reading of a text or a value: its meaning, or why it has none. */
export type Read<T> =
  | { readonly value: T }
  /** `problem` follows the name of the option: `must be on or off`. `at`: which element of a list it is, from 0. */
  | { readonly problem: string; readonly at?: number };

export interface OptionType<T> {
  /** The placeholder of a value in the reference: `TIME`. */
  readonly syntax: string;
  /** The words that it takes, where no others will do. */
  readonly words?: readonly string[];
  /** The meaning of 0, if it is no number like others: `never`. */
  readonly zero?: string;
  /** Whether its flag may be repeated. */
  readonly isList?: boolean;
  /** Reads the text after an address or a flag. */
  fromText(text: string): Read<T>;
  /** Reads a value of a config file, as TOML gives it. */
  fromToml(value: unknown): Read<T>;
  /** @returns how a value is written. */
  toText(value: T): string;
}

/** The effect of a new value when the config is read again. */
export type Reload = 'at once' | 'clients are disconnected' | 'the monitor restarts' | 'at the next start';

export interface OptionRow<T> {
  /** The key in a config file, and the word after an address. */
  readonly name: string;
  readonly type: OptionType<T>;
  /** Its value when it is not given; absent for options that must be given. */
  readonly default?: NoInfer<T>;
  /** The same in words, if the value does not say it. */
  readonly defaultText?: string;
  /** The flag of `qmpmux serve` without its dashes. A flag of an on-or-off option sets it to the opposite of its default. */
  readonly flag?: string;
  /** The effect of the flag, if it is not that of the option. */
  readonly flagText?: string;
  readonly reload: Reload;
  /** Its effect: a sentence without its full stop. */
  readonly what: string;
  /** Why it makes no sense for such a socket, or for clients of the human monitor; follows the name. */
  readonly unless?: Readonly<Partial<Record<'unix' | 'tcp' | 'hmp', string>>>;
}

/** The rows of one table, by the members of the settings that they make. */
export type Rows = Readonly<Record<string, OptionRow<unknown>>>;

type ValueOf<R> = R extends OptionRow<infer T> ? T : never;

/** The result of the rows of a table: a value for each. */
export type Settings<R extends Rows> = { readonly [K in keyof R]: ValueOf<R[K]> };

/** A row whose default is a value that its type may have. */
export function option<T>(row: OptionRow<T> & { readonly default: NoInfer<T> }): OptionRow<T> {
  return row;
}

/** A row of an option that must be given. */
export function required<T>(row: Omit<OptionRow<T>, 'default' | 'defaultText'>): OptionRow<T> {
  return row;
}

export function isRequired(row: OptionRow<unknown>): boolean {
  return !Object.hasOwn(row, 'default');
}

/** @param valueOf returns the row's result for a value: one of its type */
export function settingsOf<R extends Rows>(
  rows: R,
  valueOf: (row: OptionRow<unknown>, member: string) => unknown,
): Settings<R> {
  const members = Object.entries(rows).map(([member, row]) => [member, valueOf(row, member)] as const);
  // The compiler does not follow the rows through the entries.
  return Object.fromEntries(members) as Settings<R>;
}

/** @returns the defaults; for rows that all have one. */
export function defaultsOf<R extends Rows>(rows: R): Settings<R> {
  return settingsOf(rows, (row) => row.default);
}

/** @returns the names of the rows, as a user writes them. */
export function namesOf(rows: Rows): readonly string[] {
  return Object.values(rows).map(({ name }) => name);
}

/** @returns the member and the row of that name, or null. */
export function rowNamed(rows: Rows, name: string): readonly [member: string, row: OptionRow<unknown>] | null {
  return Object.entries(rows).find(([, row]) => row.name === name) ?? null;
}
