/** A fault of ours in one monitor's code, wherever it is, is that monitor's alone. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { type DaemonConfig } from '../../dist/daemon/config/config.js';
import { parseListenerSettings } from '../../dist/daemon/config/listener-settings.js';
import { singleMonitor } from '../../dist/daemon/config/single-monitor.js';
import { Daemon } from '../../dist/daemon/daemon.js';
import { LogObserver } from '../../dist/daemon/observe/log-observer.js';
import { SimulatedMonitor } from '../../dist/demo/simulated-monitor.js';
import { Session } from '../../dist/mux/client/session.js';
import { Multiplexer } from '../../dist/mux/multiplexer.js';
import type { CommandView } from '../../dist/mux/ports/observer.js';
import { parseUpstream } from '../../dist/net/address/address-parser.js';
import { ReceivingLink } from '../../dist/net/link/receiving-link.js';
import { type Scope, scratch } from '../support/files/scratch.js';
import { RawClient } from '../support/world/raw-client.js';

const TOLD =
  'internal error: qmpmux closed the connections of this monitor and restarts it; this is a bug, please report this line';

class Fault extends Error {}

/** Two monitors of one daemon, each with a QEMU and a client. */
class Pair {
  readonly lines: {
    readonly msg: string;
    readonly monitor?: string;
    readonly error?: string;
    readonly again?: string;
  }[] = [];
  readonly sockets: readonly [string, string];
  readonly #readies = new Map<string, number>();
  readonly #waits = new Set<() => void>();
  readonly #folder: string;
  #daemon: Daemon | null = null;

  private constructor(folder: string) {
    this.#folder = folder;
    this.sockets = [join(folder, 'good.mux'), join(folder, 'bad.mux')];
  }

  static async start(scope: Scope): Promise<Pair> {
    const pair = new Pair(scratch(scope));
    await pair.#start(scope);
    return pair;
  }

  async #start(scope: Scope): Promise<void> {
    const configs: DaemonConfig[] = [];
    for (const [index, name] of ['good', 'bad'].entries()) {
      const monitor = new SimulatedMonitor();
      const path = join(this.#folder, `${name}.qmp`);
      await monitor.start(path);
      scope.after(() => monitor.stop());
      const listener = parseListenerSettings(`${this.sockets[index] ?? ''},extensions=on`);
      configs.push(singleMonitor(name, parseUpstream(path), [listener], { level: 'info', format: 'json' }));
    }
    const [first] = configs;
    assert.ok(first !== undefined);
    const config = { ...first, monitors: configs.flatMap(({ monitors }) => monitors) };
    const log = pino(
      { level: 'info' },
      {
        write: (line: string) => {
          this.lines.push(JSON.parse(line));
          for (const look of this.#waits) look();
        },
      },
    );
    const ready = (name: string) => {
      this.#readies.set(name, (this.#readies.get(name) ?? 0) + 1);
      for (const look of this.#waits) look();
    };
    const daemon = new Daemon({ config, log, ready, reload: () => Promise.resolve([]) });
    this.#daemon = daemon;
    scope.after(() => daemon.stop('the test is over'));
    await daemon.start();
    await this.ready('good', 1);
    await this.ready('bad', 1);
  }

  /** Resolves when a monitor has accepted clients this many times. */
  ready(name: string, times: number): Promise<void> {
    return this.#until(() => this.times(name) >= times);
  }

  /** Resolves when this many faults were logged. */
  faulted(times: number): Promise<void> {
    return this.#until(() => this.faults.length >= times);
  }

  #until(isSo: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!isSo()) return;
        this.#waits.delete(look);
        resolve();
      };
      this.#waits.add(look);
      look();
    });
  }

  times(name: string): number {
    return this.#readies.get(name) ?? 0;
  }

  get status(): string {
    return this.#daemon?.status ?? '';
  }

  get faults() {
    return this.lines.filter(({ msg }) => msg === TOLD);
  }
}

/** Has a method fail when `isMeant` returns true; the returned function undoes it. */
function sabotage<T extends object>(
  target: T,
  name: keyof T,
  isMeant: (self: T, args: readonly unknown[]) => boolean,
): () => void {
  const original = target[name];
  assert.ok(typeof original === 'function');
  const failing = function failing(this: T, ...args: unknown[]): unknown {
    if (isMeant(this, args)) throw new Fault(`sabotage of ${String(name)}`);
    return Reflect.apply(original, this, args);
  };
  Object.defineProperty(target, name, { value: failing, configurable: true, writable: true });
  return () => {
    Object.defineProperty(target, name, { value: original, configurable: true, writable: true });
  };
}

const isBad = (listener: unknown): boolean => String(listener).includes('bad.mux');
const ofCommand = (command: unknown): boolean => isBad((command as CommandView).client.listener);

describe('a fault of ours in one monitor', () => {
  const places: readonly (readonly [string, () => () => void, string])[] = [
    [
      'its multiplexer at the end of a turn',
      () => sabotage(Multiplexer.prototype, 'commit', (self) => self.name === 'bad'),
      '',
    ],
    [
      'its multiplexer at a message from QEMU',
      () => sabotage(Multiplexer.prototype, 'upstreamReceive', (self) => self.name === 'bad'),
      '',
    ],
    [
      'its multiplexer as time passes',
      () => sabotage(Multiplexer.prototype, 'tick', (self) => self.name === 'bad'),
      '',
    ],
    ['an observer of a command', () => sabotage(LogObserver.prototype, 'command', (_, args) => ofCommand(args[0])), ''],
    [
      'an observer of an answer',
      () => sabotage(LogObserver.prototype, 'answered', (_, args) => ofCommand(args[0])),
      '',
    ],
    [
      'an observer of garbage',
      () => sabotage(LogObserver.prototype, 'malformed', (_, [client]) => isBad((client as Session).listener)),
      '}',
    ],
    [
      'an observer of a client, and of its end',
      () => {
        const undo = (['connected', 'disconnected'] as const).map((name) =>
          sabotage(LogObserver.prototype, name, (_, [client]) => isBad((client as Session).listener)),
        );
        return () => {
          for (const each of undo) each();
        };
      },
      'connect',
    ],
    ['a session that reads', () => sabotage(Session.prototype, 'receive', (self) => isBad(self.listener)), ''],
    ['a session at its end', () => sabotage(Session.prototype, 'closed', (self) => isBad(self.listener)), 'leave'],
    [
      'the answer to a reload, long after it was asked for',
      () => sabotage(LogObserver.prototype, 'answered', (_, args) => ofCommand(args[0])),
      '{"execute":"__org.qmpmux_reload"}',
    ],
  ];

  for (const [what, break_, how] of places) {
    it(`is its own: one of ${what} ends its connections, is logged with a request to report it, and begins it again`, async (t) => {
      const pair = await Pair.start(t);
      const [goodPlace, badPlace] = pair.sockets;
      const good = await RawClient.negotiated(goodPlace);
      const bad = await RawClient.negotiated(badPlace);
      t.after(() => good.close());
      const mend = break_();
      try {
        if (how === 'leave') await bad.close();
        else if (how === 'connect') await (await RawClient.connect(badPlace)).close();
        else await bad.write(how === '' ? '{"execute":"query-status"}' : how);
        if (how !== 'leave') await bad.readToEnd();
        await pair.faulted(1);
      } finally {
        mend();
      }
      const [fault] = pair.faults;
      assert.equal(fault?.monitor, 'bad');
      assert.match(fault?.error ?? '', /sabotage of [\s\S]*faults\.test/);
      await good.write('{"execute":"query-status","id":1}');
      assert.match(await good.readLine(), /"id": 1/);
      await pair.ready('bad', 2);
      const again = await RawClient.negotiated(badPlace);
      t.after(() => again.close());
      await again.write('{"execute":"query-status","id":2}');
      assert.match(await again.readLine(), /"id": 2/);
      assert.equal(pair.times('good'), 1);
      assert.match(pair.status, /good: QEMU .*, 1 client; bad: QEMU .*, 1 client/);
    });
  }

  it('that comes again and again has it begun again more and more slowly', async (t) => {
    const pair = await Pair.start(t);
    const mend = sabotage(Multiplexer.prototype, 'upstreamReceive', (self) => self.name === 'bad');
    try {
      const good = await RawClient.negotiated(pair.sockets[0]);
      t.after(() => good.close());
      const bad = await RawClient.negotiated(pair.sockets[1]).catch(() => null);
      await bad?.write('{"execute":"query-status"}').catch(() => undefined);
      await pair.faulted(3);
      assert.deepEqual(
        pair.faults.slice(0, 3).map(({ again }) => again),
        ['in 0.25 s', 'in 0.5 s', 'in 1 s'],
      );
      await good.write('{"execute":"query-status","id":1}');
      assert.match(await good.readLine(), /"id": 1/);
    } finally {
      mend();
    }
  });

  it('is its own: one of a link ends its connections as well', async (t) => {
    const pair = await Pair.start(t);
    const [goodPlace, badPlace] = pair.sockets;
    const good = await RawClient.negotiated(goodPlace);
    const bad = await RawClient.negotiated(badPlace);
    t.after(() => good.close());
    let isArmed = true;
    const mend = sabotage(ReceivingLink.prototype, 'write', () => {
      const isMeant = isArmed;
      isArmed = false;
      return isMeant;
    });
    await bad.write('{"execute":"query-status"}');
    await bad.readToEnd();
    mend();
    await good.write('{"execute":"query-status","id":1}');
    assert.match(await good.readLine(), /"id": 1/);
    await pair.ready('bad', 2);
    assert.equal(pair.faults.length, 1);
  });
});
