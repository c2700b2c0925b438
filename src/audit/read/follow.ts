/** The lines of a log that is being written, those that are there and those that come: `tail -F` that loses nothing when the file is rotated. */

import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { isSameFile } from '../../system/file-identity.js';
import { errorCode, systemReason } from '../../system/system-error.js';
import { AuditReadError } from '../log/errors.js';
import { LineGate } from '../log/line-gate.js';
import { LONGEST_LINE, unwrapped } from '../log/log-lines.js';

/** How often it is looked for more, in milliseconds. */
const LOOK_INTERVAL_MS = 100;
const CHUNK_BYTES = 64 * 1024;

/**
 * @param path of the log; it need not be there yet
 * @param signal ends it
 * @param idle called whenever there is nothing more for the moment
 * @param start the byte from which on lines are wanted; of a line that began before it, nothing is
 * @throws AuditReadError by the iterator
 */
export async function* follow(path: string, signal: AbortSignal, idle: () => void, start = 0): AsyncGenerator<string> {
  // The byte before it ends a line, or is part of one that is not wanted.
  let position = Math.max(0, start - 1);
  let isWanted = start === 0;
  let gate = new LineGate(LONGEST_LINE);
  let handle = await openIfThere(path);
  try {
    while (!signal.aborted) {
      // The kept beginning of an unfinished line must not be overwritten.
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const { bytesRead } = handle === null ? { bytesRead: 0 } : await handle.read(chunk, 0, CHUNK_BYTES, position);
      if (bytesRead > 0) {
        position += bytesRead;
        for (const { bytes } of gate.push(chunk.subarray(0, bytesRead))) {
          for (const line of bytes.toString('utf8', 0, bytes.length - 1).split('\n')) {
            if (isWanted) yield unwrapped(line) ?? line;
            isWanted = true;
          }
        }
        continue;
      }
      // Only at its end: the writer may still have added lines to a rotated file before it closed it.
      const next = await successor(path, handle, position);
      if (next !== null) {
        await handle?.close();
        handle = next;
        position = 0;
        isWanted = true;
        gate = new LineGate(LONGEST_LINE);
        continue;
      }
      idle();
      await delay(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    await handle?.close();
  }
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw new AuditReadError(`${path} cannot be read: ${systemReason(error)}`, { cause: error });
  }
}

/** @returns the file that has taken the place of the one that is being read and has been read to its end, or null. */
async function successor(path: string, handle: FileHandle | null, position: number): Promise<FileHandle | null> {
  const now = await stat(path, { bigint: true }).catch(() => null);
  if (now === null) return null;
  if (handle === null) return await openIfThere(path);
  const old = await handle.stat({ bigint: true });
  // The same, unless somebody has emptied it.
  if (isSameFile(old, now)) return now.size < BigInt(position) ? await openIfThere(path) : null;
  // The new file has a record that was written after the last one of the old: look at that once more.
  if (now.size === 0n || old.size > BigInt(position)) return null;
  return await openIfThere(path);
}
