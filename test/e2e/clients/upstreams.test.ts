/** Monitors of other kinds, large messages and large numbers, and input that a QEMU does not survive. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Scope, scratch, suiteScope } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { type SharedVm, type SharedVmOptions, shareVm } from '../../support/qemu/shared-vm.js';
import { parseTarget, RawClient, type Target } from '../../support/world/raw-client.js';

async function negotiated(t: Scope, target: Target, enable: readonly string[] = []): Promise<RawClient> {
  const client = await RawClient.connect(target);
  t.after(() => client.close());
  await client.readLine();
  await client.write(`{"execute":"qmp_capabilities","arguments":{"enable":${JSON.stringify(enable)}}}`);
  assert.equal(await client.readLine(), '{"return": {}}');
  return client;
}

/**
 * Stands before a QEMU and makes it one that offers no `oob`, as those before 2.12 and those with some character devices
 * are: struck from the greeting, and refused in QEMU's words (qmp_caps_accept) when it is asked for all the same.
 */
async function withoutOob(t: Scope, monitor: Target): Promise<Target> {
  const path = join(scratch(t), 'plain');
  const server = createServer((downstream) => {
    const upstream = createConnection(parseTarget(monitor));
    for (const socket of [downstream, upstream]) socket.on('error', () => {});
    let rest = '';
    upstream.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString('latin1')).split(/(?<=\n)/);
      rest = lines.at(-1)?.endsWith('\n') === false ? (lines.pop() ?? '') : '';
      for (const line of lines) {
        const told = line
          .replace('"capabilities": ["oob"]', '"capabilities": []')
          .replace(/Parameter '\w+' does not accept value '0ob'/, 'Capability oob not available');
        downstream.write(told, 'latin1');
      }
    });
    downstream.on('data', (chunk: Buffer) => {
      upstream.write(chunk.toString('latin1').replace('"enable":["oob"]', '"enable":["0ob"]'), 'latin1');
    });
    downstream.on('close', () => upstream.destroy());
    upstream.on('close', () => downstream.destroy());
  });
  server.listen(path);
  await once(server, 'listening');
  t.after(() => {
    server.close();
  });
  return path;
}

describe('clients of a monitor', { skip: missing('qemu') }, () => {
  const suite = suiteScope();
  test('that prints over several lines get the one-line form', async (t) => {
    const [plain, pretty] = await Promise.all([
      startQemu(t, { name: 'form' }),
      shareVm(t, { name: 'form', monitors: [{ pretty: true }] }),
    ]);
    const talk = async (target: Target) => {
      const client = await RawClient.connect(target);
      t.after(() => client.close());
      await client.write(
        '{"execute":"qmp_capabilities","id":{"b":[1.50,"é\\n"],"a":{}}}' +
          '{"execute":"query-name"}{"execute":"query-version","id":[]}{"execute":"query-qmp-schema","id":"x"}' +
          '{"execute":"cont"}{"execute":"stop","id":1}{}help {"execute":"no-such","id":"}\\n{"}' +
          '{"execute":"human-monitor-command","arguments":{"command-line":"info version"},"id":"last"}',
      );
      const lines = await client.readLinesUntil((line) => line.endsWith('"id": "last"}'));
      return lines.map((line) => line.replace(/"timestamp": \{.*?\}/, '"timestamp": T'));
    };
    assert.deepEqual(await talk(pretty.target), await talk(plain.monitor));
  });

  const plain: readonly (readonly [name: string, options: SharedVmOptions])[] = [
    ['without oob', { between: (monitor) => withoutOob(suite, monitor) }],
    ['whose oob is not to be used, with --no-oob,', { flags: ['--no-oob'] }],
  ];
  for (const [name, options] of plain) {
    test(`${name} are told so, and otherwise served as always`, async (t) => {
      const vm = await shareVm(t, { name: 'plain', ...options });
      const client = await RawClient.connect(vm.target);
      t.after(() => client.close());
      const own = await RawClient.connect((await startQemu(t)).monitor);
      t.after(() => own.close());
      const greeting = (await own.readLine()).replace('"capabilities": ["oob"]', '"capabilities": []');
      assert.equal(await client.readLine(), greeting);
      await client.write('{"execute":"qmp_capabilities","arguments":{"enable":["oob"]},"id":1}');
      const refused = '{"id": 1, "error": {"class": "GenericError", "desc": "Capability oob not available"}}';
      assert.equal(await client.readLine(), refused);
      await client.write('{"execute":"qmp_capabilities","id":2}{"execute":"query-name","id":3}');
      assert.deepEqual(await client.readLines(2), [
        '{"return": {}, "id": 2}',
        '{"return": {"name": "plain"}, "id": 3}',
      ]);
      await client.write('{"exec-oob":"query-yank","id":4}');
      assert.match(await client.readLine(), /'exec-oob' is unexpected/);
      const others = await Promise.all([1, 2, 3, 4].map(() => negotiated(t, vm.target)));
      for (const other of others) await other.write('{"execute":"stop","id":1}'.repeat(30));
      for (const other of others) {
        assert.deepEqual(
          await other.readLines(30),
          Array.from({ length: 30 }, () => '{"return": {}, "id": 1}'),
        );
      }
    });
  }

  test('over TCP, and clients over TCP, are served alike', async (t) => {
    const vm = await shareVm(t, { name: 'tcp', monitors: [{ kind: 'tcp' }], listen: ['tcp:127.0.0.1:0'] });
    for (const target of vm.targets) {
      const client = await negotiated(t, target, ['oob']);
      await client.write('{"execute":"query-name","id":1}');
      assert.equal(await client.readLine(), '{"return": {"name": "tcp"}, "id": 1}');
    }
  });
});

describe('clients', { skip: missing('qemu') }, () => {
  test('get the whole schema, many at once', async (t) => {
    const vm = await shareVm(t, { name: 'schema' });
    const direct = await startQemu(t, { name: 'schema' });
    const reference = await negotiated(t, direct.monitor);
    await reference.write('{"execute":"query-qmp-schema","id":"schema"}');
    const schema = await reference.readLine();
    assert.ok(schema.length > 100_000);
    const clients = await Promise.all(Array.from({ length: 8 }, () => negotiated(t, vm.target)));
    for (const client of clients) await client.write('{"execute":"query-qmp-schema","id":"schema"}');
    for (const client of clients) assert.ok((await client.readLine()) === schema);
  });

  test('get a reply of more than 20 MB unharmed, which the daemon never holds several times', async (t) => {
    const options = { machine: 'q35', name: 'large' } as const;
    const [direct, vm] = await Promise.all([startQemu(t, options), shareVm(t, options)]);
    const command =
      '"execute":"human-monitor-command","arguments":{"command-line":"xp /3200000xb 0xc0000"},"id":"dump"';
    const digest = async (target: Target) => {
      const client = await negotiated(t, target);
      client.socket.removeAllListeners('data');
      const hash = createHash('sha256');
      let length = 0;
      const whole = new Promise<void>((resolve) => {
        client.socket.on('data', (chunk: Buffer) => {
          hash.update(chunk);
          length += chunk.length;
          if (chunk.at(-1) === 10) resolve();
        });
      });
      await client.write(`{${command}}`);
      await whole;
      return { length, digest: hash.digest('hex') };
    };
    const expected = await digest(direct.monitor);
    assert.ok(expected.length > 20_000_000);
    for (let round = 0; round < 3; round++) assert.deepEqual(await digest(vm.target), expected);
    const peak = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${vm.daemon.pid}/status`, 'utf8'))?.[1]);
    assert.ok(peak < 200_000, `the daemon needed ${peak} kB`);
  });

  test('can send a command of 200,000 bytes, and others are served after it', async (t) => {
    const vm = await shareVm(t, { name: 'large' });
    const large = await negotiated(t, vm.target);
    const other = await negotiated(t, vm.target);
    const name = 'x'.repeat(200_000);
    const sent = large.write(`{"execute":"device_del","arguments":{"id":"${name}"},"id":"large"}`);
    await other.write('{"execute":"query-name","id":1}');
    assert.equal(await other.readLine(), '{"return": {"name": "large"}, "id": 1}');
    await sent;
    const expected = `{"id": "large", "error": {"class": "DeviceNotFound", "desc": "Device '${name}' not found"}}`;
    assert.ok((await large.readLine()) === expected);
  });

  test('can send and get integers up to 2^64 - 1', async (t) => {
    const vm = await shareVm(t, { name: 'large' });
    const client = await negotiated(t, vm.target);
    for (const number of ['9007199254740993', '9223372036854775807', '9223372036854775808', '18446744073709551615']) {
      await client.write(
        `{"execute":"migrate-set-parameters","arguments":{"max-bandwidth":${number}},"id":${number}}` +
          `{"execute":"query-migrate-parameters","id":-${number.slice(0, 18)}}`,
      );
      assert.equal(await client.readLine(), `{"return": {}, "id": ${number}}`);
      const parameters = await client.readLine();
      assert.ok(parameters.includes(`"max-bandwidth": ${number}`), parameters);
      assert.ok(parameters.endsWith(`"id": -${number.slice(0, 18)}}`));
    }
  });

  test('cannot end QEMU by input that one spoken to directly does not survive', async (t) => {
    // With oob on, QEMU 7.2 aborts when one byte ends two messages while seven commands wait: a bracket behind a number.
    const deadly = '1]'.repeat(2000);
    const survives = async (target: Target): Promise<boolean> => {
      const client = await negotiated(t, target, ['oob']);
      await client.write(`${deadly}\n{"execute":"query-name","id":"alive"}`);
      return client
        .readLinesUntil((line) => line.includes('"alive"'))
        .then(
          () => true,
          () => false,
        );
    };
    const direct = await startQemu(t);
    if (direct.version.startsWith('7.2.')) assert.equal(await survives(direct.monitor), false);
    const vm: SharedVm = await shareVm(t);
    assert.equal(await survives(vm.target), true);
  });
});

describe('a QEMU whose monitors are objects', { skip: missing('qemu') }, () => {
  test('may make its monitor again: clients get EOF, and new ones are served', async (t) => {
    const vm = await shareVm(t, { name: 'again' });
    const [major = 0, minor = 0] = vm.qemu.version.split('.').map(Number);
    if (major < 11 || (major === 11 && minor < 1))
      return t.skip(`monitors are objects from 11.1 on, not in ${vm.qemu.version}`);
    const client = await negotiated(t, vm.target);
    await vm.qemu.execute('object-del', { id: 'compat_monitor0' });
    await vm.qemu.execute('object-add', { 'qom-type': 'monitor-qmp', id: 'again', chardev: 'compat_monitor0' });
    await client.readToEnd();
    await vm.daemon.ready();
    const next = await negotiated(t, vm.target);
    await next.write('{"execute":"query-name","id":1}');
    assert.equal(await next.readLine(), '{"return": {"name": "again"}, "id": 1}');
  });
});
