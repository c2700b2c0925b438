/**
 * Many clients send whatever they like, in any interleaving, connect, stop sending and vanish, while a QEMU answers in order,
 * says events, ends when a client has it quit or of its own accord, comes back, says nothing for so long that it is probed, and the observer fails
 * now and then. Then:
 * - each client gets exactly the answers that its own bytes are due, in order, with its own ids, as if it were alone;
 * - QEMU executes exactly what the clients sent, but for queries that are shared, each client's commands in its order;
 * - each client gets every event from its negotiation on, once and in order;
 * - what QEMU hands out for earlier connections reaches nobody;
 * - no bytes change after they were written; in the end nothing is left: no session, no command, no byte held.
 * Nothing throws.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as fc from 'fast-check';
import { FIRST_PROBE_ID } from '../../dist/mux/commands/in-flight.js';
import { fuzz } from '../support/text/fuzz.js';
import { anyCommand, anyInput, anySizes } from '../support/text/json-text.js';
import { pieces } from '../support/world/client-input.js';
import { ClientModel, isQuit, scriptedReply } from '../support/world/client-model.js';
import { type TestClient, World } from '../support/world/world.js';

const TROUBLE = 'disk full';
const NEGOTIATIONS = [
  '{"execute":"qmp_capabilities"}',
  '{"execute":"qmp_capabilities","arguments":{"enable":["oob"]},"id":"neg"}',
];

/** A message, in which `%` stands for the client's own word. */
const message = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom('{"execute":"mark","arguments":{"who":"%"},"id":"%"}', '{"execute":"fail","id":["%"]}'),
  },
  {
    weight: 9,
    arbitrary: fc.constantFrom('{"exec-oob":"oob","arguments":{"who":"%"},"id":{"%":1}}', '{"exec-oob":"fail-oob"}'),
  },
  {
    weight: 12,
    arbitrary: fc.constantFrom(
      '{"execute":"query-status","id":"%"}',
      '{"execute":"query-version"}',
      '{"execute":"query-name","id":1}',
    ),
  },
  {
    weight: 9,
    arbitrary: fc.constantFrom('{"execute":7,"id":"%"}', '{"exec-oob":[]}', '[]', '{"x":"%"}', 'nul ', '$\n', ']'),
  },
  { weight: 6, arbitrary: anyCommand },
  { weight: 3, arbitrary: anyInput },
  { weight: 1, arbitrary: fc.constant('{"execute":"quit","id":"%"}') },
);

const script = fc.record({
  before: fc.oneof({ weight: 4, arbitrary: fc.constant('') }, { weight: 1, arbitrary: message }),
  negotiation: fc.constantFrom(...NEGOTIATIONS),
  messages: fc.array(message, { maxLength: 10 }),
  sizes: anySizes,
});

type Step =
  | { readonly what: 'write' | 'end' | 'vanish'; readonly client: number; readonly count: number }
  | { readonly what: 'turn' | 'answer' | 'answer oob' | 'event' | 'silence' | 'trouble' | 'restart' };

const client = fc.nat(4);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ what: fc.constant('write' as const), client, count: fc.integer({ min: 1, max: 40 }) }),
  },
  { weight: 8, arbitrary: fc.record({ what: fc.constantFrom('turn' as const, 'answer' as const) }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constantFrom('answer oob' as const, 'event' as const) }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('silence' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ what: fc.constantFrom('end' as const, 'vanish' as const), client, count: fc.constant(0) }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constantFrom('trouble' as const, 'restart' as const) }) },
);

const options = fc.record({
  queuedCommands: fc.constantFrom(2, 5, 1024),
  outputHighWater: fc.constantFrom(60, 300, 4_000_000),
  oob: fc.constant(true),
  cache: fc.boolean(),
  merge: fc.boolean(),
  observer: fc.boolean(),
});

/** So much silence, in milliseconds, brings a probe; too little for any other limit of time. */
const PROBE_AFTER = 10;

function isProbe({ id }: { readonly id: string }): boolean {
  return Number(id) >= FIRST_PROBE_ID;
}

/** A client that plays its script. */
class Player {
  readonly model = new ClientModel(TROUBLE);
  readonly #pieces: string[];
  #client: TestClient | null = null;
  state: 'absent' | 'open' | 'ended' | 'vanished' | 'cut off' = 'absent';

  constructor(text: string, sizes: readonly number[]) {
    this.#pieces = pieces(text, sizes);
  }

  get isFinished(): boolean {
    return this.state === 'cut off' || this.#pieces.length === 0;
  }

  write(world: World, count: number): void {
    if (this.state === 'absent') {
      this.#client = world.client();
      this.state = 'open';
    }
    for (let i = 0; i < count && this.state === 'open' && this.#client?.link.isPaused === false; i++) {
      const piece = this.#pieces.shift();
      if (piece === undefined) break;
      this.model.sent(piece);
      this.#client.write(piece);
    }
  }

  end(): void {
    if (this.state !== 'open') return;
    this.state = 'ended';
    this.#client?.port.receiveEnd();
  }

  vanish(): void {
    if (this.state !== 'open' && this.state !== 'ended') return;
    this.state = 'vanished';
    this.#client?.port.closed('gone');
  }

  /** The upstream is lost. */
  cutOff(): void {
    if (this.state === 'open') assert.equal(this.#client?.link.isEnded, true);
    if (this.state !== 'absent') this.state = 'cut off';
  }

  /** Holds what came against what was due. @param events all that QEMU said, in order */
  check(events: readonly string[]): void {
    if (this.#client === null) return;
    this.#client.link.checkUnchanged();
    const lines = this.#client.take();
    const isEvent = (line: string): boolean => line.startsWith('{"timestamp": {"seconds": 1,');
    const isAll = this.state === 'ended';
    this.model.check(
      lines.filter((line) => !isEvent(line)),
      isAll,
    );
    const own = lines.filter(isEvent);
    const first = own[0] === undefined ? events.length : events.indexOf(own[0]);
    assert.ok(first >= 0);
    assert.deepEqual(own, events.slice(first, first + own.length), 'events come once and in order');
    if (isAll) assert.equal(this.#client.link.isEnded, true);
  }
}

it('each of many clients is served as if it were alone', () => {
  fuzz(
    'many clients',
    fc.property(
      fc.array(script, { minLength: 1, maxLength: 5 }),
      fc.array(step, { maxLength: 60 }),
      options,
      (scripts, steps, chosen) => {
        const { queuedCommands, outputHighWater } = chosen;
        const world = World.running({
          observer: chosen.observer,
          mux: {
            cache: chosen.cache,
            merge: chosen.merge,
            probeAfter: PROBE_AFTER,
            limits: { queuedCommands, outputHighWater },
          },
        });
        const players = scripts.map(({ before, negotiation, messages, sizes }, at) => {
          const text = [before, '\n', negotiation, ...messages].join('').replaceAll('%', `of client ${at}`);
          return new Player(text, sizes);
        });
        const events: string[] = [];
        const arrived: string[] = [];
        let isDisturbed = false;
        let isEnding = false;

        const answer = (oob: boolean): void => {
          // It has agreed to a quit, and answers nothing more in-band.
          if (isEnding && !oob) return end();
          const at = world.qemu.waiting.findIndex((command) => command.oob === oob);
          const [command] = at < 0 ? [] : world.qemu.waiting.splice(at, 1);
          if (command === undefined) return;
          // An out-of-band probe that a later command overtakes is given up, and not answered any more.
          const probe = oob ? -1 : world.qemu.waiting.findIndex((each) => each.oob && isProbe(each));
          if (probe >= 0 && !isProbe(command)) world.qemu.waiting.splice(probe, 1);
          if (!isProbe(command)) arrived.push(`${command.oob} ${command.name} ${command.args}`);
          world.qemu.say(scriptedReply(command.name, command.args, command.id));
          if (isQuit(command)) isEnding = true;
        };
        const end = (): void => {
          isDisturbed = true;
          isEnding = false;
          restart(world);
          for (const one of players) one.cutOff();
        };
        const play = (each: Step): void => {
          const player = 'client' in each ? players[each.client % players.length] : undefined;
          if (each.what === 'write') player?.write(world, each.count);
          else if (each.what === 'end') player?.end();
          else if (each.what === 'vanish') player?.vanish();
          else if (each.what === 'turn') world.turn();
          else if (each.what === 'answer') answer(false);
          else if (each.what === 'answer oob') answer(true);
          else if (each.what === 'silence') {
            world.pass(PROBE_AFTER * 1000);
            world.mux.tick();
          } else if (each.what === 'event') events.push(world.qemu.event(`EVENT_${events.length}`));
          else if (each.what === 'trouble') {
            world.observer.troubles.push(TROUBLE);
            isDisturbed = true;
          } else end();
        };

        for (const each of steps) {
          play(each);
          const probes = world.qemu.waiting.filter(isProbe);
          assert.ok(probes.filter(({ oob }) => oob).length <= 1 && probes.filter(({ oob }) => !oob).length <= 1);
        }
        // Everyone says the rest and stops sending; QEMU answers all of it.
        for (let round = 0; ; round++) {
          assert.ok(round < 10_000, 'it comes to an end');
          for (const player of players) {
            if (!player.isFinished) player.write(world, 1000);
            if (player.isFinished) player.end();
          }
          world.settle();
          if (
            world.qemu.waiting.length === 0 &&
            !isEnding &&
            players.every((player) => player.isFinished || player.state === 'vanished' || player.state === 'ended')
          )
            break;
          answer(true);
          answer(false);
        }
        world.settle();
        world.upstream.checkUnchanged();
        for (const player of players) player.check(events);
        assert.deepEqual(
          [world.mux.clientCount, world.mux.sessionCount, world.mux.inFlight.length, world.mux.heldBytes],
          [0, 0, 0, 0],
        );
        if (!isDisturbed) checkExecuted(players, arrived);
      },
    ),
  );
});

/** QEMU goes away and comes back, and begins with the answers that are due to nobody any more. */
function restart(world: World): void {
  const stale = world.qemu.waiting.map((command) => scriptedReply('stale', command.args, command.id));
  world.mux.upstreamClosed('gone');
  world.connectUpstream();
  world.qemu.greet();
  for (const line of stale) world.qemu.say(line);
  world.qemu.answerHandshake();
  world.settle();
}

/** Fails unless QEMU was sent what the clients sent; queries without arguments may have been shared. */
function checkExecuted(players: readonly Player[], arrived: readonly string[]): void {
  const isPlainQuery = (line: string): boolean => line.startsWith('false query-') && line.endsWith(' {}');
  const sent = players.flatMap((player) =>
    player.model.executed.map(({ name, args, oob }) => `${oob} ${name} ${args}`),
  );
  assert.deepEqual(
    arrived.filter((line) => !isPlainQuery(line)).sort(),
    sent.filter((line) => !isPlainQuery(line)).sort(),
  );
  const queries = new Set(sent.filter(isPlainQuery));
  assert.deepEqual(new Set(arrived.filter(isPlainQuery)), queries);
}
