import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { type Daemon, startQmpmux } from '../../support/daemon/daemon.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, pathWithQemu, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

/** Runs a line of the demo's output in a shell. @returns what it printed */
function typed(line: string): Promise<string> {
  return new Promise((resolve) => {
    const shell = spawn('sh', ['-c', line], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    shell.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    shell.once('close', () => resolve(text));
  });
}

/** Waits until the demo has said a text. */
async function said(demo: Daemon, text: string): Promise<void> {
  while (!demo.output.includes(text)) {
    await Promise.race([
      new Promise((resolve) => setTimeout(resolve, 20)),
      demo.exited.then(({ code }) => assert.fail(`the demo ended (${code}): ${demo.output}${demo.errors}`)),
    ]);
  }
}

async function pathOf(demo: Daemon): Promise<string> {
  await said(demo, 'Ctrl-C ends the demo.');
  return / unix:(\S+)$/m.exec(demo.output)?.[1] ?? '';
}

for (const kind of ['simulated', 'real'] as const) {
  describe(`qmpmux demo --${kind}`, { skip: missing('nc', ...(kind === 'real' ? ['qemu'] : [])) }, () => {
    test('shares a VM, and what it says to type works as it stands', async (t) => {
      const demo = startQmpmux(t, ['demo', `--${kind}`], { PATH: pathWithQemu(t) });
      const path = await pathOf(demo);
      assert.match(
        demo.output,
        kind === 'real'
          ? /^Shared: a real VM, paused\./
          : /^Shared: a simulated VM with the recorded answers of QEMU 7\./,
      );
      const own = (what: string) => new RegExp(`^ {2}(\\S.* ${what}\\S* ?.*)$`, 'm').exec(demo.output)?.[1] ?? '';
      assert.match(await typed(own('exec')), /"status": "prelaunch"/);
      assert.match(await typed(own('hmp')), /^VM status: paused \(prelaunch\)$/m);
      assert.match(await typed(`echo query-name | ${own('shell')}`), /^\{"return": \{/);
      assert.match(await typed(`${own('top')} --count 1 --interval 0.1`), /^demo: QEMU [^]*\nCLIENT/);
      assert.match(await typed(own('quit')), /"Command 'quit' is not allowed here \(policy read-only\)"/);
      assert.match(
        await typed(own('audit show')),
        / query-status +ok .*"prelaunch"[^]* quit +denied +policy read-only/,
      );
      const printf = /^ {2}(printf .* \| nc .*)$/m.exec(demo.output)?.[1] ?? '';
      const [greeting, capabilities, status] = (await typed(printf)).split('\r\n');
      assert.match(greeting ?? '', kind === 'real' ? /^\{"QMP": / : /"package": "simulated by qmpmux"/);
      assert.equal(capabilities, '{"return": {}}');
      assert.match(
        status ?? '',
        /^\{"return": \{"status": "prelaunch", (?:"singlestep": false, )?"running": false\}\}$/,
      );

      const commands = [...demo.output.matchAll(/^ {2}(\{.*\})$/gm)].map(([, command = '']) => command);
      assert.equal(commands.length, 3);
      const [negotiate = '', cont = '', stop = ''] = commands;
      const [one, other] = await Promise.all([RawClient.connect(path), RawClient.connect(path)]);
      for (const client of [one, other]) {
        await client.write(`${negotiate}\n`);
        assert.equal((await client.readLines(2))[1], '{"return": {}}');
      }
      await one.write(`${cont}\n${stop}\n`);
      for (let answers = 0; answers < 2; answers++) await one.readLinesUntil((line) => line === '{"return": {}}');
      const seen = await other.readLinesUntil((line) => line.includes('"STOP"'));
      assert.equal(seen.filter((line) => /"(RESUME|STOP)"/.test(line)).length, 2);
      await Promise.all([one.close(), other.close()]);

      assert.deepEqual(await demo.stop('SIGINT'), { code: 0, signal: null });
      assert.ok(!existsSync(dirname(path)), 'the temporary folder is gone, with sockets and audit log');
      assert.equal(demo.errors, '');
    });

    test('goes on with a new VM when a client ends this one', async (t) => {
      const demo = startQmpmux(t, ['demo', `--${kind}`], { PATH: pathWithQemu(t) });
      const client = await RawClient.connect(await pathOf(demo));
      await client.write('{"execute":"qmp_capabilities"}{"execute":"quit"}');
      assert.match((await client.readToEnd()).toString(), /"SHUTDOWN".*\r\n\{"return": \{\}\}\r\n$/);
      await said(demo, 'Clients can connect again');
      const again = await RawClient.connect(await pathOf(demo));
      assert.match(await again.readLine(), /^\{"QMP": /);
      await again.close();
      assert.deepEqual(await demo.stop('SIGTERM'), { code: 0, signal: null });
    });
  });
}

describe('qmpmux demo', () => {
  test('shares a monitor that is there already', { skip: missing('qemu') }, async (t) => {
    const qemu = await startQemu(t, { name: 'mine' });
    const listen = `${scratch(t)}/mux`;
    const demo = startQmpmux(t, ['demo', '--upstream', qemu.monitor, '--listen', listen]);
    assert.equal(await pathOf(demo), listen);
    assert.doesNotMatch(demo.output, /audit/, 'a VM of the user’s own is recorded nowhere');
    const client = await RawClient.connect(listen);
    await client.write('{"execute":"qmp_capabilities"}{"execute":"query-name"}');
    assert.equal((await client.readLines(3))[2], '{"return": {"name": "mine"}}');
    await client.close();
    assert.equal((await demo.stop('SIGINT')).code, 0);
    assert.ok(!existsSync(listen));
    assert.deepEqual(await qemu.execute('query-name'), { name: 'mine' });
  });

  test('says what is wrong with its command line', async (t) => {
    for (const [args, message] of [
      [['--real', '--simulated'], /--simulated and --real cannot be combined/],
      [['--real', '--upstream', 'x'], /--upstream and --real cannot be combined/],
      [['--listen', 'foo:bar'], /unknown scheme "foo"/],
    ] as const) {
      const demo = startQmpmux(t, ['demo', ...args]);
      assert.equal((await demo.exited).code, 64);
      assert.match(demo.errors, message);
      assert.equal(demo.output, '');
    }
  });

  test('says so when QEMU is wanted and not there, and leaves nothing behind', async (t) => {
    const folder = scratch(t);
    const demo = startQmpmux(t, ['demo', '--real'], { PATH: folder, TMPDIR: folder });
    assert.equal((await demo.exited).code, 69);
    assert.match(
      demo.errors,
      /^qmpmux: qemu-system-x86_64 is not installed; without --real the demo simulates a VM\n$/,
    );
    assert.deepEqual(readdirSync(folder), []);
  });

  test('says why QEMU does not run', async (t) => {
    const folder = scratch(t);
    writeFileSync(join(folder, 'qemu-system-x86_64'), '#!/bin/sh\necho first >&2\necho no luck today >&2\nexit 3\n', {
      mode: 0o755,
    });
    const demo = startQmpmux(t, ['demo'], { PATH: `${folder}:${process.env['PATH'] ?? ''}` });
    assert.equal((await demo.exited).code, 69);
    assert.match(demo.errors, /^qmpmux: qemu-system-x86_64 ended \(exit code 3\): no luck today\n$/);
    assert.equal(demo.output, '');
  });

  test('takes a simulated VM where there is no QEMU, and says what will do where there is no nc', async (t) => {
    const folder = scratch(t);
    const demo = startQmpmux(t, ['demo'], { PATH: folder, TMPDIR: folder });
    const path = await pathOf(demo);
    assert.match(demo.output, /a simulated VM/);
    // With neither nc nor socat there is nothing to paste but lines of qmpmux itself.
    assert.match(demo.output, / exec \S+\/vm\.mux query-status\n/);
    assert.doesNotMatch(demo.output, /\bnc\b|socat|^ {2}\{/m);
    const client = await RawClient.connect(path);
    assert.match(await client.readLine(), /simulated by qmpmux/);
    await client.close();
    assert.equal((await demo.stop('SIGINT')).code, 0);
    assert.deepEqual(readdirSync(folder), []);
  });
});
