/** Values read from a file, `data=@FILE`: everybody on the host can see a program's arguments. */
import { closeSync, openSync, readSync } from 'node:fs';
import type { ReadValue } from './command-syntax.js';

/** No secret is longer, in bytes. */
const MOST_SECRET_BYTES = 1024 * 1024;
const STDIN = 0;

/** @param hasInput whether standard input is free, for `@-` @returns a reader of such values: their text, without a line feed at its end */
export function valueReader(hasInput: boolean): ReadValue {
  return (name) => {
    if (name === '') return wrong('a file name is missing after the @; write @@ for an @');
    if (name === '-' && !hasInput) return wrong('standard input already holds the commands; name a file');
    try {
      const bytes = name === '-' ? readAll(STDIN) : readFile(name);
      if (bytes.length > MOST_SECRET_BYTES) return wrong(`${name} is longer than ${MOST_SECRET_BYTES} bytes`);
      const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
      return { problem: null, text: text.replace(/\r?\n$/, '') };
    } catch (error) {
      return wrong(
        error instanceof TypeError ? `${name} is not UTF-8` : String(error instanceof Error ? error.message : error),
      );
    }
  };
}

function wrong(problem: string) {
  return { problem, text: '' };
}

function readFile(name: string): Buffer {
  const fd = openSync(name, 'r');
  try {
    return readAll(fd);
  } finally {
    closeSync(fd);
  }
}

/** Reads to the end, or a little more than may be. */
function readAll(fd: number): Buffer {
  const bytes = Buffer.alloc(MOST_SECRET_BYTES + 1);
  let length = 0;
  while (length < bytes.length) {
    const read = readSync(fd, bytes, length, bytes.length - length, null);
    if (read === 0) break;
    length += read;
  }
  return bytes.subarray(0, length);
}
