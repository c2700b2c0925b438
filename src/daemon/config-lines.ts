/** Where in a TOML text a key is set: the parser gives values only, and a message without a line is half a message. */

/** Keys from the root; a number is an index of an array. */
export type KeyPath = readonly (string | number)[];

/**
 * @returns the line (from 1) of the longest beginning of `path` that has one of its own, or null. Read by lines, so keys inside
 * multi-line values are found at the line of the value.
 */
export function lineOf(toml: string, path: KeyPath): number | null {
  let best: number | null = null;
  let bestLength = 0;
  let table: KeyPath = [];
  const arrays = new Map<string, number>();
  toml.split('\n').forEach((line, index) => {
    const header = /^\s*(\[\[?)\s*([^\]]+?)\s*\]/.exec(line);
    const pair =
      header === null ? /^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=/.exec(line) : null;
    let here: KeyPath;
    if (header !== null) {
      const keys = splitKeys(header[2] ?? '');
      if (header[1] === '[[') {
        const name = JSON.stringify(keys);
        const count = arrays.get(name) ?? 0;
        arrays.set(name, count + 1);
        table = [...keys, count];
      } else {
        table = keys;
      }
      here = table;
    } else if (pair !== null) {
      here = [...table, ...splitKeys(pair[1] ?? '')];
    } else {
      return;
    }
    const shared = commonLength(here, path);
    // A line that leads elsewhere says nothing, but the header of a table says where its keys would be.
    if (shared > bestLength && (shared === here.length || header !== null)) {
      best = index + 1;
      bestLength = shared;
    }
  });
  return best;
}

function commonLength(a: KeyPath, b: KeyPath): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

function splitKeys(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|([\w-]+)/g)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}
