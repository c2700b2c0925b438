/** qmpmux top in a real terminal, on a real QEMU. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { blockage } from '../../support/daemon/blockage.js';
import { startDaemon } from '../../support/daemon/daemon.js';
import { startProgram } from '../../support/daemon/program.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { Terminal } from '../../support/daemon/terminal.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

const PROGRAM = join(process.cwd(), 'bin/qmpmux.js');

async function serve(context: TestContext) {
  const qemu = await startQemu(context);
  const socket = join(qemu.folder, 'control');
  const daemon = startDaemon(context, ['--upstream', qemu.monitor, '--listen', `unix:${socket},extensions=on`]);
  await daemon.ready();
  return { qemu, daemon, socket };
}

function start(
  context: TestContext,
  socket: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<Terminal> {
  const words = [process.execPath, PROGRAM, 'top', socket, '--interval', '0.2'];
  return Terminal.start(context, words, { columns: 120, rows: 12, environment });
}

describe('qmpmux top', { skip: missing('qemu', 'tmux') }, () => {
  it('shows who blocks while it does, fills the screen after a resize, and leaves at q', async (context) => {
    const { socket } = await serve(context);
    const terminal = await start(context, socket);
    const screen = await terminal.shows(/commands {2}\d/);
    assert.match(screen, /^m0: QEMU \d+\.\d+\.\d+.*, connected for .*, 1 client {2}\d\d:\d\d:\d\d\n/);
    assert.match(screen, /\nq quit {3}space refresh now {3}h help\n*$/);
    assert.match(screen, /\nblocking {2}nobody\n\nCLIENT +CMD\/S +LATENCY .*LISTENER *\n +\d\* +0 +- /);
    const blocked = await blockage(context);
    const blocker = await RawClient.negotiated(`unix:${socket}`);
    await blocker.write(`{${blocked.members}}`);
    await terminal.shows(/blocking {2}client \d, .*: blockdev-add for [\d.]+s, 0 behind it\n/);
    await terminal.shows(/\n +\d +0 +- .*blockdev-add [\d.]+s/);
    await terminal.type('h');
    await terminal.shows(/^q, Ctrl-C +quit\n[^]*\nLATENCY +mean time/);
    await terminal.type('?');
    await terminal.shows(/blocking {2}client \d/);
    await terminal.resize(60);
    const narrow = await terminal.shows(/\nCLIENT(?!.*LISTENER).*\n/);
    for (const line of narrow.split('\n')) assert.ok(line.length <= 60);
    await terminal.shows(/\nblocking {2}client \d.*…\n/);
    blocked.release();
    await terminal.shows(/\nblocking {2}nobody\n/);
    await terminal.type('q');
    assert.equal(await terminal.exited(), 0);
    // The screen is given back.
    assert.ok(!(await terminal.screen()).includes('CLIENT'));
  });

  it('waits for a qmpmux that goes away, and leaves at Ctrl-C though none answers', async (context) => {
    const { qemu, daemon, socket } = await serve(context);
    const terminal = await start(context, socket);
    await terminal.shows(/commands {2}\d/);
    await daemon.stop();
    await terminal.shows(/^unix:.*: no such socket; trying again\nm0: QEMU/);
    assert.ok((await terminal.screen(true)).includes('\x1b[2mm0: QEMU'), 'what is of the past is dimmed');
    const again = startDaemon(context, ['--upstream', qemu.monitor, '--listen', `unix:${socket},extensions=on`]);
    await again.ready();
    await terminal.shows(/^m0: QEMU/);
    // A daemon that is stopped answers nothing.
    again.kill('SIGSTOP');
    await terminal.press('C-c');
    assert.equal(await terminal.exited(), 0);
    again.kill('SIGCONT');
  });

  it('gives the screen back for Ctrl-Z, and takes it again', async (context) => {
    const { socket } = await serve(context);
    const shell = await Terminal.start(context, ['bash', '--norc', '--noprofile'], { columns: 120, rows: 12 });
    await shell.shows(/[$#]$/);
    await shell.enter(`${process.execPath} ${PROGRAM} top ${socket} --interval 0.2`);
    await shell.shows(/^m0: QEMU[^]*\ncommands {2}\d/);
    await shell.press('C-z');
    await shell.shows(/Stopped .*qmpmux/);
    await shell.enter('fg');
    await shell.shows(/^m0: QEMU/);
    await shell.type('q');
    await shell.shows(/[$#]$/);
    // The terminal is not left raw.
    await shell.enter('stty -a');
    await shell.shows(/ icanon /);
  });

  it('has colours on a terminal, and none where NO_COLOR is set', async (context) => {
    const { socket } = await serve(context);
    const coloured = await start(context, socket);
    await coloured.shows(/commands {2}\d/);
    assert.ok((await coloured.screen(true)).includes('\x1b[1mm0: QEMU'));
    const without = await start(context, socket, { NO_COLOR: '1' });
    await without.shows(/commands {2}\d/);
    assert.ok(!(await without.screen(true)).includes('\x1b[1m'));
  });

  it('prints reports one after the other in a pipe, and ends when nobody reads them', async (context) => {
    const { socket } = await serve(context);
    const { code, output, errors } = await runQmpmux(['top', socket, '--count', '2', '--interval', '0.1']);
    assert.deepEqual([code, errors], [0, '']);
    assert.equal(output.match(/^m0: QEMU/gm)?.length, 2);
    assert.ok(!output.includes('\x1b'));
    const piped = `"$0" "$1" top "$2" --interval 0.1 | head -n 1`;
    const { status, stdout } = spawnSync('sh', ['-c', piped, process.execPath, PROGRAM, socket], { encoding: 'utf8' });
    assert.equal(status, 0);
    assert.match(stdout, /^m0: QEMU .*\n$/);
  });

  it('ends with 69 in a pipe when qmpmux goes away', async (context) => {
    const { daemon, socket } = await serve(context);
    const program = startProgram(context, process.execPath, PROGRAM, 'top', socket, '--interval', '0.1');
    await program.reads('blocking');
    await daemon.stop();
    assert.equal(await program.exited, 69);
  });

  it('tells what cannot be asked before it takes the screen', async (context) => {
    const { qemu } = await serve(context);
    for (const [words, code, message] of [
      [[join(qemu.folder, 'nothing')], 69, /no such socket/],
      [['/nowhere', '--interval', '0.01'], 64, /the minimum is 100 ms/],
      [['/nowhere', '--interval', 'x'], 64, /--interval must be a time such as/],
      [['/nowhere', '--count', '0'], 64, /--count must be a number from 1/],
    ] as const) {
      const ended = await runQmpmux(['top', ...words]);
      assert.equal(ended.code, code);
      assert.match(ended.errors, message);
    }
  });
});
