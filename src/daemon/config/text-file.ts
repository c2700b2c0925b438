/** Texts that somebody else has written, perhaps by mistake: a config, a file of rules. Read whole, so they are bounded. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { kindOf } from '../../net/listen/socket-file.js';

/** The most bytes read of one file. A config of ten thousand monitors has a tenth of it. */
export const MOST_TEXT = 16 * 1024 * 1024;
const CHUNK = 64 * 1024;

/**
 * Reads a file.
 * @param isRegular whether it must be a regular one (links to one are followed): other things found in a folder are not waited for
 * @returns its text; bytes that are no UTF-8 are replaced
 * @throws Error of the system, or one that names the kind of file it is instead, or says that it is too large
 */
export function readTextFile(path: string, isRegular: boolean): string {
  // Without O_NONBLOCK the open of a named pipe would wait for somebody to write.
  const fd = openSync(path, constants.O_RDONLY | (isRegular ? constants.O_NONBLOCK : 0));
  try {
    const found = fstatSync(fd);
    if (isRegular && !found.isFile()) throw new Error(`it is ${kindOf(found)}, not a regular file`);
    const chunks: Buffer[] = [];
    let length = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK);
      const count = readSync(fd, chunk);
      if (count === 0) return Buffer.concat(chunks, length).toString('utf8');
      length += count;
      if (length > MOST_TEXT) throw new Error(`it has more than ${MOST_TEXT / 1024 / 1024} MiB`);
      chunks.push(chunk.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
}
