/** However a descriptor that a client has sent ends, the daemon has it open no longer. */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { fewerOpenFiles, openFiles, sendWith } from '../../support/daemon/descriptors.js';
import { type Scope, scratch, suiteScope } from '../../support/files/scratch.js';
import { missing } from '../../support/qemu/qemu.js';
import { shareVm } from '../../support/qemu/shared-vm.js';
import { RawClient, type Target } from '../../support/world/raw-client.js';

async function negotiated(scope: Scope, target: Target): Promise<RawClient> {
  const client = await RawClient.negotiated(target);
  scope.after(() => client.close());
  return client;
}

/** Ways in which a descriptor can end with its connection: what is sent on it, with the descriptor, before it is closed. */
const LAST_WORDS: Readonly<Record<string, string>> = {
  'nothing else said': ' ',
  'before the negotiation': '{"execute":"getfd","arguments":{"fdname":"x"}}',
  'with half a command': '{"execute":"qmp_capabilities"}{"execute":"getf',
  'with a command that does not take it': '{"execute":"qmp_capabilities"}{"execute":"query-status"}',
  'taken, its client gone before the answer': `{"execute":"qmp_capabilities"}${named('gone')}`,
};

/** Ways that leave the connection: what is sent, each part with so many descriptors, and how many answers it draws. */
const ROUNDS: Readonly<Record<string, readonly [parts: readonly (readonly [string, number])[], answers: number]>> = {
  'taken by getfd, and closed': [
    [
      [named('x'), 1],
      ['{"execute":"closefd","arguments":{"fdname":"x"}}', 0],
    ],
    2,
  ],
  'one of seventeen': [[[named('x'), 17]], 1],
  'overtaken by the next': [
    [
      [' ', 1],
      [' ', 1],
      ['{"execute":"query-status"}', 1],
    ],
    1,
  ],
  'with what cannot be read': [[['{"execute":}', 1]], 1],
  'with a name that QEMU does not take': [[[named('1'), 1]], 1],
  'with arguments that QEMU does not take': [[['{"execute":"getfd"}', 1]], 1],
  'with a name of another client’s': [[[named('taken'), 1]], 1],
};

function named(name: string): string {
  return `{"execute":"getfd","arguments":{"fdname":"${name}"}}`;
}

describe('after 10,000 of each kind of ending the daemon has no more files open', {
  skip: missing('qemu'),
  concurrency: 1,
}, () => {
  const scope = suiteScope();
  let target = '';
  let pid = 0;
  let files = 0;
  let fd = -1;
  before(async () => {
    const path = join(scratch(scope), 'mux');
    const vm = await shareVm(scope, { listen: [`unix:${path},connection-rate=0`] });
    target = path;
    pid = vm.daemon.pid;
    fd = openSync('/etc/passwd', 'r');
    scope.after(() => {
      closeSync(fd);
    });
    const owner = await negotiated(scope, target);
    sendWith(owner.socket, named('taken'), [fd]);
    assert.equal(await owner.readLine(), '{"return": {}}');
    files = openFiles(pid);
  });

  for (const [name, words] of Object.entries(LAST_WORDS)) {
    test(`with its connection, ${name}`, async () => {
      const one = async () => {
        const client = await RawClient.connect(target);
        await client.readLine();
        sendWith(client.socket, words, [fd]);
        await client.close();
      };
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          for (let round = 0; round < 500; round++) await one();
        }),
      );
      await fewerOpenFiles(pid, files);
    });
  }

  for (const [name, [parts, answers]] of Object.entries(ROUNDS)) {
    test(name, async (t) => {
      const client = await negotiated(t, target);
      for (let round = 0; round < 10_000; round++) {
        for (const [bytes, count] of parts) {
          sendWith(
            client.socket,
            bytes,
            Array.from({ length: count }, () => fd),
          );
        }
        // As many as the kernel and the daemon take without waiting.
        if (round % 10 === 9) await client.readLines(answers * 10);
      }
      await client.close();
      await fewerOpenFiles(pid, files);
    });
  }
});
