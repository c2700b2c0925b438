/**
 * Terminals in which the lines of a page are typed, and what their screens must have in common with the page: everything
 * but what is different each time, such as times and process ids.
 */
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Terminal } from '../support/daemon/terminal.js';
import { removeFolder, type Scope } from '../support/files/scratch.js';
import { pathWithQemu } from '../support/qemu/qemu.js';

const qmpmux = fileURLToPath(new URL('../../bin/qmpmux.js', import.meta.url));

/** A screen's size, in characters. */
export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

/** Ends a process if it still runs, and waits until it is gone; a zombie that nobody fetches is not waited for. */
async function end(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGTERM');
    for (let looks = 0; looks < 100; looks++) {
      await pause(20);
      process.kill(pid, 0);
    }
    process.kill(pid, 'SIGKILL');
  } catch {
    // it is gone
  }
}

/** Prepares a folder to work in. @returns what opens a terminal there, in which bash has the commands `qmpmux` and QEMU */
export function terminalsIn(scope: Scope, folder: string): (size: ScreenSize) => Promise<Terminal> {
  const programs = mkdtempSync(join(tmpdir(), 'qm-bin-'));
  const pids = join(programs, 'pids');
  const script = `#!/bin/sh\necho $$ >>"${pids}"\nexec "${process.execPath}" "${qmpmux}" "$@"\n`;
  writeFileSync(join(programs, 'qmpmux'), script, { mode: 0o755 });
  scope.after(async () => {
    // A daemon outlives its terminal: the hangup makes it read its config again.
    if (existsSync(pids)) for (const pid of readFileSync(pids, 'utf8').split('\n').slice(0, -1)) await end(Number(pid));
    removeFolder(programs);
  });
  const environment = {
    HOME: folder,
    TMPDIR: folder,
    HISTFILE: '',
    PS1: '$ ',
    QMPMUX_SOCKET: '',
    TZ: 'UTC',
  };
  // tmux gives its programs its own PATH, whatever it is to set.
  const path = `PATH=${programs}:${pathWithQemu(scope)}`;
  const shell = ['env', `--chdir=${folder}`, path, 'bash', '--norc', '--noprofile'];
  return (size) => Terminal.start(scope, shell, { ...size, environment });
}

/** @returns a text without what differs between runs, users and versions of QEMU, and without white space. */
export function shape(text: string): string {
  return text
    .replaceAll(/"package": ?"[^"]*"/g, '"package": ""')
    .replaceAll(/(QEMU [\d.]+) \([^)]*\)/g, '$1')
    .replaceAll('"singlestep": false,', '') // until QEMU 8.2
    .replaceAll(/\(pid \d+, [^)]*\)/g, '(pid)')
    .replaceAll(/[\d.]+ ?(?:µs|ms|s)\b/g, '0s')
    .replaceAll(/\/\S*qmpmux-demo-\w{6}/g, '/tmp/qmpmux-demo')
    .replaceAll(/@[0-9a-f]{12}\b/g, '@0')
    .replaceAll(/\d+/g, '0')
    .replaceAll(/\s+/g, '');
}
