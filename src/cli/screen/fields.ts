/** `--fields`: members picked out of a value by dotted paths, for scripts: one line a row, the fields with tabs between them. */
import { formatJson, isJsonArray, isJsonObject, type JsonValue } from '../../qmp/json/value.js';
import { nearest } from '../../shared/spelling.js';

/** The names on the way to a member; a number is an index of a list. */
export type FieldPath = readonly string[];

/** @returns the paths of `a.b,c`, or null where one of them is empty. */
export function parseFields(text: string): FieldPath[] | null {
  const paths = text.split(',').map((path) => path.trim().split('.'));
  return paths.some((path) => path.includes('')) ? null : paths;
}

export interface MissingField {
  readonly path: FieldPath;
  /** In a few words. */
  readonly problem: string;
}

export interface Picked {
  /** A line for a value, or for each item of a list. */
  readonly lines: readonly string[];
  /** Fields found in no row, though there are rows; a member that only some rows have is not listed. */
  readonly missing: readonly MissingField[];
}

/**
 * Picks fields. Text stays unchanged, except for control characters, which are escaped; other values are JSON; a missing value is empty.
 */
export function pickFields(value: JsonValue, paths: readonly FieldPath[]): Picked {
  const rows = isJsonArray(value) ? value : [value];
  const lines = rows.map((row) => paths.map((path) => cell(at(row, path))).join('\t'));
  const missing: MissingField[] = [];
  for (const path of paths) {
    if (rows.length === 0 || rows.some((row) => at(row, path) !== undefined)) continue;
    missing.push({ path, problem: describeMissing(rows, path) });
  }
  return { lines, missing };
}

function at(value: JsonValue | undefined, path: FieldPath): JsonValue | undefined {
  let found = value;
  for (const name of path) found = member(found, name);
  return found;
}

function member(value: JsonValue | undefined, name: string): JsonValue | undefined {
  if (isJsonArray(value)) return /^\d+$/.test(name) ? value[Number(name)] : undefined;
  return isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function cell(value: JsonValue | undefined): string {
  if (value === undefined) return '';
  if (typeof value !== 'string') return formatJson(value);
  // A tab or a line break would tear the row.
  // oxlint-disable-next-line no-control-regex
  return value.replace(/[\u0000-\u001f\u007f]/g, (character) => JSON.stringify(character).slice(1, -1));
}

function describeMissing(rows: readonly JsonValue[], path: FieldPath): string {
  const depth = path.findIndex((_name, index) => !rows.some((row) => at(row, path.slice(0, index + 1)) !== undefined));
  const siblings = rows.map((row) => at(row, path.slice(0, depth))).filter(isJsonObject);
  const near = nearest(path[depth] ?? '', new Set(siblings.flatMap((sibling) => Object.keys(sibling))));
  return `no field ${path.join('.')}${near === null ? '' : `; did you mean ${[...path.slice(0, depth), near].join('.')}?`}`;
}
