/** Logging in by SASL where what answers does not do as a daemon does that knows the password. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { logIn } from '../../../dist/net/libvirt/login.js';
import { LibvirtRpc } from '../../../dist/net/libvirt/rpc.js';
import { XdrReader, XdrWriter } from '../../../dist/net/libvirt/xdr.js';
import { SocketConnection } from '../../../dist/net/link/connection.js';
import { scratch } from '../../support/files/scratch.js';
import { type Call, fakeLibvirt, Procedure, reply } from '../../support/libvirt/fake-libvirt.js';

const PASSWORD = 's3cret';
const SCRAM = 'SCRAM-SHA-256';

/** What a server says in a step: its words, or null for none, and whether we are in. */
type Step = readonly [words: string | null, isComplete: boolean];

/** @returns the client's words, of a call that has them behind `before` texts */
function wordsOf({ body }: Call, before: number): string {
  const reader = new XdrReader(body);
  for (let count = 0; count < before; count++) reader.text();
  reader.int();
  return Buffer.from(Array.from({ length: reader.unsigned() }, () => reader.int())).toString();
}

/** @returns null when we are logged in, or why not */
async function outcome(t: TestContext, mechanisms: string, step: (words: string) => Step): Promise<string | null> {
  const uri = await fakeLibvirt(t, (socket, call) => {
    const { procedure } = call;
    if (procedure === Procedure.authList) socket.write(reply(call, new XdrWriter().int(1).int(1).finish()));
    else if (procedure === Procedure.saslInit) socket.write(reply(call, new XdrWriter().text(mechanisms).finish()));
    else {
      const [words, isComplete] = step(wordsOf(call, procedure === Procedure.saslStart ? 1 : 0));
      const bytes = Buffer.from(words ?? '');
      const body = new XdrWriter()
        .int(isComplete ? 1 : 0)
        .int(words === null ? 1 : 0)
        .int(bytes.length);
      for (const byte of bytes) body.int(byte);
      socket.write(reply(call, body.finish()));
    }
    return true;
  });
  const file = join(scratch(t), 'auth.conf');
  writeFileSync(
    file,
    `[credentials-it]\nauthname=fred\npassword=${PASSWORD}\n[auth-libvirt-default]\ncredentials=it\n`,
  );
  const socket = connect({ port: Number(new URL(uri).port), host: '127.0.0.1', allowHalfOpen: true });
  await once(socket, 'connect');
  const rpc = new LibvirtRpc(new SocketConnection(socket), { message: () => undefined, closed: () => undefined });
  t.after(() => rpc.close(true));
  try {
    await logIn(rpc, { host: 'host', file, way: null, wire: 'private' }, () => undefined);
    return null;
  } catch (error) {
    assert.ok(error instanceof Error && !error.message.includes(PASSWORD));
    return error.message;
  }
}

/** A challenge that goes with what the client has begun with. */
function challenge(words: string): string {
  return `r=${/r=(.*)$/.exec(words)?.[1] ?? ''}more,s=QSXCR+Q6sek8bf92,i=4096`;
}

const another = 'this libvirt failed to prove that it knows the password: ';

for (const [what, steps, problem] of [
  ['at once', [() => [null, true]], `${another}it accepted us, but its challenge is not one of SCRAM`],
  ['with its challenge', [(words) => [challenge(words), true]], 'libvirt’s log-in does not end'],
  [
    'without its proof',
    [(words) => [challenge(words), false], () => [null, true]],
    `${another}it accepted us, but its proof is wrong`,
  ],
  [
    'with a proof of something else',
    [(words) => [challenge(words), false], () => [`v=${Buffer.alloc(32).toString('base64')}`, true]],
    `${another}it accepted us, but its proof is wrong`,
  ],
  [
    'with a second challenge',
    [(words) => [challenge(words), false], (words) => [challenge(words), false]],
    `${another}its proof is wrong`,
  ],
] as readonly (readonly [string, readonly ((words: string) => Step)[], string])[]) {
  test(`a server that lets us in ${what} is not one we talk to`, async (t) => {
    const rest = [...steps];
    assert.equal(await outcome(t, SCRAM, (words) => rest.shift()?.(words) ?? [null, true]), problem);
  });
}

test('a server that never has enough is left', async (t) => {
  assert.equal(await outcome(t, 'PLAIN', () => [null, false]), 'libvirt’s log-in does not end');
});

test('PLAIN sends the name and the password as its RFC has it', async (t) => {
  const said: string[] = [];
  const step = (words: string): Step => {
    said.push(words);
    return [null, true];
  };
  assert.equal(await outcome(t, 'PLAIN', step), null);
  assert.deepEqual(said, [`\0fred\0${PASSWORD}`]);
});
