/** Out-of-band commands while QEMU is busy: the same dialogue with a QEMU and with qmpmux before one, and what is better behind it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { blockage } from '../../support/daemon/blockage.js';
import type { Scope } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { shareVm } from '../../support/qemu/shared-vm.js';
import { RawClient, type Target } from '../../support/world/raw-client.js';

const name = '{"return": {"name": "oob"}, "id": 1}';
/** The rest of an error of migrate-pause; its text depends on the version. */
const paused = '"error": {"class": "GenericError", "desc": "migrate-pause is currently only supported during ';

async function oobClient(t: Scope, target: Target): Promise<RawClient> {
  const client = await RawClient.connect(target);
  t.after(() => client.close());
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}');
  assert.equal(await client.readLine(), '{"return": {}}');
  return client;
}

/** @returns an answer without the place that QEMU names from 11.1 on */
function withoutPlace(line: string): string {
  return line.replace(/"desc": "\d+:\d+: /, '"desc": "');
}

/** What both must do alike. @returns the last answers */
async function overtake(t: Scope, target: Target): Promise<string[]> {
  const busy = await blockage(t);
  const client = await oobClient(t, target);
  await client.write(`{${busy.members},"id":"busy"}{"execute":"query-name","id":1}`);
  await busy.begun;
  // faults of in-band commands wait their turn, those of out-of-band ones do not
  await client.write('{"id":"fault"}{"execute":7}help\n{"exec-oob":"migrate-pause","id":"oob"}');
  assert.ok((await client.readLine()).startsWith(`{"id": "oob", ${paused}`));
  await client.write(
    '{"exec-oob":7,"id":"oob fault"}{"exec-oob":"query-name","id":"not oob"}{"exec-oob":"query-yank"}',
  );
  assert.deepEqual(await client.readLines(2), [
    '{"id": "oob fault", "error": {"class": "GenericError", "desc": "QMP input member \'exec-oob\' must be a string"}}',
    '{"id": "not oob", "error": {"class": "GenericError", "desc": "The command query-name does not support OOB"}}',
  ]);
  assert.match(await client.readLine(), /^\{"return": \[.*"block-node".*\]\}$/);
  busy.release();
  const last = await client.readLines(5);
  assert.deepEqual(last.map(withoutPlace), [
    `{"id": "busy", "error": ${busy.error}}`,
    name,
    `{"id": "fault", "error": {"class": "GenericError", "desc": "QMP input lacks member 'execute'"}}`,
    `{"error": {"class": "GenericError", "desc": "QMP input member 'execute' must be a string"}}`,
    `{"error": {"class": "GenericError", "desc": "JSON parse error, invalid keyword 'help'"}}`,
  ]);
  await client.close();
  return last;
}

describe('while QEMU is busy', { skip: missing('qemu') }, () => {
  test('an out-of-band command overtakes, of a QEMU and of qmpmux alike', async (t) => {
    const direct = await startQemu(t, { name: 'oob' });
    const expected = await overtake(t, direct.monitor);
    const vm = await shareVm(t, { name: 'oob' });
    assert.deepEqual(await overtake(t, vm.target), expected);
  });

  test('more commands may wait than QEMU has room for, and an out-of-band command still overtakes', async (t) => {
    const vm = await shareVm(t, { name: 'oob' });
    const busy = await blockage(t);
    const client = await oobClient(t, vm.target);
    await client.write(`{${busy.members},"id":"busy"}`);
    await busy.begun;
    for (let round = 0; round < 10; round++) {
      await client.write(`${'{"execute":"query-name","id":1}'.repeat(20)}{"exec-oob":"migrate-pause","id":${round}}`);
      assert.ok((await client.readLine()).startsWith(`{"id": ${round}, ${paused}`));
    }
    busy.release();
    assert.equal(await client.readLine(), `{"id": "busy", "error": ${busy.error}}`);
    assert.deepEqual(
      await client.readLines(200),
      Array.from({ length: 200 }, () => name),
    );
  });

  test('out-of-band commands of many clients all come through', async (t) => {
    const vm = await shareVm(t, { name: 'oob' });
    const busy = await blockage(t);
    const clients = await Promise.all(Array.from({ length: 12 }, () => oobClient(t, vm.target)));
    await clients[0]?.write(`{${busy.members},"id":"busy"}`);
    await busy.begun;
    const rounds = 25;
    await Promise.all(
      clients.map(async (client, who) => {
        for (let round = 0; round < rounds; round++) {
          await client.write(`{"exec-oob":"migrate-pause","id":[${who},${round}]}{"execute":"query-name","id":1}`);
        }
        const expected = Array.from({ length: rounds }, (_, round) => `{"id": [${who}, ${round}], ${paused}`);
        const answers = await client.readLines(rounds);
        assert.deepEqual(
          answers.map((answer) => answer.slice(0, answer.indexOf(paused) + paused.length)),
          expected,
        );
      }),
    );
    busy.release();
    assert.equal(await clients[0]?.readLine(), `{"id": "busy", "error": ${busy.error}}`);
    for (const client of clients) {
      assert.deepEqual(
        await client.readLines(rounds),
        Array.from({ length: rounds }, () => name),
      );
    }
  });

  test('a client whose input would end QEMU itself is answered, and QEMU lives', async (t) => {
    const vm = await shareVm(t, { name: 'oob' });
    const client = await oobClient(t, vm.target);
    // The comma ends two messages at once, the keyword and itself; QEMU 7.2 has room for one and aborts (monitor/qmp.c).
    await client.write('true,'.repeat(200));
    await client.write('{"execute":"query-name","id":1}');
    const object = '{"error": {"class": "GenericError", "desc": "QMP input must be a JSON object"}}';
    const comma = '{"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}';
    const answers = (await client.readLines(401)).map(withoutPlace);
    assert.deepEqual(answers, [...Array.from({ length: 200 }, () => [object, comma]).flat(), name]);
  });

  test('someone can connect, negotiate, be told of faults and leave', async (t) => {
    const vm = await shareVm(t, { name: 'oob' });
    const busy = await blockage(t);
    const blocker = await oobClient(t, vm.target);
    await blocker.write(`{${busy.members},"id":"busy"}`);
    await busy.begun;
    const client = await RawClient.connect(vm.target);
    await client.write('{"execute":"qmp_capabilities","id":1}{}');
    client.halfClose();
    const lines = (await client.readToEnd()).toString('latin1').split('\r\n');
    assert.deepEqual(lines.slice(1), [
      '{"return": {}, "id": 1}',
      `{"error": {"class": "GenericError", "desc": "QMP input lacks member 'execute'"}}`,
      '',
    ]);
    busy.release();
    assert.equal(await blocker.readLine(), `{"id": "busy", "error": ${busy.error}}`);
  });
});
