/**
 * The upstream says anything at all: good answers, answers nobody waits for, ids of every kind, events, messages cut, doubled
 * and garbled, noise, in any chunking, before, during and after the handshake, while clients have commands in flight. Then:
 * - nothing throws, and the state goes only where the table of states lets it;
 * - what is no event reaches one client at most, and only the one whose command was in flight under that id (or, for an
 *   error without an id, the one whose command was the oldest); others' streams do not change by a byte;
 * - with every answer a client has got one command less to wait for: none is answered twice;
 * - a connection that is given up is given up for one of the reasons below.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as fc from 'fast-check';
import { fuzz } from '../support/text/fuzz.js';
import { anyInput, anySizes, anyValue } from '../support/text/json-text.js';
import { pieces } from '../support/world/client-input.js';
import { type TestClient, World } from '../support/world/world.js';

const REASONS = [
  /^not a QMP server: its first line is ".*"$/s,
  /^not a QMP server: no line break/,
  /^QEMU refused the handshake: /,
];

const NEXT: Readonly<Record<string, readonly string[]>> = {
  connecting: ['greeting'],
  greeting: ['negotiating', 'lost'],
  negotiating: ['running', 'lost'],
  running: ['lost'],
  lost: ['greeting'],
};

/** An id: of commands in flight, or of any kind. */
const id = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 12 }).map(String) },
  { weight: 3, arbitrary: fc.integer({ min: 95, max: 110 }).map(String) },
  { weight: 1, arbitrary: fc.integer().map(String) },
  { weight: 1, arbitrary: fc.constantFrom('"0"', 'null', '[1]', '1.0', '01', '{"id": 1}', '-0', '4294967296') },
  { weight: 1, arbitrary: anyValue },
);

/** A line of QEMU's, in which `%` stands for a word that no other line has. */
const said = fc.oneof(
  { weight: 8, arbitrary: id.map((each) => `{"return": "%", "id": ${each}}`) },
  { weight: 4, arbitrary: id.map((each) => `{"id": ${each}, "error": {"class": "GenericError", "desc": "%"}}`) },
  { weight: 2, arbitrary: fc.constant('{"error": {"class": "GenericError", "desc": "%"}}') },
  { weight: 2, arbitrary: id.map((each) => `{ "id" : ${each},"return":["%", {"id": 1}]}`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('{"return": "%"}', '["%"]', '{"QMP": "%"}', '"%"', '', '{"id": 1, "x": "%"}'),
  },
  { weight: 2, arbitrary: fc.constant('{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "%"}') },
  { weight: 2, arbitrary: anyInput.map((text) => `${text.replaceAll(/[\n%]/g, '')}"%"`) },
);

/** A line with some bytes of it taken out, put in, or changed. */
const garbled = fc
  .tuple(
    said,
    fc.array(fc.tuple(fc.nat(200), fc.constantFrom('', '{', '}', '"', '\\', ',', '\n', '\r', '\0', '\xff', '7', ' ')), {
      maxLength: 3,
    }),
  )
  .map(([line, changes]) =>
    changes.reduce(
      (text, [at, c]) => text.slice(0, at % (text.length + 1)) + c + text.slice((at % (text.length + 1)) + 1),
      line,
    ),
  );

const speech = fc.array(
  fc.record({ line: fc.oneof({ weight: 3, arbitrary: said }, { weight: 1, arbitrary: garbled }), sizes: anySizes }),
  { maxLength: 20 },
);

const early = fc
  .array(fc.oneof(anyInput, garbled, fc.constantFrom('\r\n', '\n')), { maxLength: 4 })
  .map((all) => all.join(''));

interface Watch {
  readonly client: TestClient;
  length: number;
}

function watch(client: TestClient): Watch {
  return { client, length: client.link.text.length };
}

/** @returns the clients that have got something since they were last looked at, with what it was. */
function changed(watches: readonly Watch[]): { client: TestClient; text: string }[] {
  return watches.flatMap((each) => {
    const text = each.client.link.text.slice(each.length);
    each.length += text.length;
    return text === '' ? [] : [{ client: each.client, text }];
  });
}

it('no bytes from the upstream bring the multiplexer down or reach the wrong client', () => {
  fuzz(
    'any bytes from the upstream',
    fc.property(
      speech,
      early,
      early,
      anySizes,
      fc.boolean(),
      (lines, beforeGreeting, beforeAnswer, sizes, observer) => {
        startBadly(beforeGreeting, beforeAnswer, sizes);
        const world = World.running({ observer });
        const watches = [0, 1, 2].map((at) => {
          const client = world.client().negotiate(at === 0 ? 'oob' : 'plain');
          client.write('{"exec-oob":"yank"}'.repeat(at === 0 ? 2 : 0) + '{"execute":"a"}'.repeat(at === 2 ? 9 : 3));
          return watch(client);
        });
        world.settle();
        changed(watches);
        for (const [at, { line, sizes: cut }] of lines.entries()) {
          const word = `word${at}word`;
          const isInFlight = world.mux.inFlight.map((command) => ({
            id: Number(command.upstreamId),
            client: command.client,
            oob: command.oob,
          }));
          // In turns: what came before a line break inside the line is dealt with before the rest.
          for (const piece of pieces(`${line.replaceAll('%', word)}\r\n`, cut)) world.qemu.send(piece);
          world.settle();
          const got = changed(watches).filter(({ text }) => text.includes(word));
          const isEvent = got.length === 3 && new Set(got.map(({ text }) => text)).size === 1;
          if (isEvent) assert.ok(got.every(({ text }) => text.includes('event')));
          else {
            assert.ok(got.length <= 1, `${line} reached ${got.length} clients`);
            for (const { client } of got) {
              const ids = [...line.matchAll(/\d+/g)].map((match) => Number(match[0]));
              const owned = isInFlight.filter((each) => each.client.id === client.port.id && ids.includes(each.id));
              const oldest = isInFlight.find((each) => !each.oob);
              const isOldest =
                oldest?.client.id === client.port.id && (ids.includes(oldest.id) || line.includes('"error"'));
              // A line that was cut in two may have answered the oldest before.
              const isFor = isOldest || owned.some((each) => each.oob || line.includes('\n'));
              assert.ok(isFor, `${line} was not for client ${client.port.id}`);
            }
          }
        }
        world.upstream.checkUnchanged();
        for (const { client } of watches) client.link.checkUnchanged();
        checkStates(world);
        world.mux.upstreamClosed('gone');
        assert.deepEqual([world.mux.sessionCount, world.mux.heldBytes], [0, 0]);
      },
    ),
  );
});

/** A connection that says `first` before its greeting and `second` before the answer to the handshake. */
function startBadly(first: string, second: string, sizes: readonly number[]): void {
  const world = new World();
  world.connectUpstream();
  for (const piece of pieces(first, sizes)) world.qemu.send(piece);
  if (world.mux.state.name === 'greeting') world.qemu.greet();
  for (const piece of pieces(second, sizes)) world.qemu.send(piece);
  world.settle();
  const { state } = world.mux;
  if (state.name === 'lost')
    assert.ok(
      REASONS.some((reason) => reason.test(state.reason)),
      state.reason,
    );
  checkStates(world);
}

function checkStates(world: World): void {
  let state = 'connecting';
  for (const next of world.states) {
    assert.ok(NEXT[state]?.includes(next), `${state} to ${next}`);
    state = next;
  }
}
