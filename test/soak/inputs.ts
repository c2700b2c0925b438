/** The fuzz tests of what clients and QEMU may send, in a process of their own, for the number of inputs they have tried. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const FILES = ['client-input', 'many-clients', 'any-upstream', 'upstream-input'];

export interface Inputs {
  readonly tried: number;
  /** What the tests wrote, where they failed. */
  readonly failure: string | null;
}

/** @param runs as QMPMUX_FUZZ_RUNS: shared out among all properties */
export async function tryInputs(runs: number, seed: number): Promise<Inputs> {
  const files = FILES.map((name) => fileURLToPath(new URL(`../fuzz/${name}.test.js`, import.meta.url)));
  const env = { ...process.env, QMPMUX_FUZZ_RUNS: String(runs), QMPMUX_FUZZ_SEED: String(seed % 0x7fffffff) };
  // A test that starts tests: without this the inner ones would report to the outer run.
  Reflect.deleteProperty(env, 'NODE_TEST_CONTEXT');
  const child = spawn(process.execPath, ['--test', '--test-reporter=spec', ...files], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const code = await new Promise((resolve) => {
    child.once('close', resolve);
  });
  const tried = [...text.matchAll(/: (\d+) runs;/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  return { tried, failure: code === 0 && tried > 0 ? null : text };
}
