/** Web pages cannot reach the VM through a TCP listener. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type Daemon, startDaemon } from '../../support/daemon/daemon.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

const BODY = '\n{"execute":"qmp_capabilities"}{"execute":"cont"}\ncont\n';

interface Served {
  readonly daemon: Daemon;
  readonly targets: readonly string[];
  readonly audit: string;
  /** The VM's state. */
  readonly status: () => Promise<string>;
}

async function serve(t: TestContext, ...listen: readonly string[]): Promise<Served> {
  const qemu = await startQemu(t);
  const audit = join(qemu.folder, 'audit');
  const all = [`unix:${join(qemu.folder, 'mux')}`, ...listen].flatMap((each) => ['--listen', each]);
  const daemon = startDaemon(t, ['--upstream', qemu.monitor, '--audit', audit, ...all]);
  const [own = '', ...targets] = await daemon.ready();
  const watcher = await RawClient.negotiated(own);
  return {
    daemon,
    targets,
    audit,
    status: async () => {
      await watcher.write('{"execute":"query-status","id":"now"}');
      const lines = await watcher.readLinesUntil((line) => line.includes('"id": "now"'));
      return /"status": "([a-z]+)"/.exec(lines.at(-1) ?? '')?.[1] ?? '';
    },
  };
}

/** What fetch() of a page sends, without asking anybody. @returns when the connection is gone */
function post(target: string): Promise<string> {
  const [, host = '', port = ''] = /^tcp:(.*):(\d+)$/.exec(target) ?? [];
  return new Promise((resolve) => {
    const headers = { 'content-type': 'text/plain', origin: 'http://page.example' };
    const asked = request({ host, port, method: 'POST', path: '/', headers, insecureHTTPParser: true }, (response) => {
      response.resume();
      response.once('close', () => resolve(`answered ${response.statusCode}`));
    });
    // the greeting is no HTTP
    asked.once('error', (error) => resolve(error.message));
    asked.end(BODY);
  });
}

describe('HTTP on a TCP listener', { skip: missing('qemu') }, () => {
  test('is answered with 400 and closed, with a line in the log and the audit, and nothing of it is run', async (t) => {
    const options = ['', ',negotiate=auto', ',protocol=hmp', ',protocol=hmp,telnet=on'];
    const { daemon, targets, audit, status } = await serve(t, ...options.map((option) => `tcp:127.0.0.1:0${option}`));
    for (const target of targets) {
      assert.equal(await status(), 'prelaunch');
      await post(target);
      const line = await daemon.logged(({ msg }) => msg === 'disconnected a client that speaks another protocol');
      assert.equal(line['limit'], 'foreign');
      assert.match(String(line['what']), /^it speaks HTTP/);
      const raw = await RawClient.connect(target);
      await raw.writeByByte(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`);
      assert.match((await raw.readToEnd()).toString('latin1'), /HTTP\/1\.1 400 Bad Request\r\n/);
      await daemon.logged(({ msg }) => msg === 'disconnected a client that speaks another protocol');
      assert.equal(await status(), 'prelaunch');
    }
    const records = readFileSync(audit, 'utf8').split('\n');
    const gone = records.filter((each) => each.includes('"kind":"disconnect"') && each.includes('it speaks HTTP'));
    assert.equal(gone.length, 2 * targets.length);
    assert.ok(!records.some((each) => each.includes('"cont"')));
  });

  test('passes with http=pass, as at QEMU itself', async (t) => {
    const { targets, status } = await serve(t, 'tcp:127.0.0.1:0,http=pass');
    await post(targets[0] ?? '');
    for (let state = ''; state !== 'running'; ) state = await status();
  });

  test('is no matter on a unix socket', async (t) => {
    const qemu = await startQemu(t);
    const listen = `unix:${join(qemu.folder, 'mux')},http=pass`;
    const daemon = startDaemon(t, ['--upstream', qemu.monitor, '--listen', listen]);
    await daemon.exited;
    assert.match(daemon.errors, /"http" works only on TCP: no web page reaches a unix socket/);
  });
});
