/** The table of folders in CONTRIBUTING.md: what may import what. */
import type { ImportGraph } from './import-graph.js';

/** A row of the table. Folders are named below src; src itself is `.`. */
export interface FolderRow {
  readonly folder: string;
  /** Folders, and `folder/*` for a folder with everything below it. */
  readonly mayImport: readonly string[];
}

/**
 * @param page Markdown with a table whose rows begin with a folder of src in backticks; other rows of it are passed over
 * @returns the rows, in their order
 */
export function folderRows(page: string): FolderRow[] {
  const rows: FolderRow[] = [];
  for (const [, name = '', allowed = ''] of page.matchAll(/^\| `src\/?([a-z/-]*)` *\|[^|\n]*\|([^|\n]*)\|$/gm)) {
    const mayImport = [...allowed.matchAll(/`([^`]+)`/g)].map(([, folder = '']) => folder);
    rows.push({ folder: name === '' ? '.' : name, mayImport });
  }
  return rows;
}

const covers = (entry: string, folder: string): boolean =>
  entry.endsWith('/*') ? folder === entry.slice(0, -2) || folder.startsWith(entry.slice(0, -1)) : folder === entry;

/**
 * @param rows what may import what
 * @param folders what imports what
 * @returns a line for each difference: folders without a row, rows without a folder, imports that no row allows, and what rows allow in vain
 */
export function differences(rows: readonly FolderRow[], folders: ImportGraph): string[] {
  const lines: string[] = [];
  const named = new Map(rows.map((row) => [row.folder, row.mayImport]));
  if (named.size < rows.length) lines.push('a folder has two rows');
  for (const [folder, imports] of folders) {
    const mayImport = named.get(folder);
    if (mayImport === undefined) {
      lines.push(`src/${folder} has no row`);
      continue;
    }
    for (const imported of imports) {
      if (!mayImport.some((entry) => covers(entry, imported))) lines.push(`src/${folder} may not import ${imported}`);
    }
    for (const entry of mayImport) {
      if (![...imports].some((imported) => covers(entry, imported)))
        lines.push(`src/${folder} does not import ${entry}`);
    }
  }
  for (const { folder } of rows) if (!folders.has(folder)) lines.push(`src/${folder} has a row, but no files`);
  return lines;
}
