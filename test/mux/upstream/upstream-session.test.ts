import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { UpstreamState } from '../../../dist/mux/ports/link.js';
import { SeenTime } from '../../../dist/mux/ports/seen-time.js';
import { UpstreamSession } from '../../../dist/mux/upstream/upstream-session.js';
import { assertLinear } from '../../support/text/work.js';
import { bytesOf, MemoryLink, textOf } from '../../support/world/world.js';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 1, "minor": 2, "major": 9}, "package": ""}, "capabilities": ["oob"]}}\r\n';
const HANDSHAKE_ANSWER = '{"return": {}, "id": "nonce"}\r\n';

/** A monitor alone, with everything it reports to its owner. */
class Alone {
  readonly told: string[] = [];
  readonly monitor: UpstreamSession;
  link = new MemoryLink();

  constructor(enablesOob = true, lines: boolean | null = null) {
    this.monitor = new UpstreamSession(
      { now: () => 0, nonce: () => 'nonce' },
      { enablesOob, endsLines: lines, seenTime: new SeenTime(), mostReplyBytes: 0 },
      {
        message: (envelope) => this.told.push(`message ${envelope.id}`),
        stray: (_chunks, why) => this.told.push(`stray ${why}`),
        changed: (state: UpstreamState) => this.told.push(state.name),
      },
    );
  }

  open(): void {
    this.link = new MemoryLink();
    this.monitor.opened(this.link);
  }

  say(text: string): void {
    this.monitor.receive(bytesOf(text));
  }
}

/** @returns a message with QEMU's blanks and line ends */
function asQemu(message: unknown, indent: number | undefined): string {
  const text = JSON.stringify(message, null, indent).replaceAll('\n', '\r\n');
  return indent === undefined ? text.replaceAll('":', '": ').replaceAll(',"', ', "') : text;
}

/** Everything that can happen to a monitor. */
const happenings: Readonly<Record<string, (alone: Alone) => void>> = {
  opened: (alone) => alone.open(),
  greeting: (alone) => alone.say(GREETING),
  answer: (alone) => alone.say(HANDSHAKE_ANSWER),
  refusal: (alone) => alone.say('{"id": "nonce", "error": {"class": "GenericError", "desc": "no"}}\r\n'),
  probe: (alone) => alone.say('{"id": "nonce0", "error": {"class": "GenericError", "desc": "words"}}\r\n'),
  reply: (alone) => alone.say('{"return": {}, "id": 3}\r\n'),
  event: (alone) => alone.say('{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n'),
  rest: (alone) => alone.say('vice": "drive0"}], "id": "libvirt-77"}\r\n'),
  garbage: (alone) => alone.say('garbage\r\n'),
  closed: (alone) => alone.monitor.closed('closed'),
  drop: (alone) => alone.monitor.drop('dropped'),
};

describe('the upstream state', () => {
  /** The happenings, and the reports to the owner. */
  const sequences: readonly (readonly [string, string])[] = [
    ['', ''],
    ['opened', 'greeting'],
    ['opened greeting', 'greeting negotiating'],
    ['opened greeting answer', 'greeting negotiating running'],
    ['opened greeting answer reply', 'greeting negotiating running message 3'],
    ['opened greeting probe answer', 'greeting negotiating running'],
    ['opened greeting reply answer', 'greeting negotiating stray an answer to an earlier connection running'],
    ['opened greeting garbage answer', 'greeting negotiating stray an answer to an earlier connection running'],
    ['opened greeting greeting answer', 'greeting negotiating stray an answer to an earlier connection running'],
    ['opened greeting refusal', 'greeting negotiating lost'],
    ['opened greeting refusal answer reply', 'greeting negotiating lost'],
    ['opened garbage', 'greeting lost'],
    ['opened garbage greeting answer', 'greeting lost'],
    ['opened reply', 'greeting stray from before the greeting'],
    ['opened event', 'greeting stray from before the greeting'],
    ['opened rest', 'greeting stray from before the greeting'],
    ['opened rest rest', 'greeting stray from before the greeting lost'],
    ['opened event garbage', 'greeting stray from before the greeting lost'],
    [
      'opened event reply greeting answer reply',
      'greeting stray from before the greeting stray from before the greeting negotiating running message 3',
    ],
    ['opened rest greeting answer', 'greeting stray from before the greeting negotiating running'],
    ['opened closed', 'greeting lost'],
    ['opened drop', 'greeting lost'],
    ['opened greeting closed', 'greeting negotiating lost'],
    ['opened greeting drop', 'greeting negotiating lost'],
    ['opened greeting answer closed', 'greeting negotiating running lost'],
    ['opened greeting answer drop', 'greeting negotiating running lost'],
    ['opened greeting answer closed closed drop', 'greeting negotiating running lost'],
    ['opened greeting answer closed reply', 'greeting negotiating running lost'],
    ['opened closed opened', 'greeting lost greeting'],
    [
      'opened greeting answer closed opened greeting answer',
      'greeting negotiating running lost greeting negotiating running',
    ],
    ['opened greeting closed opened answer', 'greeting negotiating lost greeting stray from before the greeting'],
    ['closed', ''],
    ['drop', ''],
    ['garbage', ''],
    ['greeting answer', ''],
  ];
  for (const [happened, told] of sequences) {
    it(`after ${happened === '' ? 'nothing' : happened} has gone through: ${told === '' ? 'nothing' : told}`, () => {
      const alone = new Alone();
      for (const what of happened.split(' ').filter((word) => word !== '')) happenings[what]?.(alone);
      assert.deepEqual(alone.told.join(' '), told);
      assert.equal(alone.monitor.link === alone.link, alone.monitor.state.name === 'running');
    });
  }

  it('is reached likewise when everything comes in one piece, or byte by byte', () => {
    const text = `${GREETING}{"return": 1, "id": 1}\r\n${HANDSHAKE_ANSWER}{"return": 1, "id": 7}\r\n`;
    const told = 'greeting negotiating stray an answer to an earlier connection running message 7';
    for (const size of [1, 3, 1000]) {
      const alone = new Alone();
      alone.open();
      for (let at = 0; at < text.length; at += size) alone.say(text.slice(at, at + size));
      assert.equal(alone.told.join(' '), told);
    }
  });

  it('is reached past messages for an earlier client, pretty or not, in pieces of any size', () => {
    const early = [
      { return: { status: 'running', text: 'a "QMP" in it }' }, id: 'libvirt-7' },
      { id: { a: [1] }, error: { class: 'GenericError', desc: 'no' } },
      { timestamp: { seconds: 1, microseconds: 2 }, event: 'RESUME', data: {} },
      { id: 3, return: {} },
    ];
    for (const indent of [undefined, 4]) {
      const all = [...early, JSON.parse(GREETING), { return: {}, id: 'nonce' }, { return: 1, id: 7 }];
      const text = all.map((message) => `${asQemu(message, indent)}\r\n`).join('');
      const told = `greeting ${'stray from before the greeting '.repeat(early.length)}negotiating running message 7`;
      for (const size of [1, 2, 7, 100_000]) {
        const alone = new Alone();
        alone.open();
        for (let at = 0; at < text.length; at += size) alone.say(text.slice(at, at + size));
        assert.equal(alone.told.join(' '), told);
      }
    }
  });

  it('is reached past a long answer to an earlier client, longer than any greeting', () => {
    const alone = new Alone();
    alone.open();
    const text = `{"return": [${'{"name": "x"},'.repeat(100_000)}{}]}\r\n${GREETING}${HANDSHAKE_ANSWER}`;
    for (let at = 0; at < text.length; at += 65_536) alone.say(text.slice(at, at + 65_536));
    assert.equal(alone.told.join(' '), 'greeting stray from before the greeting negotiating running');
  });

  it('is given up after a thousand messages, or 64 MiB, without a greeting', () => {
    const many = new Alone();
    many.open();
    for (let i = 0; i < 2000; i++) many.say('{"return": {}}\r\n');
    assert.equal(many.told.length, 1002);
    assert.equal(many.told.at(-1), 'lost');
    const long = new Alone();
    long.open();
    long.say('{"return": "');
    const chunk = bytesOf('x'.repeat(1024 * 1024));
    for (let i = 0; i < 70; i++) long.monitor.receive(chunk);
    assert.equal(long.told.join(' '), 'greeting lost');
  });

  it('takes bytes before a greeting without looking at them again and again', () => {
    // A list of pieces that were joined for each byte would take minutes.
    const alone = new Alone();
    alone.open();
    const byte = bytesOf(' ');
    for (let i = 0; i < 500_000; i++) alone.monitor.receive(byte);
    const letter = bytesOf('x');
    for (let i = 0; i < 64 * 1024 + 1; i++) alone.monitor.receive(letter);
    assert.equal(alone.told.join(' '), 'greeting lost');
  });

  it('does not allow a connection while there is one: that is a fault of the caller', () => {
    for (const happened of ['opened', 'opened greeting', 'opened greeting answer']) {
      const alone = new Alone();
      for (const what of happened.split(' ')) happenings[what]?.(alone);
      const { link } = alone;
      const state = alone.monitor.state;
      assert.throws(() => alone.open(), /upstream cannot go from \w+ to greeting/);
      assert.equal(alone.monitor.state, state);
      alone.monitor.drop('still in charge of its connection');
      assert.equal(link.isDestroyed, true);
    }
  });

  it('describes a running upstream', () => {
    for (const [from, to, oob, version] of [
      ['', '', true, '9.2.1'],
      ['"oob"', '', false, '9.2.1'],
      ['"oob"', '"new", "oob"', true, '9.2.1'],
      ['["oob"]', '7', false, '9.2.1'],
      ['"major": 9', '"major": 10', true, '10.2.1'],
      ['"qemu"', '"kemu"', true, '0.0.0'],
      ['"capabilities"', '"c"', false, '9.2.1'],
    ] as const) {
      const alone = new Alone();
      alone.open();
      alone.say(GREETING.replace(from, to));
      alone.say(HANDSHAKE_ANSWER);
      assert.deepEqual(alone.monitor.state, { name: 'running', oob, pretty: false, version });
      assert.equal(alone.monitor.offersOob, oob);
    }
  });

  it('neither enables oob nor offers it to clients if it is off, and offers all else', () => {
    for (const [offered, left] of [
      ['["oob"]', '[]'],
      ['["oob", "new"]', '["new"]'],
      ['["a","oob" , "b"]', '["a", "b"]'],
      ['["new"]', '["new"]'],
      ['[]', '[]'],
    ] as const) {
      const alone = new Alone(false);
      alone.open();
      alone.say(GREETING.replace('["oob"]', offered));
      // Asking for it by way of trial would enable it.
      const mayTry = !offered.includes('"oob"');
      assert.equal(alone.link.text.includes('["oob"]'), mayTry, offered);
      assert.ok(alone.link.text.endsWith('{"execute":"qmp_capabilities","id":"nonce"}'));
      alone.say(HANDSHAKE_ANSWER);
      assert.deepEqual(alone.monitor.state, { name: 'running', oob: false, pretty: false, version: '9.2.1' });
      assert.equal(alone.monitor.offersOob, false);
      assert.equal(textOf(alone.monitor.greeting), GREETING.replace('["oob"]', left));
    }
  });
});

describe('an upstream that passes on whole lines only', () => {
  const second = 1_000_000;
  const greeted = (alone: Alone): Alone => {
    alone.open();
    alone.say(GREETING);
    return alone;
  };
  /** The bytes written for one command. */
  const command = (alone: Alone): string => {
    const before = alone.link.text.length;
    alone.monitor.link?.write(bytesOf('{}'));
    return alone.link.text.slice(before);
  };

  it('is found out when the handshake has no answer for a second, and known from then on', () => {
    const alone = greeted(new Alone());
    const handshake = alone.link.text;
    assert.ok(!handshake.includes('\n'));
    alone.monitor.tick(second - 1);
    assert.equal(alone.link.text, handshake);
    alone.monitor.tick(second);
    assert.equal(alone.link.text, `${handshake}\n`);
    alone.monitor.tick(3 * second);
    assert.equal(alone.link.text, `${handshake}\n`);
    alone.say(HANDSHAKE_ANSWER);
    assert.deepEqual(alone.monitor.state, { name: 'running', oob: true, pretty: false, version: '9.2.1', lines: true });
    assert.equal(command(alone), '{}\n');
    alone.monitor.closed('closed');
    greeted(alone);
    assert.equal(alone.link.text, `${handshake}\n`);
  });

  it('is forgotten if the line feed did not help', () => {
    const alone = greeted(new Alone());
    alone.monitor.tick(2 * second);
    alone.monitor.closed('closed');
    greeted(alone);
    assert.ok(!alone.link.text.includes('\n'));
  });

  it('gets no line feed if QEMU has answered, or lines=off says so, and one at once if lines=on does', () => {
    const quick = greeted(new Alone());
    quick.say(HANDSHAKE_ANSWER);
    quick.monitor.tick(5 * second);
    assert.equal(command(quick), '{}');
    const off = greeted(new Alone(true, false));
    off.monitor.tick(5 * second);
    assert.ok(!off.link.text.includes('\n'));
    const on = greeted(new Alone(true, true));
    assert.ok(on.link.text.endsWith('}\n'));
  });

  it('may be a terminal that echoes: our own echo belongs to nobody, and is no garbage', () => {
    const alone = greeted(new Alone());
    alone.monitor.tick(second);
    alone.say(`${alone.link.text}\r\r\n${HANDSHAKE_ANSWER}`);
    assert.equal(alone.told.join(' '), 'greeting negotiating running');
  });
});

describe('a peer that only pretends to be QEMU', () => {
  const greeting = (version: string, capabilities: string) =>
    `{"QMP": {"version": {"qemu": {"major": ${version}}}, "capabilities": ${capabilities}}}\r\n`;

  it('does no harm by a version that is nested deep, or no number', () => {
    const depth = 15_000;
    for (const version of ['['.repeat(depth) + ']'.repeat(depth), '"9"', '{}', 'null', '-1e3']) {
      const alone = new Alone();
      alone.open();
      alone.say(greeting(version, '[]'));
      alone.say(HANDSHAKE_ANSWER);
      assert.match(JSON.stringify(alone.monitor.state), /"running".*"version":"(0|-1000)\.0\.0"/);
    }
  });

  it('does not hold us up by blanks between capabilities that are taken out', () => {
    assertLinear(4000, (size) => () => {
      const alone = new Alone(false);
      alone.open();
      alone.say(greeting('9', `["oob"${' '.repeat(size)}, "x"]`));
      assert.match(textOf([alone.monitor.greeting]), /"capabilities": \["x"\]/);
    });
  });

  it('has a reason of any length reported in a few words, and its long answers left unread', () => {
    const alone = new Alone();
    alone.open();
    alone.say(GREETING);
    alone.say(`{"return": "${'x'.repeat(5_000_000)}", "id": "nonce"}\r\n`);
    assert.equal(alone.told.at(-1), 'stray an answer to an earlier connection');
    alone.say(`{"error": {"class": "GenericError", "desc": "${'no '.repeat(10_000)}"}, "id": "nonce"}\r\n`);
    const ended: UpstreamState = alone.monitor.state;
    const text = JSON.stringify(ended);
    assert.match(text, /"lost","reason":"QEMU refused the handshake: no no/);
    assert.ok(text.length < 700);
  });
});

describe('the handshake', () => {
  it('is one write: the faulty requests that teach the words, and one that shows the dialect, then the negotiation', () => {
    const alone = new Alone();
    alone.open();
    alone.say(GREETING);
    assert.equal(alone.link.writes.length, 1);
    const capabilities = '{"execute":"qmp_capabilities","arguments":';
    assert.equal(
      alone.link.text,
      `{"execute":"nonce","id":"nonce0"}` +
        `${capabilities}{"enable":["nonce"]},"id":"nonce1"}` +
        `${capabilities}{"nonce":0},"id":"nonce2"}` +
        `${capabilities}{"enable":0},"id":"nonce3"}` +
        `${capabilities}{"enable":[0]},"id":"nonce4"}` +
        '{"id":"noncedialect","id":"noncedialect"}' +
        `${capabilities}{"enable":["oob"]},"id":"nonce"}`,
    );
  });

  it('learns how QEMU judges malformed input, from an error without an id', () => {
    const learnt = (...errors: readonly string[]) => {
      const alone = new Alone();
      alone.open();
      alone.say(GREETING);
      for (const desc of errors) alone.say(`{"error": {"class": "GenericError", "desc": "${desc}"}}\r\n`);
      alone.say(HANDSHAKE_ANSWER);
      assert.equal(alone.monitor.state.name, 'running');
      return alone.monitor.dialect;
    };
    assert.equal(learnt('JSON parse error, duplicate key'), 'classic');
    assert.equal(learnt('1:1: JSON parse error, duplicate key'), 'prompt');
    // of an earlier client's input, in its column
    assert.equal(learnt('17:2048: JSON parse error, duplicate key'), 'prompt');
    assert.equal(learnt("1:1: JSON parse error, stray '@'"), 'classic');
    assert.equal(learnt(), 'classic');
  });

  it('asks for no oob if none is offered, but learns how it would be refused', () => {
    const alone = new Alone();
    alone.open();
    alone.say(GREETING.replace('"oob"', ''));
    assert.ok(
      alone.link.text.endsWith(
        '{"execute":"qmp_capabilities","arguments":{"enable":["oob"]},"id":"nonce5"}{"id":"noncedialect","id":"noncedialect"}' +
          '{"execute":"qmp_capabilities","id":"nonce"}',
      ),
    );
  });

  it('may be refused without a word', () => {
    const alone = new Alone();
    alone.open();
    alone.say(GREETING);
    alone.say('{"id": "nonce", "error": null}\r\n');
    const { state } = alone.monitor;
    assert.equal(state.name === 'lost' && state.reason, 'QEMU refused the handshake: without a reason');
  });

  it('forgets the words of the QEMU before', () => {
    const alone = new Alone();
    for (const expected of ['words', "Expecting capabilities negotiation with 'qmp_capabilities'"]) {
      alone.open();
      alone.say(GREETING);
      if (expected === 'words') happenings['probe']?.(alone);
      alone.say(HANDSHAKE_ANSWER);
      assert.equal(alone.monitor.words.expecting, expected);
      alone.monitor.closed('gone');
    }
  });

  it('is not confused by answers with its word and something else after it', () => {
    const alone = new Alone();
    alone.open();
    alone.say(GREETING);
    for (const id of ['nonce99', 'noncex', 'nonce ', 'nonce-1', 'nonce0.5', 'nonce__proto__']) {
      alone.say(`{"id": "${id}", "error": {"class": "GenericError", "desc": "x"}}\r\n`);
    }
    alone.say('{"return": {}, "id": "nonce0"}\r\n{"id": "nonce1", "error": 7}\r\n');
    assert.deepEqual(alone.told, ['greeting', 'negotiating']);
    alone.say(HANDSHAKE_ANSWER);
    assert.equal(alone.monitor.words.expecting, "Expecting capabilities negotiation with 'qmp_capabilities'");
  });
});
