/** Tests of libvirt where it cannot run: skipped with one line that says why, or failed where they are demanded. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { demanded, missing } from '../daemon/programs.js';
import { DAEMON, Libvirt, startLibvirt } from './libvirt.js';
import { cannotBeSystem } from './system-libvirt.js';

/** A daemon that only says why it does not start. */
function refusing(): Libvirt {
  const folder = mkdtempSync(join(tmpdir(), 'qm-lv-'));
  chmodSync(folder, 0o755);
  return new Libvirt({
    folder,
    socket: join(folder, 'socket'),
    uri: 'qemu:///session',
    pids: join(folder, 'pids'),
    command: ['sh', '-c', 'echo one line >&2; echo "libvirtd: error: no permission" >&2; exit 1'],
    environment: {},
    account: {},
  });
}

describe('where libvirt cannot run', { skip: missing('qemu', DAEMON, 'virsh'), concurrency: 1 }, () => {
  test('its tests are skipped with one line', async (t) => {
    demanded(t, false);
    const { skip, libvirt } = await startLibvirt(refusing());
    assert.equal(skip, 'libvirtd: error: no permission');
    assert.ok(!existsSync(libvirt.folder));
  });

  test('its tests fail where they are demanded', async (t) => {
    demanded(t, true);
    await assert.rejects(
      startLibvirt(refusing()),
      /^Error: libvirtd: error: no permission, and QMPMUX_REQUIRE_QEMU is set$/,
    );
  });

  test('as a system daemon, others than root skip; root fails where they are demanded', (t) => {
    const cannot = 'no file system can be mounted here';
    demanded(t, false);
    assert.equal(cannotBeSystem(false, false), 'needs root for a system daemon of libvirt');
    assert.equal(cannotBeSystem(true, cannot), `${cannot}: a system daemon of libvirt needs that`);
    demanded(t, true);
    assert.equal(cannotBeSystem(false, false), 'needs root for a system daemon of libvirt');
    assert.throws(() => cannotBeSystem(true, cannot), /^Error: no file system .*, and QMPMUX_REQUIRE_QEMU is set$/);
  });
});
