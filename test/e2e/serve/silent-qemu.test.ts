/** A QEMU that says nothing: what the daemon finds out about it, by itself. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { blockage } from '../../support/daemon/blockage.js';
import { type Daemon, type LogLine, startDaemon } from '../../support/daemon/daemon.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { missing, type Qemu, startQemu } from '../../support/qemu/qemu.js';
import { assertValid, parseLines } from '../../support/text/audit.js';
import { RawClient } from '../../support/world/raw-client.js';

interface Served {
  readonly qemu: Qemu;
  readonly daemon: Daemon;
  /** The socket for clients, with qmpmux's own commands. */
  readonly target: string;
  readonly audit: string;
}

async function served(context: TestContext, flags: readonly string[] = []): Promise<Served> {
  const qemu = await startQemu(context);
  const target = join(qemu.folder, 'mux');
  const audit = join(qemu.folder, 'audit');
  const words = ['--upstream', qemu.monitor, '--listen', `${target},extensions=on`, '--audit', audit];
  const daemon = startDaemon(context, [...words, '--probe-after', '500ms', ...flags]);
  await daemon.ready();
  return { qemu, daemon, target, audit };
}

function says(text: string): (line: LogLine) => boolean {
  return ({ msg }) => msg.startsWith(text);
}

/** What `qmpmux status` says of QEMU. */
async function statusOf(target: string): Promise<string> {
  const { output } = await runQmpmux(['status', target]);
  return /^qemu +(.*)$/m.exec(output)?.[1] ?? output;
}

/** Whether this QEMU has monitors that can be deleted (11.1). */
function hasMonitorObjects({ version }: Qemu): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 11 || (major === 11 && minor >= 1);
}

describe('a QEMU that says nothing', { skip: missing('qemu') }, () => {
  it('because it is stopped is silent, is asked once, and answers when it goes on', async (context) => {
    const { qemu, daemon, target, audit } = await served(context);
    process.kill(qemu.pid, 'SIGSTOP');
    await daemon.logged(says('QEMU does not respond'));
    assert.match(await statusOf(target), /, no sign of it for /);
    process.kill(qemu.pid, 'SIGCONT');
    await daemon.logged(says('QEMU answers again'));
    assert.doesNotMatch(await statusOf(target), /no sign|busy/);
    await daemon.stop();
    const records = parseLines(readFileSync(audit, 'utf8'));
    records.forEach(assertValid);
    const probes = records.filter(({ kind }) => kind === 'probe');
    const asked = probes.filter(({ command }) => command !== undefined);
    assert.ok(asked.length > 0);
    for (const [index, { seq }] of asked.entries()) {
      const fates = probes.filter(({ of }) => of === seq);
      assert.ok(fates.length === 1 || index === asked.length - 1, 'each was answered, but perhaps the last');
      // One is asked when there is an answer to the one before.
      const next = asked[index + 1];
      if (next !== undefined) assert.ok(Number(fates[0]?.['seq']) < Number(next['seq']));
    }
    assert.ok(records.every(({ kind, client }) => kind !== 'probe' || client === undefined));
  });

  it('because it runs a long command is busy, and answers when that is done', async (context) => {
    const { daemon, target } = await served(context, ['--probe-timeout', '1s']);
    const client = await RawClient.negotiated(target);
    const blocked = await blockage(context);
    await client.write(`{${blocked.members},"id":1}`);
    await blocked.begun;
    await daemon.logged(says('QEMU is busy'));
    assert.match(await statusOf(target), /, busy for /);
    // Another client's command waits behind it, and is answered in the end: a busy QEMU is not given up.
    const other = await RawClient.negotiated(target);
    await other.write('{"execute":"query-name","id":2}');
    blocked.release();
    assert.equal(await client.readLine(), `{"id": 1, "error": ${blocked.error}}`);
    assert.equal(await other.readLine(), '{"return": {}, "id": 2}');
    await daemon.logged(says('QEMU answers again'));
  });

  it('because its main loop is busy elsewhere is busy too', async (context) => {
    const { qemu, daemon } = await served(context);
    const blocked = await blockage(context);
    const members: { arguments: object } = JSON.parse(`{${blocked.members}}`);
    const done = assert.rejects(qemu.execute('blockdev-add', members.arguments));
    await blocked.begun;
    await daemon.logged(says('QEMU is busy'));
    blocked.release();
    await done;
    await daemon.logged(says('QEMU answers again'));
  });

  it('because its monitor was deleted is given up when a client waits, and served again when there is a new one', async (context) => {
    const { qemu, daemon, target } = await served(context, ['--probe-timeout', '1s']);
    if (!hasMonitorObjects(qemu)) {
      context.skip(`QEMU ${qemu.version} cannot delete a monitor`);
      return;
    }
    const client = await RawClient.negotiated(target);
    await qemu.execute('object-del', { id: 'compat_monitor0' });
    await daemon.logged(says('QEMU does not respond'));
    await client.write('{"execute":"query-name"}');
    const lost = await daemon.logged(says('lost QEMU'));
    assert.match(String(lost.reason), /^QEMU has not responded for \d+ s \(probe-timeout\)/);
    await client.readToEnd();
    await qemu.execute('object-add', { 'qom-type': 'monitor-qmp', id: 'again', chardev: 'compat_monitor0' });
    await daemon.logged(says('connected to QEMU'));
    await daemon.ready();
    const next = await RawClient.negotiated(target);
    await next.write('{"execute":"query-name","id":3}');
    assert.equal(await next.readLine(), '{"return": {}, "id": 3}');
  });
});
