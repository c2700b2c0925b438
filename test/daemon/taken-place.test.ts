import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TakenPlace } from '../../dist/daemon/taken-place.js';
import type { Log } from '../../dist/shared/log.js';
import { scratch } from '../support/files/scratch.js';

const PROGRAM = fileURLToPath(new URL('../../bin/qmpmux.js', import.meta.url));

async function listenAt(t: TestContext, path: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  return server;
}

test('if QEMU’s socket cannot be put back, the log has a command that does it later', async (t) => {
  const folder = join(scratch(t), "it's a folder");
  mkdirSync(folder);
  const path = join(folder, 'q,1');
  const lines: string[] = [];
  const tell = (_fields: unknown, message?: string) => {
    lines.push(message ?? '');
  };
  const log = { trace: tell, debug: tell, info: tell, warn: tell, error: tell } as unknown as Log;
  const place = new TakenPlace(path, log);
  await listenAt(t, `${path}.qemu`);
  const { ino } = lstatSync(`${path}.qemu`);
  const other = await listenAt(t, path);
  await place.giveBack();
  const command = /cannot move QEMU's socket back; to do it later, run: qmpmux (.*)$/.exec(lines.at(-1) ?? '')?.[1];
  assert.ok(command !== undefined, lines.join('\n'));
  await new Promise((resolve) => other.close(resolve));
  // As a shell reads it, from another folder.
  const said = execFileSync('sh', ['-c', `exec "$0" "$1" ${command}`, process.execPath, PROGRAM], {
    encoding: 'utf8',
    cwd: '/',
  });
  assert.equal(said, `qmpmux: restored: ${path}\n`);
  assert.equal(lstatSync(path).ino, ino);
});
