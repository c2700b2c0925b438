/** Which certificates of a libvirt daemon are taken. What answers here is no daemon, but begins as one. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { createServer, type TlsOptions } from 'node:tls';
import { openTls } from '../../../dist/net/libvirt/tls.js';
import { missing } from '../../support/daemon/programs.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { Authority } from '../../support/libvirt/remote-libvirt.js';

interface Try {
  /** Whose certificate the daemon has. */
  readonly server: string;
  /** What is in our cacert.pem, by the name of its authority; and in cacrl.pem. */
  readonly ca?: string;
  readonly lists?: string;
  readonly host?: string;
  /** How the daemon speaks TLS. */
  readonly options?: TlsOptions;
}

describe('a libvirtd whose certificate', { skip: missing('openssl') }, () => {
  const scope = suiteScope();
  let authority: Authority;
  before(() => {
    authority = new Authority(join(scratch(scope), 'pki'));
    authority.signAuthority('below');
    authority.sign('server', '/CN=localhost', 'DNS:localhost,IP:::1');
    authority.sign('other', '/CN=::1', 'DNS:localhost,DNS:\\:\\:1,IP:::2');
    authority.sign('lower', '/CN=localhost', 'DNS:localhost', 'below');
    authority.sign('forged', '/CN=localhost', 'DNS:localhost', 'server');
  });

  /** @returns null when the daemon is taken, or why it is not, with `cacert.pem` and the like for the names of files */
  async function refusal(
    t: TestContext,
    { server, ca = 'ca', lists, host = 'localhost', options = {} }: Try,
  ): Promise<string | null> {
    const pki = join(scratch(t), 'pki');
    mkdirSync(pki);
    copyFileSync(join(authority.folder, `${ca}cert.pem`), join(pki, 'cacert.pem'));
    if (lists !== undefined) writeFileSync(join(pki, 'cacrl.pem'), lists);
    const [cert, key] = ['cert', 'key'].map((what) => readFileSync(join(authority.folder, `${server}${what}.pem`)));
    const listener = createServer({ ...(cert && { cert }), ...(key && { key }), ...options }, (socket) => {
      socket.on('error', () => undefined);
      socket.write(Buffer.of(1));
    });
    t.after(() => listener.close());
    await new Promise<void>((resolve) => {
      listener.listen(0, host, resolve);
    });
    const where = listener.address();
    const port = where !== null && typeof where === 'object' ? where.port : 0;
    return new Promise((resolve) => {
      const target = { host, port, pki, verifies: true };
      openTls(target, {
        connected: (socket) => {
          socket.destroy();
          resolve(null);
        },
        failed: (reason) => {
          resolve(reason.replaceAll(`${pki}/`, ''));
        },
      });
    });
  }

  const unknown = "libvirtd's certificate is not signed by the authority in cacert.pem";
  const useless = "libvirtd's certificate is not a server certificate, or its signer is not an authority";
  const untold =
    "cacrl.pem does not show whether libvirtd's certificate is revoked: it must have a list of each authority in libvirtd's chain";

  test('has the address of IPv6 is taken, and one that has it as a name only, or another, is not', async (t) => {
    assert.equal(await refusal(t, { server: 'server', host: '::1' }), null);
    assert.match((await refusal(t, { server: 'other', host: '::1' })) ?? '', /is not for "::1": use one of its names/);
  });

  test('is of an authority below ours is taken, and of one that is no authority is not', async (t) => {
    assert.equal(await refusal(t, { server: 'lower' }), null);
    assert.equal(await refusal(t, { server: 'lower', ca: 'below' }), null);
    assert.equal(await refusal(t, { server: 'server', ca: 'below' }), unknown);
    assert.equal(await refusal(t, { server: 'forged' }), useless);
  });

  test('is of an authority below ours is judged by the lists of both', async (t) => {
    const [upper, lower] = [authority.revoked('ca'), authority.revoked('below')];
    assert.equal(await refusal(t, { server: 'lower', lists: `${upper}${lower}` }), null);
    assert.equal(await refusal(t, { server: 'lower', lists: `# of both\n${lower}\n${upper}` }), null);
    const revoked = "libvirtd's certificate is revoked by cacrl.pem";
    const lists = [`${upper}${authority.revoked('below', 'lower')}`, `${lower}${authority.revoked('ca', 'below')}`];
    for (const list of lists) assert.equal(await refusal(t, { server: 'lower', lists: list }), revoked);
    for (const list of [upper, lower]) assert.equal(await refusal(t, { server: 'lower', lists: list }), untold);
  });

  test('is not on a list that is damaged, or that is over, is not taken', async (t) => {
    const good = authority.revoked('ca');
    const cannot = /^the certificates cannot be used \(cacert\.pem, cacrl\.pem\): /;
    for (const lists of [
      '',
      'nothing',
      `${good}-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n`,
      good.slice(0, 200),
    ]) {
      assert.match((await refusal(t, { server: 'server', lists })) ?? '', cannot);
    }
    assert.equal(
      await refusal(t, { server: 'server', lists: authority.expiredList() }),
      "cacrl.pem no longer shows whether libvirtd's certificate is revoked: a list in it has expired, put a new one there",
    );
  });

  test('is good, but whose TLS is outdated, is reported as such', async (t) => {
    const options = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const;
    assert.equal(await refusal(t, { server: 'server', options }), 'libvirtd does not speak TLS 1.2 or later');
  });
});
