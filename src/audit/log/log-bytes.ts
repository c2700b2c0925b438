/**
 * The plain bytes of a log file, wherever they come from: a file, standard input, or compressed data, recognized by its first bytes, not by
 * its name. gzip is unpacked here, zstd too where Node can; the usual programs unpack the rest.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import { type Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as zlib from 'node:zlib';
import { isSameFile } from '../../system/file-identity.js';
import { errorCode } from '../../system/system-error.js';
import { AuditReadError } from './errors.js';

/** Bytes read so far of a file, and how many it has on the disk. */
export type Progress = (file: string, read: number, size: number) => void;

/** How much is read at once. */
export const CHUNK = 256 * 1024;

interface Compression {
  readonly name: string;
  readonly magic: readonly number[];
  /** Unpacks it; without it `program` does, which reads standard input when called with `-dc`. */
  readonly unpack?: ((chunkSize: number) => Duplex) | undefined;
  readonly program: string;
}

/** Node has it from 22.15 on. */
function zstdOfNode(): ((chunkSize: number) => Duplex) | undefined {
  const make: unknown = Reflect.get(zlib, 'createZstdDecompress');
  // The types are those of a Node that does not have it
  return typeof make === 'function' ? (chunkSize) => make({ chunkSize }) as Duplex : undefined;
}

const COMPRESSIONS: readonly Compression[] = [
  { name: 'gzip', magic: [0x1f, 0x8b], unpack: (chunkSize) => zlib.createGunzip({ chunkSize }), program: 'gzip' },
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: zstdOfNode(), program: 'zstd' },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], program: 'xz' },
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68], program: 'bzip2' },
];
const LONGEST_MAGIC = 6;

function compressionOf(beginning: Uint8Array): Compression | null {
  return COMPRESSIONS.find(({ magic }) => magic.every((byte, at) => beginning[at] === byte)) ?? null;
}

/** How a file can be read: from anywhere in it, from its beginning, or from its beginning and by another program. */
export type Access = 'anywhere' | 'in order' | 'by program';

/** @param handle of an open file */
export async function accessTo(handle: FileHandle): Promise<Access> {
  const magic = Buffer.alloc(LONGEST_MAGIC);
  const { bytesRead } = await handle.read(magic, 0, LONGEST_MAGIC, 0);
  const compression = compressionOf(magic.subarray(0, bytesRead));
  if (compression === null) return 'anywhere';
  return compression.unpack === undefined ? 'by program' : 'in order';
}

export interface BytesOptions {
  /** The byte to begin with, in a file that is not compressed. */
  readonly start?: number;
  readonly progress?: Progress | undefined;
  /** How much is read at once; `CHUNK` by default. */
  readonly chunk?: number;
  /** Opens the file again for each piece, so that any number of them can be read beside each other. */
  readonly letsGo?: boolean;
}

/**
 * @param file a path, or `-` for standard input
 * @throws AuditReadError and the system's errors, by the iterator
 */
export async function* logBytes(file: string, options: BytesOptions = {}): AsyncGenerator<Buffer> {
  const { start = 0 } = options;
  const raw = file === '-' ? standardInput() : fileBytes(file, start, options);
  const beginning: Buffer[] = [];
  let length = 0;
  let isOver = false;
  while (length < LONGEST_MAGIC && !isOver) {
    const next = await raw.next();
    isOver = next.done === true;
    if (next.done === true) break;
    beginning.push(next.value);
    length += next.value.length;
  }
  const all = rejoined(beginning, raw);
  const compression = start > 0 ? null : compressionOf(Buffer.concat(beginning));
  if (compression === null) yield* all;
  else if (compression.unpack === undefined) yield* unpackedByProgram(all, compression, file);
  else yield* unpacked(all, compression.unpack(options.chunk ?? CHUNK));
}

async function* rejoined(first: readonly Buffer[], rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* first;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

async function* standardInput(): AsyncGenerator<Buffer> {
  for await (const chunk of process.stdin) yield Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
}

async function* fileBytes(file: string, start: number, options: BytesOptions): AsyncGenerator<Buffer> {
  const { progress, chunk: size = CHUNK, letsGo = false } = options;
  let handle = await open(file, 'r');
  try {
    const first = await handle.stat();
    for (let position = start; ; ) {
      const chunk = Buffer.allocUnsafeSlow(size);
      const { bytesRead } = await handle.read(chunk, 0, size, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      progress?.(file, position - start, first.size - start);
      if (letsGo) await handle.close();
      yield chunk.subarray(0, bytesRead);
      if (!letsGo) continue;
      handle = await open(file, 'r');
      if (!isSameFile(first, await handle.stat())) {
        throw new AuditReadError('it was rotated during reading: try again, or name fewer logs at once');
      }
    }
  } finally {
    await handle.close();
  }
}

async function* unpacked(packed: AsyncGenerator<Buffer>, unpack: Duplex): AsyncGenerator<Buffer> {
  // A failure destroys the stream, and the loop throws it.
  pipeline(Readable.from(packed), unpack).catch(() => undefined);
  for await (const chunk of unpack) yield chunk as Buffer; // zlib's streams give buffers
}

/** The longest part shown of a program's complaint, in characters. */
const MOST_COMPLAINT = 500;

async function* unpackedByProgram(
  packed: AsyncGenerator<Buffer>,
  { name, program }: Compression,
  file: string,
): AsyncGenerator<Buffer> {
  const child = spawn(program, ['-dc'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, MOST_COMPLAINT);
  });
  const ended = once(child, 'close').then(([code]) => Number(code));
  ended.catch(() => undefined); // that it could not be started is thrown below
  // A program that ends early closes its standard input; its exit code says more.
  pipeline(Readable.from(packed), child.stdin).catch(() => undefined);
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer; // no encoding is set
    const code = await ended;
    if (code !== 0) throw new AuditReadError(`${program} -dc: ${complaint.trim() || `exit code ${code}`}`);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    const where = file === '-' ? 'it' : file;
    throw new AuditReadError(
      `it is compressed with ${name}, and there is no program ${program} to unpack it: install ${program}, or pipe the output of "${program} -dc ${where}" from another host, with - as the file`,
      { cause: error },
    );
  } finally {
    if (child.exitCode === null && child.pid !== undefined) child.kill();
  }
}
