import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Multiplexer } from '../../../dist/mux/multiplexer.js';
import type { Link } from '../../../dist/mux/ports/link.js';
import type { Observer, ReplySource } from '../../../dist/mux/ports/observer.js';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}\r\n';

function nothing(): void {}

class Wire implements Link {
  sent = '';
  backlog = 0;
  write(chunk: Uint8Array): void {
    this.sent += Buffer.from(chunk).toString('latin1');
  }
  writeAll(chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) this.write(chunk);
  }
  take(): string {
    const sent = this.sent;
    this.sent = '';
    return sent;
  }
  end(): void {}
  destroy(): void {}
  pause(): void {}
  resume(): void {}
}

/** To a peer that takes one command at a time. */
class NarrowWire extends Wire {
  readonly window = 1;
}

/** A multiplexer that is running, with its upstream in the test's hands. */
function start(options: { cache?: boolean; merge?: boolean } = {}, upstream = new Wire()) {
  const sources: ReplySource[] = [];
  const observer: Observer = {
    wantsRaw: false,
    connected: nothing,
    negotiated: nothing,
    disconnected: nothing,
    command: nothing,
    answered: (_command, _reply, _isError, source) => sources.push(source),
    unanswered: nothing,
    malformed: nothing,
    denied: nothing,
    event: nothing,
    upstream: nothing,
    stray: nothing,
    flush: () => null,
  };
  const host = { now: () => 0, epoch: () => 0, schedule: nothing, nonce: () => 'nonce123', upstreamChanged: nothing };
  const mux = new Multiplexer({ name: 'vm', host, observer, ...options });
  const say = (text: string): void => {
    mux.upstreamReceive(Buffer.from(text, 'latin1'));
    mux.commit();
  };
  const begin = (): void => {
    mux.upstreamOpened(upstream);
    say(GREETING);
    upstream.take();
    say('{"return": {}, "id": "nonce123"}\r\n');
  };
  begin();
  const connect = () => {
    const wire = new Wire();
    const port = mux.connect(wire, { listener: 'test', peer: { kind: 'stdio' } });
    const send = (text: string): void => port.receive(Buffer.from(text, 'latin1'));
    send('{"execute":"qmp_capabilities"}');
    mux.commit();
    wire.take();
    return { send, wire };
  };
  return { mux, upstream, say, begin, connect, sources };
}

describe('replies that cannot change', () => {
  it('are asked once and then served from memory, with each client’s own id', () => {
    const { mux, upstream, say, connect, sources } = start();
    const one = connect();
    const two = connect();
    one.send('{"execute":"query-version","id":"a"}');
    mux.commit();
    assert.equal(upstream.take(), '{"execute":"query-version","id":0}');
    say('{"return": {"qemu": 7}, "id": 0}\r\n');
    assert.equal(one.wire.take(), '{"return": {"qemu": 7}, "id": "a"}\r\n');
    two.send('{"execute":"query-version","id":[1]}{"execute":"query-version"}');
    mux.commit();
    assert.equal(upstream.take(), '');
    assert.equal(two.wire.take(), '{"return": {"qemu": 7}, "id": [1]}\r\n{"return": {"qemu": 7}}\r\n');
    assert.deepEqual(sources, ['upstream', 'cached', 'cached']);
  });

  it('come after the answers to the client’s earlier commands', () => {
    const { mux, upstream, say, connect } = start();
    const client = connect();
    client.send('{"execute":"query-name"}');
    mux.commit();
    say('{"return": {}, "id": 0}\r\n');
    upstream.take();
    client.wire.take();
    client.send('{"execute":"stop","id":1}{"execute":"query-name","id":2}');
    mux.commit();
    assert.equal(upstream.take(), '{"execute":"stop","id":1}');
    assert.equal(client.wire.take(), '');
    say('{"return": {}, "id": 1}\r\n');
    assert.equal(client.wire.take(), '{"return": {}, "id": 1}\r\n{"return": {}, "id": 2}\r\n');
  });

  it('are asked again with arguments, after an error, of a new upstream, and with the cache off', () => {
    const { mux, upstream, say, begin, connect } = start();
    const ask = (client: ReturnType<typeof connect>, text: string): string => {
      client.send(text);
      mux.commit();
      return upstream.take();
    };
    const client = connect();
    assert.notEqual(ask(client, '{"execute":"query-kvm"}'), '');
    say('{"id": 0, "error": {"class": "GenericError", "desc": "no"}}\r\n');
    assert.notEqual(ask(client, '{"execute":"query-kvm"}'), '', 'an error is not kept');
    say('{"return": {"present": true}, "id": 1}\r\n');
    assert.equal(ask(client, '{"execute":"query-kvm","arguments":{}}'), '', 'empty arguments say nothing');
    assert.notEqual(ask(client, '{"execute":"query-kvm","arguments":{"x":1}}'), '');
    mux.upstreamClosed('gone');
    begin();
    assert.notEqual(ask(connect(), '{"execute":"query-kvm"}'), '', 'another QEMU may answer otherwise');

    const off = start({ cache: false });
    const other = off.connect();
    for (const id of [0, 1]) {
      other.send('{"execute":"query-kvm"}');
      off.mux.commit();
      assert.equal(off.upstream.take(), `{"execute":"query-kvm","id":${id}}`);
      off.say(`{"return": {}, "id": ${id}}\r\n`);
    }
  });
});

describe('identical queries', () => {
  it('that wait at the heads of several queues go upstream once, and everyone gets the answer', () => {
    const { mux, upstream, say, connect, sources } = start();
    const clients = [connect(), connect(), connect()];
    clients.forEach((client, index) => client.send(`{"execute":"query-block","id":${index + 100}}`));
    mux.commit();
    assert.equal(upstream.take(), '{"execute":"query-block","id":0}');
    say('{"return": [], "id": 0}\r\n');
    clients.forEach((client, index) => {
      assert.equal(client.wire.take(), `{"return": [], "id": ${index + 100}}\r\n`);
    });
    assert.deepEqual(sources, ['upstream', 'shared', 'shared']);
  });

  it('are never answered from a moment before they were sent', () => {
    const { mux, upstream, say, connect } = start();
    const early = connect();
    const late = connect();
    early.send('{"execute":"query-block"}');
    mux.commit();
    late.send('{"execute":"query-block"}');
    mux.commit();
    assert.equal(upstream.take(), '{"execute":"query-block","id":0}{"execute":"query-block","id":1}');
    say('{"return": ["old"], "id": 0}\r\n');
    assert.equal(late.wire.take(), '');
    say('{"return": ["new"], "id": 1}\r\n');
    assert.equal(late.wire.take(), '{"return": ["new"]}\r\n');
  });

  it('wait together if the upstream takes one command at a time', () => {
    const { mux, upstream, say, connect, sources } = start({}, new NarrowWire());
    const clients = [connect(), connect(), connect()];
    for (const [index, client] of clients.entries()) {
      client.send(`{"execute":"query-block","id":${index}}`);
      mux.commit();
    }
    assert.equal(upstream.take(), '{"execute":"query-block","id":0}');
    say('{"return": ["old"], "id": 0}\r\n');
    // Both were sent before it, so one answer is new enough for both.
    assert.equal(upstream.take(), '{"execute":"query-block","id":1}');
    say('{"return": ["new"], "id": 1}\r\n');
    assert.equal(upstream.take(), '');
    assert.deepEqual(
      clients.map(({ wire }) => wire.take()),
      ['{"return": ["old"], "id": 0}\r\n', '{"return": ["new"], "id": 1}\r\n', '{"return": ["new"], "id": 2}\r\n'],
    );
    assert.deepEqual(sources, ['upstream', 'upstream', 'shared']);
  });

  it('stay after the earlier commands of their own client', () => {
    const { mux, upstream, say, connect } = start();
    const one = connect();
    const two = connect();
    one.send('{"execute":"query-block"}');
    two.send('{"execute":"cont"}{"execute":"query-block"}');
    mux.commit();
    // The second client's query was not its next command when the first one's went upstream.
    assert.equal(
      upstream.take(),
      '{"execute":"query-block","id":0}{"execute":"cont","id":1}{"execute":"query-block","id":2}',
    );
    say('{"return": [1], "id": 0}\r\n{"return": {}, "id": 1}\r\n{"return": [2], "id": 2}\r\n');
    assert.equal(two.wire.take(), '{"return": {}}\r\n{"return": [2]}\r\n');
  });

  it('of one client are each asked, and so are those with arguments, commands, and all with merging off', () => {
    const { mux, upstream, connect } = start();
    const one = connect();
    const two = connect();
    one.send('{"execute":"query-block"}{"execute":"query-block"}');
    mux.commit();
    assert.equal(upstream.take(), '{"execute":"query-block","id":0}{"execute":"query-block","id":1}');
    for (const client of [two, connect()]) client.send('{"execute":"query-stats","arguments":{"target":"vm"}}');
    mux.commit();
    assert.equal(upstream.take().match(/query-stats/g)?.length, 2);
    for (const client of [two, connect()]) client.send('{"execute":"stop"}');
    mux.commit();
    assert.equal(upstream.take().match(/stop/g)?.length, 2);
    const off = start({ merge: false });
    for (const client of [off.connect(), off.connect()]) client.send('{"execute":"query-block"}');
    off.mux.commit();
    assert.equal(off.upstream.take().match(/query-block/g)?.length, 2);
  });
});
