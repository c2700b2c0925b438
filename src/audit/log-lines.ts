/** The lines of log files, plain or compressed, in bounded memory. */
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import split2 from 'split2';
import { AuditReadError, systemReason } from './errors.js';
import { type AuditRecord, parseRecord } from './record.js';

/** One line of a file. */
export interface LogLine {
  readonly file: string;
  /** From 1. */
  readonly number: number;
  /** Without its newline. */
  readonly text: string;
  /** Whether it has a newline: the last one may not, when it is torn or still being written. */
  readonly isWhole: boolean;
  /** Whether its bytes are UTF-8; if not, `text` is not exactly what is there. */
  readonly isUtf8: boolean;
}

/** Bytes read so far of a file, and how many it has on the disk. */
export type Progress = (file: string, read: number, size: number) => void;

/** Longer than the escaped form of the longest message QEMU takes; beyond it something else than a log is being read. */
const LONGEST_LINE = 448 * 1024 * 1024;
const CHUNK = 256 * 1024;

/**
 * Reads a file line by line.
 * @param file a path, or `-` for standard input; gzip is recognised by its first bytes
 * @param visit called for each line, in order
 * @throws AuditReadError
 */
export async function eachLine(file: string, visit: (line: LogLine) => void, progress?: Progress): Promise<void> {
  const guard = new Utf8Guard();
  let number = 0;
  let held: string | null = null;
  const pass = (text: string, isWhole: boolean) => {
    number++;
    visit({ file, number, text, isWhole, isUtf8: !guard.badLines.delete(number) });
  };
  try {
    const source = await openSource(file, progress);
    // What the mapper returns is passed on; nothing is, so nothing piles up.
    const splitter = split2(
      '\n',
      (line) => {
        if (held !== null) pass(held, true);
        held = line;
        return undefined;
      },
      { maxLength: LONGEST_LINE },
    );
    await pipeline([...source, guard, splitter]);
  } catch (error) {
    throw new AuditReadError(`${file} cannot be read: ${systemReason(error)}`, { cause: error });
  }
  if (held !== null) pass(held, guard.endsWithNewLine);
}

/** As `eachLine`, for a reader that needs time for each line. @throws AuditReadError */
export async function* readLines(file: string, progress?: Progress): AsyncGenerator<string> {
  const splitter = split2('\n', { maxLength: LONGEST_LINE });
  try {
    const source = await openSource(file, progress);
    // What goes wrong destroys the splitter, and is thrown by the loop.
    pipeline([...source, splitter]).catch(() => undefined);
    for await (const line of splitter) yield String(line);
  } catch (error) {
    throw new AuditReadError(`${file} cannot be read: ${systemReason(error)}`, { cause: error });
  }
}

/** @returns the streams that give a file's plain bytes. */
async function openSource(file: string, progress?: Progress): Promise<[Readable, ...Transform[]]> {
  if (file === '-') return [process.stdin];
  const handle = await open(file, 'r');
  const { size } = await handle.stat();
  const magic = Buffer.alloc(2);
  await handle.read(magic, 0, 2, 0);
  await handle.close();
  const raw = createReadStream(file, { highWaterMark: CHUNK });
  if (progress !== undefined) {
    raw.on('data', () => {
      progress(file, raw.bytesRead, size);
    });
  }
  const isCompressed = magic[0] === 0x1f && magic[1] === 0x8b;
  return isCompressed ? [raw, createGunzip({ chunkSize: CHUNK })] : [raw];
}

/**
 * Puts a log's files into the order in which they were written, by the numbers of their first records.
 * @throws AuditReadError
 */
export async function inOrder(files: readonly string[]): Promise<string[]> {
  const firsts = await Promise.all(
    files.map(async (file) => ({ file, first: files.length > 1 ? await firstRecord(file) : null })),
  );
  return firsts.sort((a, b) => (a.first?.seq ?? 0) - (b.first?.seq ?? 0)).map(({ file }) => file);
}

async function firstRecord(file: string): Promise<AuditRecord | null> {
  if (file === '-') return null;
  for await (const line of readLines(file)) {
    const record = parseRecord(line);
    if (record !== null) return record;
  }
  return null;
}

const NEW_LINE = 0x0a;

/** Passes bytes on, and notes the lines that are not UTF-8, which decoding would hide. */
class Utf8Guard extends Transform {
  readonly badLines = new Set<number>();
  endsWithNewLine = true;
  #line = 1;
  /** The beginning of a line that goes on in the next chunk, if it ends in the middle of a character. */
  #rest = Buffer.alloc(0);

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: (error: null, chunk: Buffer) => void): void {
    if (chunk.length > 0) {
      this.endsWithNewLine = chunk.at(-1) === NEW_LINE;
      this.#look(this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]));
    }
    done(null, chunk);
  }

  override _flush(done: () => void): void {
    if (this.#rest.length > 0) this.badLines.add(this.#line);
    done();
  }

  #look(bytes: Buffer): void {
    const end = bytes.length - unfinished(bytes);
    this.#rest = Buffer.from(bytes.subarray(end));
    const whole = bytes.subarray(0, end);
    const isGood = isUtf8(whole);
    let start = 0;
    for (let at = whole.indexOf(NEW_LINE); at >= 0; at = whole.indexOf(NEW_LINE, start)) {
      if (!isGood && !isUtf8(whole.subarray(start, at))) this.badLines.add(this.#line);
      this.#line++;
      start = at + 1;
    }
    if (!isGood && !isUtf8(whole.subarray(start))) this.badLines.add(this.#line);
  }
}

/** @returns how many bytes at the end are the beginning of a character of more. */
function unfinished(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return back < length ? back : 0;
    }
  }
  return 0;
}
