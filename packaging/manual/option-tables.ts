/** The tables of options in docs/reference/config.md, made of the rows in src/daemon/config/options and of those of addresses. */
import { AUDIT, DAEMON, LOG, METRICS } from '../../dist/daemon/config/options/daemon.js';
import { LISTENER } from '../../dist/daemon/config/options/listener.js';
import { MONITOR, MONITOR_PLACES, POLICY } from '../../dist/daemon/config/options/monitor.js';
import { isRequired, type OptionRow, type Rows } from '../../dist/daemon/config/options/row.js';
import { ADDRESS_OPTIONS } from '../../dist/net/address/address-words.js';

/** By the names that the page gives them: `<!-- table: listener -->`. */
const TABLES: Readonly<Record<string, () => string>> = {
  daemon: () => optionTable(DAEMON),
  log: () => optionTable(LOG),
  metrics: () => optionTable(METRICS),
  audit: () => optionTable(AUDIT),
  monitor: () => optionTable({ ...MONITOR_PLACES, ...MONITOR }),
  listener: () => optionTable(LISTENER),
  policy: () => optionTable(POLICY),
  address: addressTable,
};
const END = '<!-- end of table -->';

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ');
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |\n`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('');
}

function optionTable(rows: Rows): string {
  return tableOf(
    ['option', 'what it does', 'value', 'default', 'flag', 'on reload'],
    Object.values(rows).map((row) => [
      `\`${row.name}\``,
      row.what,
      row.type.zero === undefined ? row.type.syntax : `${row.type.syntax}, 0: ${row.type.zero}`,
      defaultOf(row),
      row.flag === undefined ? '' : `\`--${row.flag}\``,
      row.reload,
    ]),
  );
}

function defaultOf(row: OptionRow<unknown>): string {
  if (isRequired(row)) return 'must be given';
  const { default: preset, defaultText, type } = row;
  if (defaultText !== undefined) return defaultText;
  if (Array.isArray(preset) && preset.length === 0) return 'none';
  return preset === 0 && type.zero !== undefined ? type.zero : type.toText(preset);
}

function addressTable(): string {
  return tableOf(
    ['option', 'what it does', 'of'],
    ADDRESS_OPTIONS.map(({ form, what, of }) => [`\`${form}\``, what, of]),
  );
}

/** @returns docs/reference/config.md with its tables as they should be; the same text where they are already. */
export function configDocument(page: string): string {
  const [first = '', ...parts] = page.split('<!-- table: ');
  const sections = parts.map((part) => {
    const name = part.slice(0, part.indexOf(' '));
    const table = Object.hasOwn(TABLES, name) ? TABLES[name] : undefined;
    const end = part.indexOf(END);
    if (table === undefined || end < 0) throw new Error(`the page on the config has no such table: ${name}`);
    return `${name} -->\n\n${table()}\n${part.slice(end)}`;
  });
  return [first, ...sections].join('<!-- table: ');
}

/** @returns the names of the tables that a page must have. */
export function optionTableNames(): readonly string[] {
  return Object.keys(TABLES);
}
