/** What runs at a terminal ends with it, though nobody sends SIGHUP; and a home that can hold no history costs the history alone. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startDaemon } from '../../support/daemon/daemon.js';
import { Terminal } from '../../support/daemon/terminal.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';

const program = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));

describe('at a terminal', { skip: missing('qemu', 'socat', 'tmux') }, () => {
  const scope = suiteScope();
  let ctl = '';
  before(async () => {
    const qemu = await startQemu(scope);
    ctl = join(qemu.folder, 'ctl');
    await startDaemon(scope, ['--upstream', qemu.monitor, '--listen', `${ctl},extensions=on`]).ready();
  });

  /** A terminal whose other end writes what it shows to a file. */
  async function terminal(t: TestContext) {
    const folder = scratch(t);
    const link = join(folder, 'tty');
    const shown = join(folder, 'shown');
    const reader = spawn('socat', ['-u', `PTY,link=${link}`, `CREATE:${shown}`], { stdio: 'ignore' });
    t.after(() => reader.kill('SIGKILL'));
    while (!existsSync(link)) await setTimeout(10);
    return { tty: openSync(link, constants.O_RDWR | constants.O_NOCTTY), reader, shown };
  }

  const commands: readonly (readonly [words: () => readonly string[], shows: RegExp])[] = [
    [() => ['shell', ctl], /\(QEMU\) /],
    [() => ['shell', '-H', ctl], /\(qemu\) /],
    [() => ['top', ctl], /\[H/],
    [() => ['events', '--loop', ctl], /^/],
  ];
  for (const [words, shows] of commands) {
    it(`qmpmux ${words().filter(Boolean).join(' ')} ends when its terminal is gone`, async (t) => {
      const { tty, reader, shown } = await terminal(t);
      const home = scratch(t);
      // As nohup has it.
      const line = ['-c', `trap '' HUP; exec "$0" "$@"`, process.execPath, program, ...words()];
      const env = { ...process.env, HOME: home, XDG_STATE_HOME: '', TERM: 'xterm', QMPMUX_SOCKET: '' };
      const child = spawn('sh', line, { stdio: [tty, tty, tty], env });
      t.after(() => child.kill('SIGKILL'));
      closeSync(tty);
      const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
      while (!existsSync(shown) || !shows.test(readFileSync(shown, 'utf8'))) await setTimeout(20);
      reader.kill('SIGKILL');
      const [code, signal] = await exited;
      assert.equal(signal, null);
      assert.ok(code === 0 || code === 74, String(code));
    });
  }

  const homes: readonly (readonly [name: string, home: (folder: string) => string])[] = [
    ['in /proc', () => '/proc/self'],
    ['that is a file', (folder) => fileAt(join(folder, 'file'))],
    ['that is relative', () => 'home'],
    ['that is empty', () => ''],
    ['in a loop of links', (folder) => linkAt(join(folder, 'loop'), join(folder, 'loop'))],
    ['where a pipe has the place', (folder) => homeWith(folder, (file) => execFileSync('mkfifo', [file]))],
    ['where a folder has the place', (folder) => homeWith(folder, (file) => mkdirSync(file))],
    ['where a device has the place', (folder) => homeWith(folder, (file) => symlinkSync('/dev/zero', file))],
    ['whose disk is full', (folder) => homeWith(folder, (file) => symlinkSync('/dev/full', file))],
  ];
  for (const [name, home] of homes) {
    it(`the shell does without a history in a home ${name}, and says so once`, async (t) => {
      const environment = { HOME: home(scratch(t)), XDG_STATE_HOME: '' };
      const words = [process.execPath, program, 'shell', ctl];
      const terminalOfShell = await Terminal.start(t, words, { environment, columns: 160 });
      await terminalOfShell.shows('(QEMU)');
      await terminalOfShell.enter('query-name');
      await terminalOfShell.shows(/\{\}\n\(QEMU\)$/);
      await terminalOfShell.enter('query-name');
      const screen = await terminalOfShell.shows(/\{\}\n[^]*\{\}\n\(QEMU\)$/);
      assert.equal(screen.split('no history is kept').length, 2, screen);
      await terminalOfShell.press('C-d');
      assert.equal(await terminalOfShell.exited(), 0);
    });
  }
});

function fileAt(path: string): string {
  writeFileSync(path, '');
  return path;
}

function linkAt(path: string, target: string): string {
  symlinkSync(target, path);
  return path;
}

/** @returns a home in which something else has the history's place */
function homeWith(folder: string, put: (file: string) => void): string {
  const below = join(folder, '.local/state/qmpmux');
  mkdirSync(below, { recursive: true });
  put(join(below, 'history'));
  chmodSync(below, 0o700);
  return folder;
}
