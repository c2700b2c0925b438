import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connectHmp } from '../../../dist/hmp/terminal/session.js';
import type { ClientOptions, ClientPort } from '../../../dist/mux/multiplexer.js';
import { RulePolicy } from '../../../dist/mux/policy/policy.js';
import { parseRule } from '../../../dist/mux/policy/policy-rule.js';
import { bytesOf, MemoryLink, World, type WorldOptions } from '../../support/world/world.js';

const ESC = String.fromCharCode(27);
/** The echo of a line begins by going back in it, and ends by erasing the rest. */
const ECHO = new RegExp(String.raw`(?:${ESC}\[D)*[^\n${ESC}#]*${ESC}\[K`, 'g');
const BANNER = "QEMU 7.2.22 monitor - type 'help' for more information\r\n";
const PROMPT = '(qemu) ';

/** A client of the human monitor. Functions given to `later` run when the world's turns have come to their end. */
class HmpClient {
  readonly link = new MemoryLink();
  readonly port: ClientPort;
  readonly #world: World;
  readonly #later: (() => void)[] = [];
  #taken = 0;

  constructor(world: World, options: Partial<ClientOptions> = {}) {
    this.#world = world;
    const owner = {
      version: '7.2.22',
      connect: (link: MemoryLink, inner: ClientOptions) => world.mux.connect(link, inner),
      later: (run: () => void) => this.#later.push(run),
    };
    this.port = connectHmp(owner, this.link, { listener: 'unix:/run/vm.hmp', peer: { kind: 'unix' }, ...options });
    this.settle();
  }

  settle(): void {
    for (;;) {
      this.#world.settle();
      const later = this.#later.splice(0);
      if (later.length === 0) return;
      for (const run of later) run();
    }
  }

  type(text: string): this {
    this.port.receive(bytesOf(text));
    this.settle();
    return this;
  }

  /** QEMU's text for the line that waits there. */
  says(text: string): this {
    this.#world.qemu.returns(JSON.stringify(text));
    this.settle();
    return this;
  }

  /** The output since the last call, without the echo of the input. */
  take(): string {
    const text = this.link.text.slice(this.#taken);
    this.#taken += text.length;
    return text.replaceAll(PROMPT, '#').replace(ECHO, '').replaceAll('#', PROMPT);
  }
}

function running(options: WorldOptions = {}): World {
  return World.running(options);
}

function rules(...lines: readonly string[]): RulePolicy {
  const parsed = lines.map((line) => parseRule(line));
  return new RulePolicy(
    'some',
    parsed.flatMap((rule) => ('problem' in rule ? [] : [rule])),
    false,
  );
}

function waitingArgs(world: World): string[] {
  return world.qemu.waiting.map(({ name, args }) => `${name} ${args}`);
}

describe('a client of the human monitor', () => {
  it('gets the banner and the prompt, and the output of its line', () => {
    const world = running();
    const client = new HmpClient(world);
    assert.equal(client.take(), BANNER + PROMPT);
    client.type('info name\n');
    assert.deepEqual(waitingArgs(world), ['human-monitor-command {"command-line": "info name"}']);
    assert.equal(client.take(), '\r\n');
    client.says('vm\r\n');
    assert.equal(client.take(), `vm\r\n${PROMPT}`);
  });

  it('is a client like any other to the observer', () => {
    const world = running();
    const client = new HmpClient(world);
    client.type('stop\n').says('');
    client.port.closed('closed by the peer');
    world.settle();
    const raw = '{"execute":"human-monitor-command","arguments":{"command-line":"stop"}}';
    assert.deepEqual(world.logged('connected', 'command', 'disconnected'), [
      'connected 1 unix:/run/vm.hmp unix',
      `command 1 human-monitor-command raw ${raw}`,
      'disconnected 1 closed by the peer',
    ]);
  });

  it('has one line with QEMU at a time, and further input waits', () => {
    const world = running();
    const client = new HmpClient(world);
    client.type('a\nb\nc');
    assert.equal(world.qemu.waiting.length, 1);
    client.says('one\r\n');
    assert.deepEqual(waitingArgs(world), ['human-monitor-command {"command-line": "b"}']);
    client.says('two\r\n');
    assert.equal(client.take(), `${BANNER}${PROMPT}\r\none\r\n${PROMPT}\r\ntwo\r\n${PROMPT}`);
    assert.equal(world.qemu.waiting.length, 0);
  });

  it('gets no events', () => {
    const world = running();
    const client = new HmpClient(world);
    client.take();
    world.qemu.event('STOP');
    client.settle();
    assert.equal(client.take(), '');
  });

  it('gets non-ASCII text as UTF-8, and sends it', () => {
    const world = running();
    const client = new HmpClient(world);
    client.take();
    client.type('help \u00c3\u00a9\n');
    assert.deepEqual(waitingArgs(world), ['human-monitor-command {"command-line": "help \\u00E9"}']);
    world.qemu.returns('"\\u00E9\\u20AC\\uD83D\\uDE00"');
    client.settle();
    assert.equal(client.take(), `\r\n${Buffer.from('é€😀').toString('latin1')}${PROMPT}`);
  });

  it('gets an error for a line that is not UTF-8', () => {
    const world = running();
    const client = new HmpClient(world);
    client.take();
    client.type('help \xff\n');
    assert.equal(client.take(), `\r\nError: qmpmux cannot send this line to QEMU: it is not UTF-8\r\n${PROMPT}`);
    assert.equal(world.qemu.waiting.length, 0);
  });

  it('gets the error of a command that QEMU did not run, in the words of the human monitor', () => {
    const world = running();
    const client = new HmpClient(world);
    client.take();
    client.type('info name\n');
    world.qemu.fails('Out of luck');
    client.settle();
    assert.equal(client.take(), `\r\nError: Out of luck\r\n${PROMPT}`);
  });

  it('is judged by its verbs, and an error names the one it may not use', () => {
    const world = running();
    const client = new HmpClient(world, { policy: rules('allow hmp info', 'allow hmp cont') });
    client.take();
    client.type('system_reset now\n');
    assert.equal(client.take(), `\r\nError: Command 'system_reset' is not allowed here (policy some)\r\n${PROMPT}`);
    client.type('c\n').says('');
    assert.equal(client.take(), `\r\n${PROMPT}`);
    // Completion asks with the client's own rights.
    client.type('in\t').type('\x7f\x7f');
    assert.equal(world.qemu.waiting.length, 0);
  });

  it('sends along the CPU that it chose, until that is gone', () => {
    const world = running();
    const client = new HmpClient(world);
    client.type('cpu 9\n').says('invalid CPU index\r\n');
    client.type('print $rip\n');
    assert.deepEqual(waitingArgs(world), ['human-monitor-command {"command-line": "print $rip"}']);
    client.says('0\r\n').type('cpu 0x1\n').says('').type('info registers\n');
    assert.deepEqual(waitingArgs(world), ['human-monitor-command {"command-line": "info registers", "cpu-index": 1}']);
    client.take();
    world.qemu.fails("Parameter 'cpu-index' expects a CPU number");
    client.settle();
    assert.deepEqual(waitingArgs(world), ['human-monitor-command {"command-line": "info registers"}']);
    client.says('all\r\n');
    assert.equal(client.take(), `all\r\n${PROMPT}`);
    client.type('cpu 010\n').says('').type('x\n');
    assert.deepEqual(waitingArgs(world), ['human-monitor-command {"command-line": "x", "cpu-index": 8}']);
  });

  it('gets a message when a CPU was chosen in a way that cannot be kept', () => {
    const world = running();
    const client = new HmpClient(world);
    for (const line of ['cpu 0+1', 'cpu 09']) {
      client.take();
      client.type(`${line}\n`).says('');
      assert.match(client.take(), /^\r\nError: qmpmux keeps the CPU .* only where its number is written out\r\n/);
    }
  });

  it('is asked for a password if QEMU would ask, and it is not echoed', () => {
    const world = running();
    const client = new HmpClient(world);
    client.take();
    client.type('change vnc password\n').says('terminal does not support password prompting\r\n');
    assert.equal(client.take(), '\r\nPassword: ');
    const before = client.link.text.length;
    client.type('a"b\\c\n');
    assert.equal(/[abc]/.test(client.link.text.slice(before)), false);
    assert.deepEqual(waitingArgs(world), [
      'human-monitor-command {"command-line": "change vnc password \\"a\\\\\\"b\\\\\\\\c\\""}',
    ]);
    client.says('Error: whatever\r\n');
    assert.equal(client.take(), `\r\n${PROMPT}`);
    // It is not in the history.
    client.type('info history\n').says('');
    assert.equal(client.take(), `\r\n0: 'change vnc password'\r\n1: 'info history'\r\n${PROMPT}`);
  });

  it('gets a message when the password could not be given to QEMU', () => {
    const world = running();
    const client = new HmpClient(world);
    client.type('change vnc password\n').says('terminal does not support password prompting\r\n').type('x\n');
    client.take();
    world.qemu.fails('no');
    client.settle();
    assert.equal(client.take(), `Error: no\r\n${PROMPT}`);
  });

  it('gets no further prompt after quit, and EOF when QEMU has gone', () => {
    const world = running();
    const client = new HmpClient(world);
    client.take();
    client.type('q\ninfo name\n').says('');
    assert.equal(client.take(), '\r\n');
    assert.equal(world.qemu.waiting.length, 0);
    assert.equal(client.link.isEnded, false);
    world.mux.upstreamClosed('closed by the peer');
    client.settle();
    assert.equal(client.link.isEnded, true);
    assert.equal(client.take(), '');
  });

  it('gets EOF after quit even if clients stay while QEMU is gone', () => {
    const world = running({ mux: { keepClients: true } });
    const quitter = new HmpClient(world);
    const other = new HmpClient(world);
    quitter.type('quit\n').says('');
    other.take();
    world.mux.upstreamClosed('closed by the peer');
    quitter.settle();
    other.settle();
    assert.equal(quitter.link.isEnded, true);
    assert.equal(other.link.isEnded, false);
    other.type('info name\n');
    assert.match(other.take(), /^\r\nError: qmpmux has lost QEMU .*\r\n\(qemu\) $/);
  });

  it('gets the prompt again after a quit that QEMU did not take', () => {
    const world = running();
    const client = new HmpClient(world);
    client.take();
    client.type('quit x\n').says('quit: extraneous characters at the end of line\r\n');
    assert.equal(client.take(), `\r\nquit: extraneous characters at the end of line\r\n${PROMPT}`);
  });

  it('gets EOF after a half-close when all it typed is answered; a last line without its end is not run', () => {
    const world = running();
    const client = new HmpClient(world);
    client.take();
    client.type('a\nb\nc');
    client.port.receiveEnd();
    client.says('one\r\n');
    assert.equal(client.link.isEnded, false);
    client.says('two\r\n');
    assert.equal(world.qemu.waiting.length, 0);
    assert.equal(client.link.isEnded, true);
    assert.equal(client.take(), `\r\none\r\n${PROMPT}\r\ntwo\r\n${PROMPT}`);
    assert.equal(world.mux.sessionCount, 0);
  });

  it('has its lines executed after it has left', () => {
    const world = running();
    const client = new HmpClient(world);
    client.port.receive(bytesOf('a\nb\nc'));
    client.port.closed('closed by the peer');
    client.settle();
    client.says('');
    assert.deepEqual(waitingArgs(world), ['human-monitor-command {"command-line": "b"}']);
    const written = client.link.text;
    client.says('two');
    assert.equal(client.link.text, written);
    assert.equal(world.mux.sessionCount, 0);
    assert.ok(world.log.includes('disconnected 1 closed by the peer'));
  });

  it('that quits and leaves is gone', () => {
    const world = running();
    const client = new HmpClient(world);
    client.type('quit\n');
    client.port.closed('closed by the peer');
    client.says('');
    assert.equal(world.mux.sessionCount, 0);
  });

  it('is not read while more than 64 KiB of its input has not been looked at', () => {
    const world = running();
    const client = new HmpClient(world);
    client.type(`a\n${'\n'.repeat(64 * 1024)}`);
    assert.equal(client.link.isPaused, false);
    client.type('\n');
    assert.equal(client.link.isPaused, true);
    client.says('');
    assert.equal(client.link.isPaused, false);
    assert.equal(world.qemu.waiting.length, 0);
  });

  it('is echoed no more while it has much to read', () => {
    const world = running();
    const client = new HmpClient(world);
    client.link.onWrite = (text) => {
      client.link.backlog += text.length;
    };
    client.type('x'.repeat(4000));
    assert.ok(client.link.backlog < 400 * 1024, String(client.link.backlog));
    for (let round = 0; round < 1000; round++) {
      client.link.backlog = 0;
      client.port.drained();
      client.settle();
    }
    client.type('\n');
    assert.equal(world.qemu.waiting[0]?.args.length, 4000 + '{"command-line": ""}'.length);
  });

  it('is cut when it reads nothing, like any other', () => {
    const world = running({ mux: { limits: { outputHighWater: 1000, outputGrace: 2000 } } });
    const client = new HmpClient(world);
    client.link.backlog = 200_000;
    client.type('a\n');
    client.port.drained();
    client.settle();
    world.pass(3_000_000);
    world.wait(0);
    assert.equal(client.link.isDestroyed, true);
    assert.equal(world.mux.counters.slow, 1);
  });

  it('is ended when qmpmux ends, after the rest of its output', () => {
    const world = running();
    const client = new HmpClient(world);
    client.type('a\n');
    world.mux.drain('ended by SIGTERM');
    client.take();
    client.says('one\r\n');
    assert.equal(client.take(), `one\r\n${PROMPT}`);
    assert.equal(client.link.isEnded, true);
  });

  it('has its completions looked up once, and goes on typing when they are there', () => {
    const world = running();
    const client = new HmpClient(world);
    client.take();
    client.type('in\tfo');
    assert.deepEqual(waitingArgs(world), ['human-monitor-command {"command-line": "help"}']);
    client.says(
      'commit device|all -- commit changes\r\n\t\t\tand more\r\n[x] -- no\r\nhelp|? [cmd] -- help\r\ninfo [sub] -- i\r\n',
    );
    assert.ok(client.link.text.endsWith('info fo\x1b[K'));
    client.type('\x17\x17h\t');
    assert.ok(client.link.text.endsWith('help \x1b[K'));
    assert.equal(world.qemu.waiting.length, 0);
    client.type('\x17?\t');
    assert.ok(client.link.text.endsWith('? \x1b[K'));
  });

  it('has no completions if QEMU gives none', () => {
    const world = running();
    const client = new HmpClient(world);
    client.type('in\t');
    world.qemu.fails('no');
    client.settle();
    client.type('\x17commit \t');
    assert.deepEqual(waitingArgs(world), ['query-block {}']);
    world.qemu.fails('no');
    client.settle();
    client.type('\x17\x17zzz \t\x17"\t');
    assert.equal(world.qemu.waiting.length, 0);
    assert.ok(client.link.text.endsWith('"\x1b[K'));
  });

  it('gets a message if QEMU has no human monitor, and the connection ends', () => {
    const world = running();
    const client = new HmpClient(world);
    client.take();
    client.type('info status\n');
    world.qemu.fails('The command human-monitor-command has not been found');
    client.settle();
    assert.match(
      client.take(),
      /Error: this QEMU was built without the human monitor \(HMP\), so only QMP commands can be used\r\n$/,
    );
    assert.equal(client.link.isEnded, true);
  });
});
