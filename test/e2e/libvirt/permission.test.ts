/** Who may use a domain of libvirt's: what the log says where libvirt refuses, and that it works as soon as it does not. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { type Daemon, startDaemon } from '../../support/daemon/daemon.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { ask, isWaiting, negotiated, warnings } from '../../support/libvirt/domain.js';
import type { Libvirt, LibvirtVm } from '../../support/libvirt/libvirt.js';
import { cannotBeSystem, systemLibvirt } from '../../support/libvirt/system-libvirt.js';

const ROOT = 0;
/** Two others: those that Debian calls daemon and nobody. */
const DAEMON = 1;
const NOBODY = 65_534;

const ADVICE = 'run qmpmux as a user who may manage VMs (on most systems, of the group libvirt)';

/** Starts qmpmux as another user, who can read our files but write none. */
function startAs(t: TestContext, user: number, domain: string, uri: string): { daemon: Daemon; mux: string } {
  const folder = scratch(t);
  chownSync(folder, user, user);
  const mux = join(folder, 'mux');
  const through = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups'];
  const reading = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
  const words = ['--upstream', `libvirt:${domain}?uri=${uri}`, '--listen', mux];
  return { daemon: startDaemon(t, words, {}, [...through, ...reading]), mux };
}

const skip = cannotBeSystem();

describe('a system daemon of libvirt’s', { skip, concurrency: 1 }, () => {
  const scope = suiteScope();
  let libvirt: Libvirt;
  let vm: LibvirtVm;
  before(async () => {
    libvirt = systemLibvirt({ settings: ['auth_unix_rw = "none"'] });
    scope.after(() => libvirt.stop());
    await libvirt.start();
    vm = await libvirt.newVm(scope);
  });

  test('serves root', async (t) => {
    const { daemon, mux } = startAs(t, ROOT, vm.name, libvirt.uri);
    await daemon.ready();
    const client = await negotiated(t, mux);
    assert.equal(await ask(client, '{"execute":"query-name"}'), `{"return": {"name": "${vm.name}"}}`);
    await daemon.stop();
    assert.deepEqual(warnings(daemon), []);
  });

  test('has a socket for readers, which is refused with what to do', async (t) => {
    const { daemon } = startAs(t, ROOT, vm.name, `${libvirt.uri}-ro`);
    await daemon.logged(isWaiting);
    assert.deepEqual(warnings(daemon), [
      'waiting: permission denied by libvirt (operation forbidden: read only access prevents virConnectDomainQemuMonitorEventRegister): this socket is for reading only; use the one whose name does not end in -ro',
    ]);
  });

  test('whose socket may not be opened is told with what to do, and used when it may', async (t) => {
    chmodSync(libvirt.socket, 0o700);
    const { daemon, mux } = startAs(t, NOBODY, vm.name, libvirt.uri);
    await daemon.logged(isWaiting);
    chmodSync(libvirt.socket, 0o777);
    await daemon.ready();
    await negotiated(t, mux);
    assert.deepEqual(warnings(daemon), [`waiting: permission denied for ${libvirt.socket}: ${ADVICE}`]);
  });
});

describe('a libvirt that asks polkit', { skip, concurrency: 1 }, () => {
  const scope = suiteScope();
  let libvirt: Libvirt;
  let vm: LibvirtVm;
  const setRule = (rule: string) => {
    writeFileSync(join(libvirt.folder, 'rules/1.rules'), `polkit.addRule(function (action, subject) { ${rule} });\n`);
  };
  before(async () => {
    const rule = `if (subject.user === 'daemon') return polkit.Result.YES;`;
    libvirt = systemLibvirt({ settings: ['auth_unix_rw = "polkit"', 'access_drivers = ["polkit"]'], rule });
    scope.after(() => libvirt.stop());
    await libvirt.start();
    vm = await libvirt.newVm(scope);
  });

  test('serves whom it allows', async (t) => {
    const { daemon, mux } = startAs(t, DAEMON, vm.name, libvirt.uri);
    await daemon.ready();
    const client = await negotiated(t, mux);
    assert.equal(await ask(client, '{"execute":"query-name"}'), `{"return": {"name": "${vm.name}"}}`);
  });

  test('refuses others with what to do, and serves them as soon as it allows them', async (t) => {
    const { daemon } = startAs(t, NOBODY, vm.name, libvirt.uri);
    await daemon.logged(isWaiting);
    setRule('return polkit.Result.YES;');
    await daemon.ready();
    assert.deepEqual(warnings(daemon), [
      `waiting: permission denied by libvirt (authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'): ${ADVICE}`,
    ]);
  });

  test('and has access control of its own says what it must allow, one after the other', async (t) => {
    const allowed = new Set<string>();
    const allow = (...actions: readonly string[]) => {
      for (const action of actions) allowed.add(`org.libvirt.${action}`);
      setRule(`return ${JSON.stringify([...allowed])}.indexOf(action.id) < 0 ? polkit.Result.NO : polkit.Result.YES;`);
    };
    allow();
    const { daemon, mux } = startAs(t, NOBODY, vm.name, libvirt.uri);
    await daemon.logged(isWaiting);
    allow('unix.manage');
    for (const [named, ...actions] of [
      ['connect.getattr', 'api.connect.getattr'],
      ['domain.getattr', 'api.domain.getattr'],
      ['connect.search-domains and connect.write', 'api.connect.search-domains', 'api.connect.write'],
      ['domain.write', 'api.domain.write'],
    ] as const) {
      assert.equal(
        (await daemon.logged(isWaiting)).reason,
        `permission denied by libvirt (access denied: 'QEMU' denied access): its access control must allow this user org.libvirt.api.${named}`,
      );
      allow(...actions);
    }
    await daemon.ready();
    await negotiated(t, mux);
    assert.equal(warnings(daemon).length, 5);
  });
});
