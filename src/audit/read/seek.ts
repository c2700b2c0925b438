/**
 * Finds where a time begins in a log, by binary search: a log is written in the order of time. Only a host's clock that is set back breaks
 * that order, which `MARGIN` allows for; where records are out of order by more, the log must be read from its beginning.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { timeOf } from './moment.js';

/** How far the clock may have been set back while the log was written, in milliseconds. */
export const MARGIN = 60_000;

const BLOCK_BYTES = 64 * 1024;
/** A line begins with its time; where a transport has wrapped it, host and program come first. */
const LINE_START_BYTES = 2048;
const LAST_PART_BYTES = 1024 * 1024;
const NEW_LINE = 0x0a;
const TIMES = /"time":"(\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d))","mono":(\d{1,16})[,}]/;

/** The position of a record and its time, in milliseconds: since 1970, and since the host was started. */
export interface Place {
  /** The byte at which its line begins. */
  readonly start: number;
  readonly time: number;
  readonly mono: number;
}

/** @returns the place of the record in a line, if it is one. @param line its beginning will do */
function placeOf(line: string, start: number): Place | null {
  const match = TIMES.exec(line);
  const time = timeOf(match?.[1] ?? '');
  return time === null ? null : { start, time, mono: Number(match?.[2]) / 1000 };
}

/** @returns whether the host's clock was set back, by more than is allowed for, from one record to a later one. */
export function isSetBack(before: Pick<Place, 'time' | 'mono'>, after: Pick<Place, 'time' | 'mono'>): boolean {
  // Both clocks run alike; of different starts of the host nothing can be said.
  return after.mono >= before.mono && after.time - after.mono < before.time - before.mono - MARGIN;
}

/** @returns the last record of a file that is not compressed, if one begins in its last megabyte. */
export async function lastPlace(path: string): Promise<Place | null> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const start = Math.max(0, size - LAST_PART_BYTES);
    const bytes = Buffer.alloc(Math.min(size, LAST_PART_BYTES));
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
    for (let end = bytesRead; end > 0; ) {
      const at = bytes.lastIndexOf(NEW_LINE, end - 1);
      const place =
        at < 0 && start > 0
          ? null
          : placeOf(bytes.toString('latin1', at + 1, at + 1 + LINE_START_BYTES), start + at + 1);
      if (place !== null || at < 0) return place;
      end = at;
    }
    return null;
  } finally {
    await handle.close();
  }
}

/**
 * @param path of a file that is not compressed
 * @param time milliseconds since 1970
 * @param count called with the number of bytes of each piece that is read
 * @returns the byte where a line begins before which there is no record of `time` or later; 0 where the order of the log is in doubt
 */
export async function seekTime(
  path: string,
  time: number,
  count: (bytes: number) => void = () => undefined,
): Promise<number> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    return await new Search(handle, count).find(time - MARGIN, size);
  } finally {
    await handle.close();
  }
}

class Search {
  readonly #handle: FileHandle;
  readonly #count: (bytes: number) => void;
  readonly #block = Buffer.allocUnsafe(BLOCK_BYTES);

  constructor(handle: FileHandle, count: (bytes: number) => void) {
    this.#handle = handle;
    this.#count = count;
  }

  async find(time: number, size: number): Promise<number> {
    /** The last line that is known to be too early, and the first that is late enough. */
    let early: Place | null = null;
    let late: Place | null = null;
    let low = 0;
    let high = size;
    while (high - low > BLOCK_BYTES) {
      const middle = Math.floor((low + high) / 2);
      const place = await this.#placeBehind(middle, high);
      if (place === null) {
        high = middle;
        continue;
      }
      if ((early !== null && isOutOfOrder(early, place)) || (late !== null && isOutOfOrder(place, late))) return 0;
      if (place.time < time) {
        early = place;
        low = place.start;
      } else {
        late = place;
        high = middle;
      }
    }
    return early?.start ?? 0;
  }

  /** @returns the first line that begins after `start` and before `end` and is a record, or null. */
  async #placeBehind(start: number, end: number): Promise<Place | null> {
    let position = start;
    let isWithin = true;
    while (position < end) {
      const { bytesRead } = await this.#handle.read(
        this.#block,
        0,
        Math.min(BLOCK_BYTES, end + LINE_START_BYTES - position),
        position,
      );
      this.#count(bytesRead);
      if (bytesRead === 0) return null;
      let from = 0;
      while (from < bytesRead) {
        if (isWithin) {
          const at = this.#block.subarray(0, bytesRead).indexOf(NEW_LINE, from);
          if (at < 0) break;
          from = at + 1;
          isWithin = false;
          continue;
        }
        // Its beginning may lie in the next block.
        if (bytesRead - from < LINE_START_BYTES && bytesRead === BLOCK_BYTES) break;
        const lineStart = position + from;
        if (lineStart >= end) return null;
        const text = this.#block.toString('latin1', from, Math.min(bytesRead, from + LINE_START_BYTES));
        const place = placeOf(text.split('\n', 1)[0] ?? '', lineStart);
        if (place !== null) return place;
        isWithin = true;
      }
      position += isWithin ? bytesRead : Math.min(from, bytesRead);
    }
    return null;
  }
}

function isOutOfOrder(before: Place, after: Place): boolean {
  return after.time < before.time - MARGIN || isSetBack(before, after);
}
