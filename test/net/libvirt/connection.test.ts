/** The monitor of a libvirt domain where libvirt says what QEMU never would. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { dialLibvirt } from '../../../dist/net/libvirt/dial.js';
import { XdrWriter } from '../../../dist/net/libvirt/xdr.js';
import type { Connection } from '../../../dist/net/link/connection.js';
import {
  DOMAIN,
  fakeLibvirt,
  message,
  Procedure,
  Program,
  reply,
  Type,
  usualAnswer,
} from '../../support/libvirt/fake-libvirt.js';

/** A monitor that answers each command with its number, and says something of its own before. @returns what a client is told, up to two answers */
async function told(t: TestContext, eventData: string, answer: (number: number) => string): Promise<string> {
  let commands = 0;
  const uri = await fakeLibvirt(t, (socket, call) => {
    if (call.program !== Program.qemu || call.procedure !== Procedure.monitorCommand) return false;
    if (commands++ === 0) {
      socket.write(reply(call, usualAnswer(call)));
      return true;
    }
    const event = new XdrWriter().int(1).raw(DOMAIN).text('STOP').int(0).int(1).int(2).optionalText(eventData);
    socket.write(message(Program.qemu, 6, Type.message, 0, 0, event.finish()));
    socket.write(reply(call, new XdrWriter().text(answer(commands - 1)).finish()));
    return true;
  });
  const connection = await new Promise<Connection>((resolve, reject) => {
    dialLibvirt(
      { kind: 'libvirt', domain: 'web1', uri },
      {
        connected: resolve,
        failed: (reason) => {
          reject(new Error(reason));
        },
        said: () => undefined,
        exposed: () => undefined,
      },
    );
  });
  t.after(() => connection.close(true));
  return new Promise((resolve) => {
    let text = '';
    connection.attach({
      receive: (chunk) => {
        const piece = Buffer.from(chunk).toString();
        text += piece;
        if (piece.startsWith('{"QMP"')) connection.link.write(Buffer.from('{"execute":"qmp_capabilities"}'));
        if (piece === '{"return": {}}\r\n') {
          connection.link.write(Buffer.from('{"execute":"a","id":"a"}{"execute":"b","id":"b"}'));
        }
        if (text.includes('"id": "b"')) resolve(text);
      },
      closed: (reason) => {
        resolve(`${text}closed: ${reason}`);
      },
    });
  });
}

const EVENT = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "data": {}}\r\n';

for (const [what, data] of [
  ['half a message', '{"a": '],
  ['two messages', '{} {"return": "another\'s"}'],
  ['no JSON', 'x}'],
  ['nothing', ''],
] as const) {
  test(`an event whose data is ${what} does no harm to the answers after it`, async (t) => {
    const text = await told(t, data, (number) => `{"return":${number},"id":"libvirt-1"}\r\n`);
    const [, ...lines] = text.split(/(?<=\n)/).slice(1);
    assert.deepEqual(lines, [EVENT, '{"return": 1, "id": "a"}\r\n', EVENT, '{"return": 2, "id": "b"}\r\n']);
  });
}

test('an answer of two messages is the first of them, and the next answer is the next one’s', async (t) => {
  const text = await told(t, '{}', (number) => `{"return":${number}}{"return":"more"}`);
  const [, ...lines] = text.split(/(?<=\n)/).slice(1);
  assert.deepEqual(lines, [EVENT, '{"return": 1, "id": "a"}\r\n', EVENT, '{"return": 2, "id": "b"}\r\n']);
});
