/** A libvirt daemon that asks for a name and a password, by SASL. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { type Daemon, startDaemon } from '../../support/daemon/daemon.js';
import { missing } from '../../support/daemon/programs.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { ask, isWaiting, negotiated, warnings } from '../../support/libvirt/domain.js';
import { type LibvirtVm, startLibvirt } from '../../support/libvirt/libvirt.js';
import { RemoteLibvirt } from '../../support/libvirt/remote-libvirt.js';

const SASLPASSWD = '/usr/sbin/saslpasswd2';
const PASSWORD = 'pa\\ss, wörd=';
const SETTINGS = ['auth_tcp = "sasl"', 'auth_tls = "sasl"', 'auth_unix_ro = "none"'];

const MECHANISMS = ['SCRAM-SHA-512', 'SCRAM-SHA-384', 'SCRAM-SHA-256', 'SCRAM-SHA-224', 'SCRAM-SHA-1', 'PLAIN'];

const remote = await RemoteLibvirt.make(SETTINGS);
const database = join(remote.libvirt.folder, 'passwd.db');
// Cyrus SASL reads this when the daemon starts.
writeFileSync(
  join(remote.libvirt.folder, 'libvirt.conf'),
  `mech_list: ${MECHANISMS.join(' ')} DIGEST-MD5\nsasldb_path: ${database}\n`,
);
const { skip, libvirt } = await startLibvirt(remote.libvirt);
after(async () => {
  await libvirt.stop();
});

describe('a libvirt that asks for a password', { skip: skip || missing('openssl', SASLPASSWD), concurrency: 1 }, () => {
  const scope = suiteScope();
  let vm: LibvirtVm;
  before(async () => {
    const words = ['-p', '-c', '-f', database, '-a', 'libvirt', '-u', 'example', 'fred'];
    execFileSync(SASLPASSWD, words, { input: PASSWORD, stdio: ['pipe', 'ignore', 'ignore'] });
    chmodSync(database, 0o644);
    vm = await libvirt.newVm(scope);
  });

  function credentials(t: TestContext, password = PASSWORD, host = 'localhost'): string {
    const path = join(scratch(t), 'auth.conf');
    const value = password.replaceAll('\\', '\\\\');
    writeFileSync(
      path,
      `[credentials-it]\nauthname=fred@example\npassword=${value}\n[auth-libvirt-${host}]\ncredentials=it\n`,
      { mode: 0o600 },
    );
    return path;
  }

  function share(t: TestContext, uri: string, environment = {}): { readonly daemon: Daemon; readonly mux: string } {
    const mux = join(scratch(t), 'mux');
    return {
      daemon: startDaemon(t, ['--upstream', `libvirt:${vm.name}?uri=${uri}`, '--listen', mux], environment),
      mux,
    };
  }

  async function serves(t: TestContext, uri: string, environment = {}): Promise<void> {
    const { daemon, mux } = share(t, uri, environment);
    await daemon.ready();
    const client = await negotiated(t, mux);
    assert.equal(await ask(client, '{"execute":"query-name"}'), `{"return": {"name": "${vm.name}"}}`);
    await daemon.stop();
    assert.deepEqual(warnings(daemon), []);
  }

  /** What the log says where the daemon lets nobody in. */
  async function refusal(t: TestContext, uri: string): Promise<string> {
    const { daemon } = share(t, uri);
    const { reason } = await daemon.logged(isWaiting);
    await daemon.stop();
    assert.equal(warnings(daemon).length, 1);
    assert.ok(!`${daemon.output}${daemon.errors}`.includes('wörd'));
    return String(reason);
  }

  for (const mechanism of [
    'SCRAM-SHA-512',
    'SCRAM-SHA-384',
    'SCRAM-SHA-256',
    'SCRAM-SHA-224',
    'SCRAM-SHA-1',
    'PLAIN',
  ]) {
    test(`lets in by ${mechanism}, over TLS`, async (t) => {
      await serves(t, remote.tls(`authfile=${credentials(t)}`));
    });
  }

  test('lets in by the best mechanism that it has, with the file that the environment names', async (t) => {
    await serves(t, remote.tls('authfile=/nowhere'), { LIBVIRT_AUTH_FILE: credentials(t) });
  });

  test('that refuses the password says so in one line, with the file', async (t) => {
    const path = credentials(t, 'wrong');
    for (const [mechanism, wish] of [
      ['SCRAM-SHA-512', ''],
      ['PLAIN', 'auth=sasl.PLAIN&'],
    ] as const) {
      assert.equal(
        await refusal(t, remote.tls(`${wish}authfile=${path}`)),
        `permission denied by libvirt (authentication failed: authentication failed, by ${mechanism}): check the name and the password in ${path}`,
      );
    }
  });

  test('lets in as soon as the password in the file is right', async (t) => {
    const path = credentials(t, 'wrong');
    const { daemon } = share(t, remote.tls(`authfile=${path}`));
    await daemon.logged(isWaiting);
    copyFileSync(credentials(t), path);
    await daemon.ready();
    assert.equal(warnings(daemon).length, 1);
  });

  test('lets in with a file that others can read, and the log warns of that once', async (t) => {
    const path = credentials(t);
    chmodSync(path, 0o644);
    const { daemon } = share(t, remote.tls(`authfile=${path}`));
    await daemon.ready();
    await libvirt.stopDaemon();
    await daemon.logged(isWaiting);
    await libvirt.start();
    await daemon.ready();
    await daemon.stop();
    const told = daemon.log.filter(({ msg }) => msg.startsWith('other users can read'));
    assert.deepEqual(
      told.map(({ level, msg, file, mode }) => ({ level, msg, file, mode })),
      [
        {
          level: 40,
          msg: 'other users can read the file with the password for libvirt; chmod 0600 it',
          file: path,
          mode: '0644',
        },
      ],
    );
  });

  test('is not told a password that is not there', async (t) => {
    assert.equal(
      await refusal(t, remote.tls('authfile=/nowhere/auth.conf')),
      'libvirt asks for a name and a password: there is no /nowhere/auth.conf',
    );
    const other = credentials(t, PASSWORD, 'other.example');
    assert.equal(
      await refusal(t, remote.tls(`authfile=${other}`)),
      `libvirt asks for a name and a password: ${other} has no group [auth-libvirt-localhost] or [auth-libvirt-default]`,
    );
  });

  test('is not told a password in the clear when it may be another one', async (t) => {
    assert.equal(
      await refusal(t, remote.tls(`no_verify=1&auth=sasl.plain&authfile=${credentials(t)}`)),
      'libvirt asks for a log-in by SASL: PLAIN would reveal the password to an unverified server: use qemu+tls:// without no_verify',
    );
  });

  test('wants, without TLS, a mechanism that encrypts, and the log says what to use', async (t) => {
    assert.equal(
      await refusal(t, remote.tcp(`authfile=${credentials(t)}`)),
      'libvirt asks for a log-in by SASL: it offers DIGEST-MD5, and qmpmux knows SCRAM-SHA-512, SCRAM-SHA-384, SCRAM-SHA-256, SCRAM-SHA-224, SCRAM-SHA-1, PLAIN; without TLS, libvirt demands one that encrypts: use qemu+tls:// or qemu+ssh://',
    );
  });

  test('does not let in by a way that it does not offer', async (t) => {
    assert.equal(
      await refusal(t, remote.tls('auth=polkit')),
      'libvirt does not offer the log-in auth=polkit, only sasl',
    );
  });

  test('may ask for it on its socket on this host, too', async (t) => {
    await libvirt.stopDaemon();
    remote.configure([...SETTINGS, 'auth_unix_rw = "sasl"']);
    await libvirt.start();
    await serves(t, `${libvirt.uri}&authfile=${credentials(t)}`);
  });
});
