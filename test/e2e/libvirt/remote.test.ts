/** Domains of a libvirt daemon that is reached over TCP and TLS. */
import assert from 'node:assert/strict';
import { EventEmitter, on } from 'node:events';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { UpstreamConnector } from '../../../dist/net/connect/upstream-connector.js';
import { dialLibvirt } from '../../../dist/net/libvirt/dial.js';
import { type Daemon, startDaemon } from '../../support/daemon/daemon.js';
import { freePort } from '../../support/daemon/free-port.js';
import { missing } from '../../support/daemon/programs.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { ask, isLost, isWaiting, negotiated, warnings } from '../../support/libvirt/domain.js';
import { type LibvirtVm, startLibvirt } from '../../support/libvirt/libvirt.js';
import { Authority, RemoteLibvirt } from '../../support/libvirt/remote-libvirt.js';

const SETTINGS = ['auth_tcp = "none"', 'auth_tls = "none"'];
const remote = await RemoteLibvirt.make(SETTINGS);
const { skip, libvirt } = await startLibvirt(remote.libvirt);
after(async () => {
  await libvirt.stop();
});

describe('a libvirt on another host', { skip: skip === false ? missing('openssl') : skip, concurrency: 1 }, () => {
  const scope = suiteScope();
  let vm: LibvirtVm;
  before(async () => {
    vm = await libvirt.newVm(scope);
  });

  function share(t: TestContext, uri: string): { readonly daemon: Daemon; readonly mux: string } {
    const mux = join(scratch(t), 'mux');
    return { daemon: startDaemon(t, ['--upstream', `libvirt:${vm.name}?uri=${uri}`, '--listen', mux]), mux };
  }

  /** What the log says where the daemon is not reached. */
  async function refusal(t: TestContext, uri: string): Promise<string> {
    const { daemon } = share(t, uri);
    const { reason } = await daemon.logged(isWaiting);
    await daemon.stop();
    assert.equal(warnings(daemon).length, 1);
    return String(reason);
  }

  for (const [way, uri] of [
    ['TCP', remote.tcp()],
    ['TLS', remote.tls()],
    ['TLS, whatever its name,', remote.tls('no_verify=1', '127.0.0.1')],
  ] as const) {
    test(`is reached over ${way} and its domain is served`, async (t) => {
      const { daemon, mux } = share(t, uri);
      await daemon.ready();
      const client = await negotiated(t, mux);
      assert.equal(await ask(client, '{"execute":"query-name","id":1}'), `{"return": {"name": "${vm.name}"}, "id": 1}`);
      const long = await ask(client, '{"execute":"query-qmp-schema"}');
      assert.equal(long, await ask(await negotiated(t, vm.direct), '{"execute":"query-qmp-schema"}'));
      await libvirt.virsh('resume', vm.name);
      assert.match(await client.readLine(), /"event": "RESUME"\}$/);
      await libvirt.virsh('suspend', vm.name);
      await daemon.stop();
      assert.deepEqual(warnings(daemon), []);
    });
  }

  test('may be the one of LIBVIRT_DEFAULT_URI; another name than those of libvirt.conf is told', async (t) => {
    const mux = join(scratch(t), 'mux');
    const words = ['--upstream', `libvirt:${vm.name}`, '--listen', mux];
    const daemon = startDaemon(t, words, { LIBVIRT_DEFAULT_URI: remote.tcp() });
    await daemon.ready();
    assert.match(
      await refusal(t, 'no-such-name'),
      /^"no-such-name" is neither a libvirt URI nor one of the uri_aliases in /,
    );
  });

  test('is told to be lost when it stops, and reached again when it is back', async (t) => {
    const { daemon, mux } = share(t, remote.tls());
    await daemon.ready();
    await libvirt.stopDaemon();
    await daemon.logged(isWaiting);
    await libvirt.start();
    await daemon.ready();
    await negotiated(t, mux);
    assert.deepEqual(warnings(daemon), [
      'lost: libvirtd closed the connection',
      'waiting: connection refused: nothing listens on this port',
    ]);
  });

  test('that nobody knows by that name, or at that port, is told as such', async (t) => {
    const refused = 'connection refused: nothing listens on this port';
    assert.equal(await refusal(t, `qemu+tcp://localhost:${await freePort()}/session`), refused);
    assert.equal(await refusal(t, `qemu://localhost:${await freePort()}/session?pkipath=${remote.pki}`), refused);
    assert.match(await refusal(t, 'qemu+tcp://nobody.invalid/session'), /^the name nobody\.invalid /);
  });

  test('is not spoken to in the clear at its port for TLS, nor by TLS at the other', async (t) => {
    assert.match(
      await refusal(t, `qemu+tcp://localhost:${remote.tlsPort}/session`),
      /^(reset by the peer|libvirtd closed the connection); if this is its port for TLS, write qemu\+tls:\/\/$/,
    );
    assert.equal(
      await refusal(t, `qemu+tls://localhost:${remote.tcpPort}/session?pkipath=${remote.pki}`),
      "the peer does not speak TLS: is this libvirtd's TLS port?",
    );
  });

  test('whose certificate is for another name is refused', async (t) => {
    assert.equal(
      await refusal(t, remote.tls('', '127.0.0.1')),
      `libvirtd's certificate is not for "127.0.0.1": use one of its names (DNS:localhost)`,
    );
  });

  test('whose certificate is of an unknown authority is refused', async (t) => {
    const other = new Authority(join(scratch(t), 'pki'));
    assert.equal(
      await refusal(t, remote.tls('', 'localhost', other.folder)),
      `libvirtd's certificate is not signed by the authority in ${other.folder}/cacert.pem`,
    );
  });

  test('is reached as soon as the certificates are right', async (t) => {
    const folder = scratch(t);
    const { daemon } = share(t, remote.tls('', 'localhost', folder));
    await daemon.logged(isWaiting);
    for (const name of ['clientkey.pem', 'clientcert.pem', 'cacert.pem']) {
      copyFileSync(join(remote.pki, name), join(folder, name));
    }
    await daemon.ready();
  });

  test('that does not take our certificate is told with where that is, and what may be wrong', async (t) => {
    const folder = join(scratch(t), 'pki');
    const other = new Authority(folder);
    other.sign('client', '/CN=stranger', 'DNS:stranger');
    assert.equal(
      await refusal(t, remote.tls('no_verify=1', 'localhost', folder)),
      `libvirtd refuses our certificate, ${folder}/clientcert.pem (it closed the connection): it must be signed by an authority that libvirtd trusts, and be on its tls_allowed_dn_list if there is one`,
    );
    rmSync(join(folder, 'clientkey.pem'));
    assert.equal(
      await refusal(t, remote.tls('no_verify=1', 'localhost', folder)),
      `there is ${folder}/clientcert.pem, but no ${folder}/clientkey.pem`,
    );
    rmSync(join(folder, 'clientcert.pem'));
    assert.match(
      await refusal(t, remote.tls('no_verify=1', 'localhost', folder)),
      /^libvirtd refuses our certificate, .*: libvirtd may ask for one, and there is none$/,
    );
  });

  test('whose certificate is revoked is refused', async (t) => {
    remote.authority.revoke('server');
    t.after(() => {
      rmSync(join(remote.pki, 'cacrl.pem'));
    });
    assert.equal(await refusal(t, remote.tls()), `libvirtd's certificate is revoked by ${remote.pki}/cacrl.pem`);
  });

  test('that has a list of names, ours not among them, is told with that, and serves us when it is', async (t) => {
    await libvirt.stopDaemon();
    remote.configure([...SETTINGS, 'tls_allowed_dn_list = ["CN=other"]']);
    await libvirt.start();
    const { daemon } = share(t, remote.tls());
    assert.match(String((await daemon.logged(isWaiting)).reason), /be on its tls_allowed_dn_list if there is one$/);
    await libvirt.stopDaemon();
    remote.configure([...SETTINGS, 'tls_allowed_dn_list = ["*CN=client*"]']);
    await libvirt.start();
    await daemon.ready();
  });

  test('with an address of IPv6 and an authority below ours is reached, unless one of their lists has it', async (t) => {
    const { authority } = remote;
    authority.signAuthority('below');
    authority.sign('lower', '/CN=lower', 'IP:::1', 'below');
    const folder = scratch(t);
    for (const name of ['cacert.pem', 'clientcert.pem', 'clientkey.pem']) {
      copyFileSync(join(remote.pki, name), join(folder, name));
    }
    const list = join(folder, 'cacrl.pem');
    const lower = authority.revoked('below');
    writeFileSync(list, `${authority.revoked('ca')}${lower}`);
    await libvirt.stopDaemon();
    // libvirtd 9 itself does not look for its own authority behind its certificate.
    remote.configure([...SETTINGS, 'tls_no_sanity_certificate = 1'], '::1', 'lower');
    await libvirt.start();
    const uri = remote.tls('', '[::1]', folder);
    const { daemon, mux } = share(t, uri);
    await daemon.ready();
    assert.equal(await ask(await negotiated(t, mux), '{"execute":"query-name"}'), `{"return": {"name": "${vm.name}"}}`);
    writeFileSync(list, `${authority.revoked('ca', 'below')}${lower}`);
    assert.equal(await refusal(t, uri), `libvirtd's certificate is revoked by ${list}`);
    await libvirt.stopDaemon();
    remote.configure(SETTINGS);
    await libvirt.start();
  });

  for (const transport of ['tcp', 'tls'] as const) {
    test(`that says nothing by ${transport} is let go after a while, again and again`, async (t) => {
      const { address, spoken, closed } = await silent(t, transport);
      const said: string[] = [];
      const note = (fields: object) => said.push('reason' in fields ? String(fields.reason) : '');
      const nothing = () => undefined;
      const upstream = new UpstreamConnector({
        address,
        receiver: { upstreamOpened: nothing, upstreamReceive: nothing, upstreamClosed: nothing },
        log: { debug: note, info: note, warn: note, error: note },
        attemptTimeout: 200,
        firstPause: 1,
      });
      await upstream.start();
      await spoken();
      await closed();
      await spoken();
      await upstream.stop();
      await closed();
      assert.deepEqual([...new Set(said)], ['no connection within 0.2 s']);
    });

    test(`that says nothing by ${transport} is let go when the attempt is taken back`, async (t) => {
      const { address, spoken, closed } = await silent(t, transport);
      const fail = () => assert.fail('it was taken back');
      const { abort } = dialLibvirt(address, { connected: fail, failed: fail, said: fail, exposed: fail });
      await spoken();
      abort();
      await closed();
    });
  }

  /** A daemon's port at which nobody answers, and waits for the next client that says something, and that leaves. */
  async function silent(t: TestContext, transport: 'tcp' | 'tls') {
    const happened = new EventEmitter();
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => happened.emit('spoken'));
      socket.once('close', () => happened.emit('closed'));
    });
    t.after(() => server.close());
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const where = server.address();
    const port = where !== null && typeof where === 'object' ? where.port : 0;
    const uri = `qemu+${transport}://127.0.0.1:${port}/session?pkipath=${remote.pki}`;
    // These keep what has come already.
    const [spoken, closed] = [on(happened, 'spoken'), on(happened, 'closed')];
    return {
      address: { kind: 'libvirt', domain: vm.name, uri } as const,
      spoken: () => spoken.next(),
      closed: () => closed.next(),
    };
  }

  test('whose authority is not there, or is no certificate, is told with the file', async (t) => {
    const folder = scratch(t);
    const uri = remote.tls('', 'localhost', folder);
    assert.match(
      await refusal(t, uri),
      /^there is no .*\/cacert\.pem, the certificate of the authority that signs libvirtd's: /,
    );
    writeFileSync(join(folder, 'cacert.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    assert.match(await refusal(t, uri), /^the certificates cannot be used \(.*\/cacert\.pem\): /);
    rmSync(join(folder, 'cacert.pem'));
    mkdirSync(join(folder, 'cacert.pem'));
    assert.match(await refusal(t, uri), /\/cacert\.pem: it is a folder$/);
  });

  test('is reached over the input and output of a program', async (t) => {
    const program = libvirt.script('to-libvirt', `#!/bin/sh\nexec nc -U ${libvirt.socket}\n`);
    const { daemon, mux } = share(t, `qemu+ext:///session?command=${program}`);
    await daemon.ready();
    const client = await negotiated(t, mux);
    assert.equal(await ask(client, '{"execute":"query-name"}'), `{"return": {"name": "${vm.name}"}}`);
    await libvirt.stopDaemon();
    assert.equal((await daemon.logged(isLost)).reason, '"' + program + '" exited with status 0');
    await libvirt.start();
  });
});
