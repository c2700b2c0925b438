/**
 * Whatever clients, QEMU, the observer and the clock do, nobody waits for ever: once QEMU has answered all that it was sent, each command has
 * had exactly one answer, and nothing waits or is in flight. Clients of all kinds are there: with a time limit, with `oob`, and with files
 * that they hand to QEMU, of which one must wait for another's.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as fc from 'fast-check';
import { fuzz } from '../support/text/fuzz.js';
import { FakeDescriptor, type TestClient, World } from '../support/world/world.js';

const COMMAND_TIME = 3000;

interface Kind {
  readonly oob: boolean;
  readonly isLimited: boolean;
}

type Step =
  | { readonly do: 'send'; readonly client: number; readonly names: readonly string[] }
  | { readonly do: 'getfd'; readonly client: number; readonly hasFile: boolean }
  | { readonly do: 'answer'; readonly fates: readonly boolean[] }
  | { readonly do: 'wait'; readonly time: number }
  | { readonly do: 'trouble' | 'turn' | 'settle' };

const anyKind: fc.Arbitrary<Kind> = fc.record({ oob: fc.boolean(), isLimited: fc.boolean() });
const anyClient = fc.nat(5);
const anyName = fc.constantFrom('stop', 'cont', 'query-status', 'query-block');
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      client: anyClient,
      names: fc.oneof(
        { weight: 3, arbitrary: fc.array(anyName, { minLength: 1, maxLength: 3 }) },
        { weight: 1, arbitrary: fc.array(anyName, { minLength: 30, maxLength: 60, size: 'max' }) },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('getfd' as const), client: anyClient, hasFile: fc.boolean() }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      fates: fc.array(fc.boolean(), { maxLength: 40, size: 'max' }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), time: fc.integer({ min: 1, max: 2000 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('trouble' as const, 'turn' as const, 'settle' as const) }) },
);

class Play {
  readonly #world = World.running({ carries: true });
  readonly #clients: readonly TestClient[];
  readonly #sent: number[];
  #lastId = 0;

  constructor(kinds: readonly Kind[]) {
    this.#clients = kinds.map(({ oob, isLimited }) => {
      const options = isLimited ? { commandTime: COMMAND_TIME } : {};
      return this.#world.client('unix:/run/vm.mux', { kind: 'unix' }, options).negotiate(oob ? 'oob' : 'plain');
    });
    this.#sent = kinds.map(() => 0);
  }

  step(step: Step): void {
    const { qemu } = this.#world;
    switch (step.do) {
      case 'send':
        this.#write(step.client, step.names.map((name) => this.#command(name)).join(''), step.names.length);
        break;
      case 'getfd':
        this.#write(step.client, this.#command('getfd', `{"fdname":"f${this.#lastId}"}`), 1, step.hasFile);
        break;
      case 'answer':
        for (const isGood of step.fates) {
          if (qemu.waitingNames.length === 0) break;
          if (isGood) qemu.returns();
          else qemu.fails('no');
        }
        break;
      case 'wait':
        this.#world.wait(step.time);
        break;
      case 'trouble':
        this.#world.observer.troubles.push('disk full');
        break;
      case 'turn':
        this.#world.turn();
        break;
      case 'settle':
        this.#world.settle();
        break;
    }
  }

  /** QEMU answers all that it was sent. */
  finish(): void {
    this.#world.settle();
    while (this.#world.qemu.waitingNames.length > 0) {
      this.#world.qemu.returns();
      this.#world.settle();
    }
    assert.equal(this.#world.mux.waitingCount, 0, 'commands wait');
    assert.equal(this.#world.mux.inFlight.length, 0, 'commands are in flight');
    const answers = this.#clients.map((client) => client.take().filter((line) => /"return"|"error"/.test(line)).length);
    assert.deepEqual(answers, this.#sent);
  }

  #command(name: string, given = ''): string {
    const members = given === '' ? '' : `,"arguments":${given}`;
    return `{"execute":"${name}"${members},"id":${++this.#lastId}}`;
  }

  #write(number: number, text: string, commands: number, hasFile = false): void {
    const at = number % this.#clients.length;
    const client = this.#clients[at];
    this.#sent[at] = (this.#sent[at] ?? 0) + commands;
    if (hasFile) client?.writeWith(text, [new FakeDescriptor('/x')]);
    else client?.write(text);
  }
}

it('nobody waits for ever', () => {
  fuzz(
    'nobody waits',
    fc.property(
      fc.array(anyKind, { minLength: 1, maxLength: 6 }),
      fc.array(anyStep, { minLength: 1, maxLength: 120, size: 'max' }),
      (kinds, steps) => {
        const play = new Play(kinds);
        for (const step of steps) play.step(step);
        play.finish();
      },
    ),
  );
});
