/** The lines of a log that is being written, those that are there and those that come: `tail -F` that loses nothing when the file is rotated. */
import { open, stat, type FileHandle } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { systemCode } from './errors.js';

/** How often it is looked for more, in milliseconds. */
const LOOK_EVERY = 100;
const CHUNK = 64 * 1024;
const NEW_LINE = 0x0a;

/**
 * @param path of the log; it need not be there yet
 * @param signal ends it
 * @param idle called whenever there is nothing more for the moment
 */
export async function* follow(path: string, signal: AbortSignal, idle: () => void): AsyncGenerator<string> {
  let position = 0;
  let rest: Buffer[] = [];
  const chunk = Buffer.alloc(CHUNK);
  let handle = await openIfThere(path);
  try {
    while (!signal.aborted) {
      const { bytesRead } = handle === null ? { bytesRead: 0 } : await handle.read(chunk, 0, CHUNK, position);
      if (bytesRead > 0) {
        position += bytesRead;
        const bytes = Buffer.from(chunk.subarray(0, bytesRead));
        let start = 0;
        for (let at = bytes.indexOf(NEW_LINE); at >= 0; at = bytes.indexOf(NEW_LINE, start)) {
          yield Buffer.concat([...rest, bytes.subarray(start, at)]).toString('utf8');
          rest = [];
          start = at + 1;
        }
        if (start < bytes.length) rest.push(bytes.subarray(start));
        continue;
      }
      // Only at its end: what a rotated file got before the writer let go of it is read first.
      const next = await successor(path, handle, position);
      if (next !== null) {
        await handle?.close();
        handle = next;
        position = 0;
        rest = [];
        continue;
      }
      idle();
      await delay(LOOK_EVERY, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    await handle?.close();
  }
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** @returns the file that has taken the place of the one that is being read and has been read to its end, or null. */
async function successor(path: string, handle: FileHandle | null, position: number): Promise<FileHandle | null> {
  const now = await stat(path, { bigint: true }).catch(() => null);
  if (now === null) return null;
  if (handle === null) return await openIfThere(path);
  const old = await handle.stat({ bigint: true });
  // The same, unless somebody has emptied it.
  if (old.ino === now.ino && old.dev === now.dev) return now.size < BigInt(position) ? await openIfThere(path) : null;
  // The new file has a record that was written after the last one of the old: look at that once more.
  if (now.size === 0n || old.size > BigInt(position)) return null;
  return await openIfThere(path);
}
