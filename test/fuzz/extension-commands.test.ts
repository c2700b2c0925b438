/**
 * Clients mix commands for QEMU with qmpmux's own, in-band and out-of-band, while QEMU answers when it likes and says events, clients
 * stop reading for a while, disconnect each other, shut down their sending side or vanish, QEMU is lost and comes back, and what
 * cannot be recorded is refused. Then:
 * - each client that is still there gets exactly one answer for every command, with its id; in-band ones in the order it sent them,
 *   and behind those to out-of-band ones sent before;
 * - an event that a client was sent before the answer to query-events is in it, and one that it is sent later is not;
 * - nothing is left in the end: no session but the connected, no command, no byte held.
 * Nothing throws.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as fc from 'fast-check';
import { fuzz } from '../support/text/fuzz.js';
import { type TestClient, World } from '../support/world/world.js';

const CLIENTS = 3;
const QUERIES = ['query-status', 'query-clients', 'query-queue', 'query-events'];

type Step =
  | { readonly what: 'mine' | 'mine oob'; readonly client: number; readonly query: string }
  | {
      readonly what: 'theirs' | 'theirs oob' | 'kill' | 'reload' | 'stall' | 'read' | 'end' | 'vanish';
      readonly client: number;
    }
  | { readonly what: 'answer' | 'answer oob' | 'event' | 'settle' | 'loss' | 'trouble' | 'reloaded' };

const client = fc.nat(CLIENTS - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      what: fc.constantFrom('mine' as const, 'mine oob' as const),
      client,
      query: fc.constantFrom(...QUERIES),
    }),
  },
  { weight: 8, arbitrary: fc.record({ what: fc.constantFrom('theirs' as const, 'theirs oob' as const), client }) },
  {
    weight: 2,
    arbitrary: fc.record({ what: fc.constantFrom('reload' as const, 'stall' as const, 'read' as const), client }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ what: fc.constantFrom('kill' as const, 'end' as const, 'vanish' as const), client }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      what: fc.constantFrom('answer' as const, 'answer oob' as const, 'event' as const, 'settle' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ what: fc.constantFrom('loss' as const, 'trouble' as const, 'reloaded' as const) }),
  },
);

/** A client, what it has sent, and what it got. */
class Player {
  readonly client: TestClient;
  readonly isOob: boolean;
  isThere = true;
  isSending = true;
  readonly #sent: { readonly id: number; readonly oob: boolean }[] = [];
  readonly #eventIds: number[] = [];

  constructor(world: World, isOob: boolean) {
    this.isOob = isOob;
    this.client = world.client('unix:/l', { kind: 'unix' }, { extensions: true }).negotiate(isOob ? 'oob' : 'plain');
  }

  send(name: string, oob: boolean, args: object = {}): void {
    if (!this.isThere || !this.isSending) return;
    const id = this.#sent.length;
    const isOob = oob && this.isOob;
    this.#sent.push({ id, oob: isOob });
    if (name === '__org.qmpmux_query-events') this.#eventIds.push(id);
    this.client.write(JSON.stringify({ [isOob ? 'exec-oob' : 'execute']: name, arguments: args, id }));
  }

  /** Holds what came against what was sent. */
  check(): void {
    const lines = this.client.take().map((line) => JSON.parse(line));
    const replies = lines.filter((line) => !('event' in line)).map(({ id }) => id);
    assert.equal(new Set(replies).size, replies.length, 'an answer came twice');
    if (!this.isThere) return;
    assert.deepEqual(
      replies.toSorted((a, b) => a - b),
      this.#sent.map(({ id }) => id),
    );
    const inBand = new Set(this.#sent.filter(({ oob }) => !oob).map(({ id }) => id));
    const answered = replies.filter((id) => inBand.has(id));
    assert.deepEqual(
      answered,
      answered.toSorted((a, b) => a - b),
    );
    const earlier: number[] = [];
    for (const id of replies) {
      if (inBand.has(id)) {
        const due = this.#sent.filter((each) => each.oob && each.id < id);
        assert.ok(
          due.every((each) => earlier.includes(each.id)),
          'an out-of-band answer was overtaken',
        );
      }
      earlier.push(id);
    }
    for (const id of this.#eventIds) {
      const at = lines.findIndex((line) => line.id === id);
      const seen = lines.slice(0, at).filter((line) => 'event' in line);
      if ('error' in lines[at]) continue;
      const told = lines[at].return.events.map(({ event }: { event: { event: string } }) => event.event);
      if (inBand.has(id))
        assert.deepEqual(
          told.slice(-seen.length || told.length),
          seen.map(({ event }) => event),
        );
    }
  }
}

it('extension commands among others are answered once and in order', () => {
  const property = fc.property(
    fc.array(step, { maxLength: 120 }),
    fc.constantFrom(1, 2, 1024),
    fc.constantFrom(100, 2000),
    (steps, queuedCommands, outputHighWater) => {
      let finish: (() => void)[] = [];
      const services = {
        version: '1',
        upstream: 'unix:/q',
        instance: 'i',
        listeners: () => [],
        // Told at once when it is finished, so that nothing here has to wait.
        reload: () => {
          const promise = {
            // oxlint-disable-next-line unicorn/no-thenable -- nobody awaits it
            then: (done: (changes: string[]) => void) => {
              finish.push(() => done([]));
              return { catch: () => undefined };
            },
          };
          // Only its `then` is used, and the `catch` of that
          return promise as unknown as Promise<readonly string[]>;
        },
      };
      const world = World.running({
        mux: { services, keepClients: true, cache: false, limits: { queuedCommands, outputHighWater } },
      });
      const players = Array.from({ length: CLIENTS }, (_, at) => new Player(world, at !== 1));
      const reloaded = () => {
        for (const each of finish.splice(0)) each();
      };
      const play = (each: Step): void => {
        const player = 'client' in each ? players[each.client] : undefined;
        const waiting = world.qemu.waiting;
        switch (each.what) {
          case 'mine':
          case 'mine oob':
            player?.send(`__org.qmpmux_${each.query}`, each.what === 'mine oob');
            break;
          case 'theirs':
          case 'theirs oob':
            player?.send('something', each.what === 'theirs oob');
            break;
          case 'reload':
            player?.send('__org.qmpmux_reload', false);
            break;
          case 'kill': {
            const victim = players[(each.client + 1) % CLIENTS];
            player?.send('__org.qmpmux_disconnect-client', false, { client: victim?.client.port.id ?? 0 });
            break;
          }
          case 'stall':
            if (player !== undefined) player.client.link.backlog = 5000;
            break;
          case 'read':
            if (player !== undefined) player.client.link.backlog = 0;
            player?.client.port.drained();
            break;
          case 'end':
            if (player !== undefined) player.isSending = false;
            player?.client.port.receiveEnd();
            break;
          case 'vanish':
            if (player !== undefined) player.isThere = false;
            player?.client.port.closed('gone');
            break;
          case 'answer':
            if (waiting.some(({ oob }) => !oob)) world.qemu.returns();
            break;
          case 'answer oob':
            if (waiting.some(({ oob }) => oob)) world.qemu.returnsOob();
            break;
          case 'event':
            world.qemu.event(`E${world.turns}`);
            break;
          case 'settle':
            world.settle();
            break;
          case 'loss':
            world.mux.upstreamClosed('gone');
            world.settle();
            world.connectUpstream();
            world.qemu.greet();
            world.qemu.answerHandshake();
            break;
          case 'trouble':
            world.observer.troubles.push('disk full');
            break;
          case 'reloaded':
            reloaded();
            break;
        }
        for (const one of players) if (one.client.link.isDestroyed) one.isThere = false;
      };
      for (const each of steps) play(each);
      for (const player of players) player.client.link.backlog = 0;
      for (const player of players) player.client.port.drained();
      for (;;) {
        world.settle();
        if (world.qemu.waiting.some(({ oob }) => oob)) world.qemu.returnsOob();
        else if (world.qemu.waiting.length > 0) world.qemu.returns();
        else if (finish.length > 0) reloaded();
        else break;
      }
      for (const one of players) if (one.client.link.isDestroyed) one.isThere = false;
      for (const player of players) player.check();
      assert.equal(world.mux.inFlight.length + world.mux.waitingCount, 0);
      for (const { client: one } of players) one.port.closed('over');
      world.settle();
      assert.equal(world.mux.sessionCount, 0);
      assert.equal(world.mux.heldBytes, 0);
      finish = [];
    },
  );
  fuzz('extension commands', property);
});
