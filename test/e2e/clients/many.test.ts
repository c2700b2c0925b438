/** Many commands, many clients: everyone gets what is theirs, in their order, against a real QEMU. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { blockage } from '../../support/daemon/blockage.js';
import type { Scope } from '../../support/files/scratch.js';
import { missing } from '../../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../../support/qemu/shared-vm.js';
import { RawClient } from '../../support/world/raw-client.js';

async function negotiated(t: Scope, vm: SharedVm, enable: readonly string[] = []): Promise<RawClient> {
  const client = await RawClient.connect(vm.target);
  t.after(() => client.close());
  await client.readLine();
  await client.write(`{"execute":"qmp_capabilities","arguments":{"enable":${JSON.stringify(enable)}}}`);
  assert.equal(await client.readLine(), '{"return": {}}');
  return client;
}

/** A command whose answer says who sent it. */
function signed(who: string): string {
  return `{"execute":"device_del","arguments":{"id":"${who}"},"id":1}`;
}

function signedAnswer(who: string): string {
  return `{"id": 1, "error": {"class": "DeviceNotFound", "desc": "Device '${who}' not found"}}`;
}

describe('many', { skip: missing('qemu') }, () => {
  test('commands in one write are answered in their order', async (t) => {
    const vm = await shareVm(t, { name: 'many' });
    const client = await negotiated(t, vm);
    const names = Array.from({ length: 800 }, (_, index) => `c${index}`);
    await client.write(names.map(signed).join(''));
    assert.deepEqual(await client.readLines(800), names.map(signedAnswer));
  });

  test('thousands of commands and a half-close are answered, then EOF', async (t) => {
    const vm = await shareVm(t, { name: 'many' });
    const client = await negotiated(t, vm);
    const count = 3000;
    await client.write('{"execute":"query-name","id":1}\n'.repeat(count));
    client.halfClose();
    assert.equal(
      (await client.readToEnd()).toString('latin1'),
      '{"return": {"name": "many"}, "id": 1}\r\n'.repeat(count),
    );
  });

  test('clients that all use id 1 at once get their own answers', async (t) => {
    const vm = await shareVm(t, { name: 'many' });
    const clients = await Promise.all(Array.from({ length: 30 }, () => negotiated(t, vm)));
    await Promise.all(
      clients.map(async (client, who) => {
        const names = Array.from({ length: 40 }, (_, round) => `client${who}-${round}`);
        for (const name of names) await client.write(signed(name));
        assert.deepEqual(await client.readLines(40), names.map(signedAnswer));
      }),
    );
  });

  test('clients wait behind a busy QEMU, and out-of-band commands of a further one do not', async (t) => {
    const vm = await shareVm(t, { name: 'many' });
    const busy = await blockage(t);
    const first = await negotiated(t, vm, ['oob']);
    await first.write(`{${busy.members},"id":"busy"}`);
    await busy.begun;
    const waiting = await Promise.all(Array.from({ length: 8 }, () => negotiated(t, vm)));
    for (const [who, client] of waiting.entries()) {
      for (let round = 0; round < 20; round++) await client.write(signed(`w${who}-${round}`));
    }
    const further = await negotiated(t, vm, ['oob']);
    for (let round = 0; round < 20; round++) {
      await further.write(`${signed(`f${round}`)}{"exec-oob":"migrate-pause","id":${round}}`);
      assert.match(await further.readLine(), new RegExp(`^\\{"id": ${round}, "error": .*postcopy-active`));
    }
    // and of the one that keeps it busy
    await first.write('{"exec-oob":"query-yank","id":"yank"}');
    assert.match(await first.readLine(), /^\{"return": \[.*"block-node".*\], "id": "yank"\}$/);
    for (const client of waiting) assert.equal(client.unread.length, 0);

    busy.release();
    assert.equal(await first.readLine(), `{"id": "busy", "error": ${busy.error}}`);
    for (const [who, client] of waiting.entries()) {
      const expected = Array.from({ length: 20 }, (_, round) => signedAnswer(`w${who}-${round}`));
      assert.deepEqual(await client.readLines(20), expected);
    }
    const rest = Array.from({ length: 20 }, (_, round) => signedAnswer(`f${round}`));
    assert.deepEqual(await further.readLines(20), rest);
  });

  test('clients: one that floods does not starve another', async (t) => {
    const vm = await shareVm(t, { name: 'many' });
    const busy = await blockage(t);
    const blocker = await negotiated(t, vm);
    await blocker.write(`{${busy.members}}`);
    await busy.begun;
    const flood = await negotiated(t, vm);
    const modest = await negotiated(t, vm, ['oob']);
    // each leaves its number behind, so that QEMU itself can tell how many came before the modest client's query
    const commands = Array.from(
      { length: 1000 },
      (_, index) => `{"execute":"migrate-set-parameters","arguments":{"max-bandwidth":${index + 1}}}`,
    );
    await flood.write(commands.join(''));
    await modest.write('{"execute":"query-migrate-parameters","id":1}{"exec-oob":"query-yank","id":2}');
    assert.match(await modest.readLine(), /"id": 2\}$/);
    busy.release();
    const answer = await modest.readLine();
    const before = Number(/"max-bandwidth": (\d+)/.exec(answer)?.[1]);
    // QEMU's own number, where none was, is over a hundred million
    assert.ok(before < 64 || before > 1000, `${before} commands of the flood were executed first`);
    assert.deepEqual(
      await flood.readLines(1000),
      commands.map(() => '{"return": {}}'),
    );
  });

  test('clients each get every event once, between the answers where it happened', async (t) => {
    const vm = await shareVm(t, { name: 'many' });
    const clients = await Promise.all(Array.from({ length: 5 }, () => negotiated(t, vm)));
    const [actor, ...others] = clients;
    assert.ok(actor !== undefined);
    const unready = await RawClient.connect(vm.target);
    t.after(() => unready.close());
    await unready.readLine();
    const rounds = 20;
    for (let round = 0; round < rounds; round++) {
      await actor.write(`{"execute":"cont","id":"c${round}"}{"execute":"stop","id":"s${round}"}`);
    }
    const lines = (await actor.readLines(rounds * 4)).map((line) => line.replace(/"timestamp": \{.*?\}, /, ''));
    const expected = Array.from({ length: rounds }, (_, round) => [
      '{"event": "RESUME"}',
      `{"return": {}, "id": "c${round}"}`,
      '{"event": "STOP"}',
      `{"return": {}, "id": "s${round}"}`,
    ]).flat();
    assert.deepEqual(lines, expected);
    for (const other of others) {
      const events = (await other.readLines(rounds * 2)).map((line) => /"event": "(\w+)"/.exec(line)?.[1]);
      assert.deepEqual(events, Array.from({ length: rounds }, () => ['RESUME', 'STOP']).flat());
      await other.write('{"execute":"query-name"}');
      assert.equal(await other.readLine(), '{"return": {"name": "many"}}');
    }
    // one that has not negotiated sees none, and none later
    await unready.write('{"execute":"qmp_capabilities"}{"execute":"query-name"}');
    assert.deepEqual(await unready.readLines(2), ['{"return": {}}', '{"return": {"name": "many"}}']);
  });
});
