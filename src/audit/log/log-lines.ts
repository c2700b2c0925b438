/** The lines of log files, plain or compressed, in bounded memory. */

import split2 from 'split2';
import { systemReason } from '../../system/system-error.js';
import { AuditReadError } from './errors.js';
import { LineGate, type LongLine, type Piece } from './line-gate.js';
import { type BytesOptions, logBytes } from './log-bytes.js';
import { memberText } from './member-text.js';

export type { Progress } from './log-bytes.js';

/** One line of a file. */
export interface LogLine {
  readonly file: string;
  /** From 1; from the first line that was read, where the reading began within the file. */
  readonly number: number;
  /** Without its newline. A record that a transport has wrapped is unwrapped. Empty for a line that is too long. */
  readonly text: string;
  /** Whether it has a newline: the last one may not, when it is torn or still being written. */
  readonly isWhole: boolean;
  /** Whether its bytes are UTF-8; if not, `text` differs from the bytes. */
  readonly isUtf8: boolean;
  /** Replaces the text of a line that is longer than `LONGEST_LINE`. */
  readonly longLine: LongLine | null;
}

/** Longer lines are not read, in bytes: the longest command that QEMU takes is half as long, and cannot be longer in a record but by escapes. */
export const LONGEST_LINE = 128 * 1024 * 1024;

interface ReadOptions extends BytesOptions {
  /** Longer lines are not read, in bytes; `LONGEST_LINE` by default. */
  readonly longest?: number;
}

/**
 * Reads a file, a batch of lines for each piece of it.
 * @param file a path, or `-` for standard input; a compressed file is recognised by its first bytes
 * @throws AuditReadError by the iterator
 */
export async function* lineBatches(file: string, options: ReadOptions = {}): AsyncGenerator<LogLine[]> {
  const gate = new LineGate(options.longest ?? LONGEST_LINE);
  const lines = new LineList(file);
  try {
    for await (const chunk of logBytes(file, options)) {
      for (const piece of gate.push(chunk)) await lines.add(piece, true);
      yield lines.take();
    }
    const last = gate.end();
    if (last === null) return;
    await lines.add(last, false);
    yield lines.take();
  } catch (error) {
    throw new AuditReadError(`${file} cannot be read: ${systemReason(error)}`, { cause: error });
  }
}

/** Splits pieces of whole lines. */
class LineList {
  readonly #file: string;
  #texts: string[] = [];
  #lines: LogLine[] = [];
  #number = 0;
  // The mapper returns nothing, so nothing is passed on, and nothing piles up.
  readonly #splitter = split2('\n', (line) => {
    this.#texts.push(line);
    return undefined;
  });

  constructor(file: string) {
    this.#file = file;
  }

  async add({ bytes, badLines, longLine }: Piece, isWhole: boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#splitter.write(bytes, (error) => {
        if (error == null) resolve();
        else reject(error);
      });
    });
    for (const [index, text] of this.#texts.entries()) {
      this.#lines.push({
        file: this.#file,
        number: ++this.#number,
        text: unwrapped(text) ?? text,
        isWhole,
        isUtf8: badLines?.has(index) !== true,
        longLine,
      });
    }
    this.#texts = [];
  }

  take(): LogLine[] {
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }
}

/** How a record begins. */
const RECORD = '{"v":';

/** @returns the record in a line as pino's transports write it (`{"level":30,…,"audit":{…}}`), byte for byte; null where there is none. */
export function unwrapped(line: string): string | null {
  if (line.startsWith(RECORD) || !line.startsWith('{') || !line.includes('"audit":{')) return null;
  const record = memberText(line, 'audit');
  return record?.startsWith(RECORD) === true ? record : null;
}
