/** Runs a subcommand that ends by itself, and returns its output. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

export interface RunOptions {
  /** Its standard input; empty by default. */
  readonly input?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Waits for the end of a program. @returns its output, and how it ended */
export function finished(child: ChildProcessWithoutNullStreams): Promise<Finished> {
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  return new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, output, errors }));
  });
}

/** Runs `qmpmux` with these words to its end. */
export function runQmpmux(words: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const env = { ...process.env, QMPMUX_SOCKET: '', ...options.environment };
  const child = spawn(process.execPath, [program, ...words], { env });
  child.stdin.on('error', () => {
    // it ended first
  });
  child.stdin.end(options.input ?? '');
  return finished(child);
}
