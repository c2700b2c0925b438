/** Output that cannot be written is an error of every subcommand; a reader that has had enough is none. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SUBCOMMANDS } from '../../../dist/cli/subcommands.js';
import { startDaemon } from '../../support/daemon/daemon.js';
import { suiteScope } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';

const program = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));
const LOST = 'qmpmux: cannot write to standard output: ENOSPC: no space left on device, write\n';

const names = Object.entries(SUBCOMMANDS).flatMap(([name, entry]) =>
  'load' in entry ? [[name]] : Object.keys(entry.commands).map((inner) => [name, inner]),
);

/** Runs qmpmux with standard output on a full disk. */
function runOnFull(words: readonly string[], input = '') {
  const full = openSync('/dev/full', constants.O_WRONLY);
  try {
    const { status, stderr } = spawnSync(process.execPath, [program, ...words], {
      input,
      stdio: ['pipe', full, 'pipe'],
      env: { ...process.env, QMPMUX_SOCKET: '' },
    });
    return { status, errors: stderr.toString() };
  } finally {
    closeSync(full);
  }
}

describe('on a full disk', () => {
  for (const words of [...names.map((name) => [...name, '--help']), ['--help'], ['audit', '--help'], ['--version']]) {
    it(`qmpmux ${words.join(' ')} ends with 74, and says why`, () => {
      assert.deepEqual(runOnFull(words), { status: 74, errors: LOST });
    });
  }
});

describe('with a VM', { skip: missing('qemu') }, () => {
  const scope = suiteScope();
  let ctl = '';
  let audit = '';
  let folder = '';
  before(async () => {
    const qemu = await startQemu(scope);
    folder = qemu.folder;
    ctl = join(folder, 'ctl');
    audit = join(folder, 'vm.audit');
    const words = ['--upstream', qemu.monitor, '--listen', `${ctl},extensions=on`, '--audit', audit];
    await startDaemon(scope, words).ready();
  });

  const commands: readonly (readonly [words: () => readonly string[], input?: string])[] = [
    [() => ['exec', ctl, 'query-qmp-schema']],
    [() => ['exec', ctl, 'query-status', '--fields', 'status']],
    [() => ['exec', ctl, '-'], 'query-status\nquery-name\n'],
    [() => ['hmp', ctl, 'info', 'version']],
    [() => ['shell', ctl], 'query-status\n'],
    [() => ['shell', '-H', ctl], 'info version\n'],
    [() => ['events', ctl, '--since', '0']],
    [() => ['status', ctl]],
    [() => ['status', '--json', ctl]],
    [() => ['status', '--check', ctl]],
    [() => ['clients', ctl]],
    [() => ['queue', ctl]],
    [() => ['top', ctl, '--count', '1', '--interval', '0.1']],
    [() => ['demo', '--simulated']],
    [() => ['completion', 'bash']],
    [() => ['completion', 'zsh']],
    [() => ['policy', 'test', 'read-only', 'query-status']],
    [() => ['serve', '--check', '--upstream', '/x', '--listen', '/y']],
    [() => ['audit', 'show', audit]],
    [() => ['audit', 'stats', audit]],
    [() => ['audit', 'verify', audit]],
  ];
  for (const [words, input] of commands) {
    it(`qmpmux ${words().filter(Boolean).join(' ')} ends with 74 where the disk is full`, () => {
      const { status, errors } = runOnFull(words(), input);
      assert.equal(status, 74, errors);
      assert.ok(errors.endsWith(LOST), errors);
    });
  }

  it('a disk that fills up under way costs no byte in silence', () => {
    // A limit of the shell's stands for the disk: what is beyond it is not written, and the write before is cut.
    const file = join(folder, 'schema.json');
    const command = `ulimit -f 16; trap '' XFSZ; exec "$0" "$@" > ${file}`;
    const words = [process.execPath, program, 'exec', ctl, 'query-qmp-schema'];
    const { status, stderr } = spawnSync('sh', ['-c', command, ...words]);
    assert.ok(statSync(file).size > 0);
    assert.throws(() => JSON.parse(readFileSync(file, 'utf8')) as unknown);
    assert.equal(status, 74, stderr.toString());
  });

  const endless: readonly (readonly [words: () => readonly string[], input: string])[] = [
    [() => ['exec', ctl, '-'], 'query-status\n'],
    [() => ['shell', ctl], 'query-status\n'],
    [() => ['top', ctl, '--interval', '0.1'], ''],
  ];
  for (const [words, input] of endless) {
    it(`qmpmux ${words().filter(Boolean).join(' ')} ends in silence when its reader leaves`, async () => {
      const child = spawn(process.execPath, [program, ...words()], { stdio: 'pipe' });
      let errors = '';
      child.stderr.on('data', (chunk: Buffer) => {
        errors += chunk.toString();
      });
      child.stdin.on('error', () => {});
      const feeding = setInterval(() => child.stdin.write(input), 10);
      child.stdout.once('data', () => child.stdout.destroy());
      const code = await new Promise((resolve) => child.once('close', resolve));
      clearInterval(feeding);
      assert.deepEqual({ code, errors }, { code: 0, errors: '' });
    });
  }
});
