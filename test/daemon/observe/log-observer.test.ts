import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogObserver } from '../../../dist/daemon/observe/log-observer.js';
import { Multiplexer } from '../../../dist/mux/multiplexer.js';
import { LogRecord } from '../../support/text/log-record.js';

/** A link that keeps nothing. */
const deadEnd = {
  backlog: 0,
  write: () => undefined,
  writeAll: () => undefined,
  end: () => undefined,
  destroy: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};

interface Setup {
  readonly multiplexer: Multiplexer;
  readonly log: LogRecord;
  /** The bytes that went upstream, as text. */
  readonly sent: () => string;
}

/** A multiplexer whose handshake is done, over a link that a test plays QEMU on. */
function running(): Setup {
  const log = new LogRecord();
  let sent = '';
  const multiplexer = new Multiplexer({
    name: 'vm',
    host: {
      now: () => 0,
      epoch: () => 0,
      schedule: () => undefined,
      nonce: () => 'nonce1234',
      upstreamChanged: () => undefined,
    },
    observer: new LogObserver(log),
  });
  const write = (chunk: Uint8Array): void => {
    sent += Buffer.from(chunk).toString('latin1');
  };
  multiplexer.upstreamOpened({
    ...deadEnd,
    write,
    writeAll: (chunks) => chunks.forEach(write),
  });
  multiplexer.upstreamReceive(Buffer.from('{"QMP": {"version": {"qemu": {}}, "capabilities": []}}\r\n'));
  multiplexer.upstreamReceive(Buffer.from('{"return": {}, "id": "nonce1234"}\r\n'));
  assert.equal(multiplexer.state.name, 'running');
  return { multiplexer, log, sent: () => sent };
}

test('the log mentions an answer to a client that has left, and no others', () => {
  const { multiplexer, log, sent } = running();
  const port = multiplexer.connect(deadEnd, { listener: 'unix:/mux', peer: { kind: 'unix' } });
  port.receive(Buffer.from('{"execute":"qmp_capabilities"}{"execute":"stop"}'));
  multiplexer.commit();
  const stop = /"stop","id":(\d+)/.exec(sent())?.[1];
  multiplexer.upstreamReceive(Buffer.from(`{"return": {}, "id": ${stop}}\r\n`));
  port.receive(Buffer.from('{"execute":"cont"}'));
  multiplexer.commit();
  port.closed('reset by the peer');
  const cont = /"cont","id":(\d+)/.exec(sent())?.[1];
  multiplexer.upstreamReceive(Buffer.from(`{"return": {}, "id": ${cont}}\r\n`));
  assert.deepEqual(log.shown, [
    {
      level: 'info',
      text: 'dropped the answer to a client that has left',
      fields: { client: 1, command: 'cont', isError: false },
    },
  ]);
  const gone = log.lines.find((line) => line.text === 'a client is gone');
  assert.deepEqual(gone?.fields, { client: 1, listener: 'unix:/mux', reason: 'reset by the peer' });
});

test('the log mentions commands that will not be answered, and shows the start of messages that belong to nobody', () => {
  const { multiplexer, log } = running();
  const port = multiplexer.connect(deadEnd, { listener: 'unix:/mux', peer: { kind: 'unix' } });
  port.receive(Buffer.from('{"execute":"qmp_capabilities"}{"execute":"stop"}'));
  multiplexer.commit();
  multiplexer.upstreamReceive(Buffer.from(`{"return": {}, "id": "stale ${'x'.repeat(1000)}"}\r\n`));
  multiplexer.upstreamClosed('closed by QEMU');
  const [stray, unanswered, ...more] = log.shown;
  assert.deepEqual(more, []);
  assert.equal(stray?.level, 'warn');
  assert.equal(stray?.text, 'QEMU sent a message that no client waits for; check what else uses its monitor');
  assert.match(String(stray?.fields['message']), /^\{"return": \{\}, "id": "stale x+…$/);
  assert.ok(String(stray?.fields['message']).length <= 201);
  assert.deepEqual(unanswered, {
    level: 'warn',
    text: 'a command was sent and will not be answered',
    fields: { client: 1, command: 'stop', oob: false, reason: 'closed by QEMU' },
  });
});

test('the log repeats a frequent line a few times, and then says how often it came', () => {
  const log = new LogRecord();
  let now = 0;
  const observer = new LogObserver(log, () => now);
  for (let i = 0; i < 1000; i++) observer.stray([Buffer.from('garbage\r\n')], 'not a QMP message');
  assert.equal(log.shown.length, 10);
  now = 10_000;
  observer.stray([Buffer.from('garbage\r\n')], 'not a QMP message');
  assert.equal(log.shown.length, 11);
  assert.equal(log.shown.at(-1)?.fields['times'], 991);
  observer.stray([Buffer.from('garbage\r\n')], 'a second greeting');
  assert.equal(log.shown.length, 12);
});
