/**
 * Terminals in which the lines of a page are typed, and what their screens must have in common with the page: everything
 * but what is different each time, such as times and process ids.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Terminal } from '../support/daemon/terminal.js';
import type { Scope } from '../support/files/scratch.js';
import { pathWithQemu } from '../support/qemu/qemu.js';

const qmpmux = fileURLToPath(new URL('../../bin/qmpmux.js', import.meta.url));

/** A screen's size, in characters. */
export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

/** Prepares a folder to work in. @returns what opens a terminal there, in which bash has the commands `qmpmux` and QEMU */
export function terminalsIn(scope: Scope, folder: string): (size: ScreenSize) => Promise<Terminal> {
  const programs = join(folder, '.bin');
  mkdirSync(programs);
  writeFileSync(join(programs, 'qmpmux'), `#!/bin/sh\nexec "${process.execPath}" "${qmpmux}" "$@"\n`, { mode: 0o755 });
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
