/** qmpmux status, clients, queue and kill, on a real QEMU. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { canAddMonitors } from '../../../dist/mux/policy/monitor-commands.js';
import { blockage } from '../../support/daemon/blockage.js';
import { startDaemon } from '../../support/daemon/daemon.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

async function serve(context: TestContext) {
  const qemu = await startQemu(context);
  const [mux, control, watch] = ['mux', 'control', 'watch'].map((name) => join(qemu.folder, name));
  const listen = [`unix:${mux}`, `unix:${control},extensions=on`, `unix:${watch},extensions=on,policy=read-only`];
  const daemon = startDaemon(context, ['--upstream', qemu.monitor, ...listen.flatMap((each) => ['--listen', each])]);
  await daemon.ready();
  return { qemu, daemon, mux: mux ?? '', control: control ?? '', watch: watch ?? '' };
}

describe('qmpmux status', { skip: missing('qemu') }, () => {
  it('shows how QEMU, qmpmux and its listeners stand, without colours in a pipe', async (context) => {
    const { control, mux, qemu } = await serve(context);
    await RawClient.negotiated(mux);
    const { code, output, errors } = await runQmpmux(['status', control]);
    assert.deepEqual([code, errors], [0, '']);
    assert.match(
      output,
      new RegExp(`^qemu {6}\\d+\\.\\d+\\.\\d+.*, connected for .*\nupstream  unix:${qemu.monitor}$`, 'm'),
    );
    assert.match(output, /^clients {3}2$/m);
    assert.match(output, new RegExp(`^unix:${mux} +1 {2}full +off$`, 'm'));
    assert.ok(!output.includes('\x1b'));
  });

  it('lists the VM’s monitors where they are objects, also on a read-only socket, and waits for no QEMU that is busy', async (context) => {
    const { control, mux, watch, qemu } = await serve(context);
    const before = await runQmpmux(['status', watch]);
    if (!canAddMonitors(qemu.version)) {
      assert.doesNotMatch(before.output, /^monitors/m);
      return;
    }
    // The second is the test's own.
    const own =
      /^monitors {2}compat_monitor0 \(QMP\), compat_monitor1 \(QMP\): one is qmpmux’s own, the others bypass it$/m;
    assert.match(before.output, own);
    await qemu.execute('chardev-add', { id: 'c', backend: { type: 'null', data: {} } });
    await qemu.execute('object-add', { 'qom-type': 'monitor-hmp', id: 'extra', chardev: 'c' });
    assert.match((await runQmpmux(['status', control])).output, /^monitors {2}.*\bextra \(HMP\).*bypass it$/m);
    const { monitors } = JSON.parse((await runQmpmux(['status', control, '--json'])).output) as { monitors: unknown };
    assert.deepEqual(monitors, [
      { id: 'compat_monitor0', protocol: 'QMP' },
      { id: 'compat_monitor1', protocol: 'QMP' },
      { id: 'extra', protocol: 'HMP' },
    ]);

    const busy = await blockage(context);
    const client = await RawClient.negotiated(mux);
    await client.write(`{${busy.members},"id":"busy"}`);
    await busy.begun;
    const { code, output } = await runQmpmux(['status', control]);
    assert.equal(code, 0);
    assert.match(output, /^queue {5}1 in flight/m);
    assert.doesNotMatch(output, /^monitors/m);
    busy.release();
  });

  it('prints what qmpmux returned with --json', async (context) => {
    const { control } = await serve(context);
    const { code, output } = await runQmpmux(['status', control, '--json']);
    assert.equal(code, 0);
    assert.equal(JSON.parse(output).upstream.state, 'running');
    assert.equal(output.split('\n').length, 2);
  });

  it('--check speaks as a plugin of Nagios does', async (context) => {
    const { control, mux, watch, daemon } = await serve(context);
    const check = (...words: string[]) => runQmpmux(['status', '--check', ...words]);
    assert.match((await check(control)).output, /^QMPMUX OK - m0: QEMU \d+\.\d+\.\d+.*, 1 client \| clients=1 .*\n$/);
    assert.equal((await check(watch)).code, 0);
    const pure = await check(mux);
    assert.equal(pure.code, 3);
    assert.match(pure.output, /^QMPMUX UNKNOWN - .* does not offer qmpmux's own commands/);
    await daemon.stop();
    const gone = await check(control);
    assert.equal(gone.code, 2);
    assert.match(gone.output, /^QMPMUX CRITICAL - .*: no such socket\n$/);
    assert.equal(gone.errors, '');
  });

  it('says what to do where qmpmux’s own commands are not allowed, and of QEMU itself', async (context) => {
    const { mux } = await serve(context);
    const qemu = await startQemu(context);
    for (const socket of [mux, qemu.monitor]) {
      for (const command of ['status', 'clients', 'queue']) {
        const { code, errors } = await runQmpmux([command, socket]);
        assert.equal(code, 69);
        assert.match(errors, /--listen unix:\/PATH,extensions=on/);
      }
    }
  });

  it('tells mistakes before anything is connected to', async () => {
    const said = async (...words: string[]) => {
      const { code, errors } = await runQmpmux(words);
      assert.equal(code, 64, errors);
      return errors;
    };
    assert.match(await said('status'), /the address is missing/);
    assert.match(await said('status', '/nowhere', 'more'), /"more" is unexpected here/);
    assert.match(await said('status', '/nowhere', '--warning', '5s'), /--warning needs --check/);
    assert.match(await said('status', '/nowhere', '--check', '--warning', 'soon'), /"soon" is not a time such as/);
    assert.match(await said('status', '/nowhere', '--check', '--warning', '2m'), /longer than --critical/);
    assert.match(await said('status', '/nowhere', '--jsno'), /did you mean --json/);
    assert.match(await said('kill', '/nowhere'), /name the clients by their numbers/);
    assert.match(await said('kill', '/nowhere', 'nc'), /"nc" is not a client number/);
    assert.match(await said('stauts', '/nowhere'), /did you mean "status"/);
  });
});

describe('qmpmux clients and kill', { skip: missing('qemu') }, () => {
  it('list who is connected, and disconnect one of them', async (context) => {
    const { control, mux } = await serve(context);
    const victim = await RawClient.negotiated(mux);
    const listed = await runQmpmux(['clients', control]);
    assert.equal(listed.code, 0);
    const [head, first, second] = listed.output.split('\n');
    assert.match(head ?? '', /^CLIENT +PEER +(UNIT +)?LISTENER +POLICY +AGE +COMMANDS/);
    assert.match(first ?? '', new RegExp(`^ +1 {2}.*pid ${process.pid}, [^()]+\\) +(\\S+ +)?unix:${mux} +full +.*`));
    assert.match(second ?? '', /^ +2\* {2}qmpmux clients \(pid \d+, /);
    const killed = await runQmpmux(['kill', control, '1', '99']);
    assert.deepEqual([killed.code, killed.output], [1, 'disconnected client 1\n']);
    assert.equal(killed.errors, `qmpmux: there is no client 99; qmpmux clients unix:${control} lists them\n`);
    await victim.readToEnd();
  });

  it('keep to the policy of their socket', async (context) => {
    const { watch } = await serve(context);
    assert.equal((await runQmpmux(['clients', watch])).code, 0);
    const { code, errors } = await runQmpmux(['kill', watch, '1']);
    assert.equal(code, 1);
    assert.match(errors, /is not allowed here \(policy read-only\)/);
  });

  it('take the address from QMPMUX_SOCKET', async (context) => {
    const { control } = await serve(context);
    const environment = { QMPMUX_SOCKET: control };
    const { code, errors } = await runQmpmux(['kill', '99'], { environment });
    assert.equal(code, 1);
    assert.match(errors, /there is no client 99/);
    assert.equal((await runQmpmux(['clients'], { environment })).code, 0);
  });
});

describe('qmpmux queue', { skip: missing('qemu') }, () => {
  it('shows whose command QEMU is busy with, and who waits', async (context) => {
    const { control, mux } = await serve(context);
    assert.equal((await runQmpmux(['queue', control])).output, 'no command is waiting\n');
    const blocked = await blockage(context);
    const [blocker, other] = [await RawClient.negotiated(mux), await RawClient.negotiated(mux)];
    // While there are several, each has its share upstream, and no more.
    await RawClient.negotiated(mux);
    await blocker.write(`{${blocked.members}}`);
    await blocked.begun;
    await other.write('{"execute":"query-block"}'.repeat(9));
    const waiting = async () => JSON.parse((await runQmpmux(['queue', control, '--json'])).output);
    for (;;) {
      if ((await waiting())['waiting-count'] === 7) break;
    }
    const { output } = await runQmpmux(['queue', control]);
    const lines = output.split('\n').map((line) => line.split(/ {2,}/).slice(0, 4));
    assert.deepEqual(lines[0], ['STATE', 'CLIENT', 'AGE', 'COMMAND']);
    assert.deepEqual(lines[1]?.toSpliced(2, 1), ['running', '2', 'blockdev-add']);
    assert.deepEqual(lines[2]?.toSpliced(2, 1), ['sent', '3', 'query-block']);
    assert.deepEqual(lines[4]?.toSpliced(2, 1), ['waiting', '3', 'query-block']);
    assert.match(output.split('\n')[1] ?? '', / \(pid \d+, [^()]+\)$/);
    const soon = await runQmpmux(['status', control, '--check', '--warning', '1ms', '--critical', '1h']);
    assert.equal(soon.code, 1);
    assert.match(soon.output, /^QMPMUX WARNING - .*: a command has no answer for .*, 7 waiting behind/);
    blocked.release();
  });
});
