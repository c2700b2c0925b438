/**
 * Whatever answers in a libvirt daemon's place, over the network: an attempt to reach it comes to one end, with a reason in words, and
 * nothing is thrown. The server here says what a daemon says, with some of it cut, stretched or made up.
 *
 * QMPMUX_FUZZ_SEED replays a run.
 */
import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import * as fc from 'fast-check';
import { dialLibvirt } from '../../dist/net/libvirt/dial.js';
import { XdrWriter } from '../../dist/net/libvirt/xdr.js';
import type { Connection } from '../../dist/net/link/connection.js';
import {
  type Call,
  DOMAIN,
  message,
  Program,
  reply,
  Type,
  takeCalls,
  usualAnswer,
} from '../support/libvirt/fake-libvirt.js';

const seed = Number(process.env['QMPMUX_FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
const RUNS = Number(process.env['QMPMUX_FUZZ_RUNS'] ?? 300);
/** So many calls an attempt makes that comes to its end, with the commands behind it. A script is shorter, so that all come to one. */
const CALLS = 10;
const FAULT = new XdrWriter().int(1).int(7).optionalText('it is broken').finish();

/** What is done to one answer. */
type Twist =
  | { readonly kind: 'none' }
  | { readonly kind: 'fault' }
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'word'; readonly at: number; readonly value: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** The message has a length that is not its own. */
  | { readonly kind: 'length'; readonly value: number }
  /** An event comes before the answer. */
  | { readonly kind: 'event'; readonly program: number; readonly procedure: number; readonly body: Uint8Array }
  | { readonly kind: 'end' };

const word = fc.oneof(fc.integer({ min: 0, max: 64 }), fc.integer());
const twist: fc.Arbitrary<Twist> = fc.oneof(
  { arbitrary: fc.constant<Twist>({ kind: 'none' }), weight: 12 },
  fc.constant<Twist>({ kind: 'fault' }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat(60) }),
  fc.record({ kind: fc.constant('word' as const), at: fc.nat(12), value: word }),
  fc.record({ kind: fc.constant('bytes' as const), bytes: fc.uint8Array({ maxLength: 80 }) }),
  fc.record({ kind: fc.constant('length' as const), value: word }),
  fc.record({
    kind: fc.constant('event' as const),
    program: fc.constantFrom(Program.remote, Program.qemu, Program.keepAlive, 5),
    procedure: fc.constantFrom(1, 2, 6, 318),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.constant(new XdrWriter().int(1).raw(DOMAIN).int(5).int(1).finish()),
      fc.constant(new XdrWriter().int(1).raw(DOMAIN).text('STOP').int(0).int(1).int(2).int(0).finish()),
    ),
  }),
  fc.constant<Twist>({ kind: 'end' }),
);

let server: Server;
let port = 0;
let script: readonly Twist[] = [];
const sockets = new Set<Socket>();

before(async () => {
  server = createServer((socket) => {
    sockets.add(socket);
    const twists = [...script];
    takeCalls(socket, (call) => {
      // Behind the script it ends.
      answer(socket, call, twists.shift() ?? { kind: 'end' });
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const where = server.address();
  port = where !== null && typeof where === 'object' ? where.port : 0;
});
after(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

function answer(socket: Socket, call: Call, change: Twist): void {
  let body = usualAnswer(call);
  let status = 0;
  switch (change.kind) {
    case 'none':
      break;
    case 'fault':
      [body, status] = [Buffer.from(FAULT), 1];
      break;
    case 'cut':
      body = body.subarray(0, change.at);
      break;
    case 'word':
      if (change.at * 4 + 4 <= body.length) body.writeInt32BE(change.value | 0, change.at * 4);
      break;
    case 'bytes':
      body = Buffer.from(change.bytes);
      break;
    case 'event':
      socket.write(message(change.program, change.procedure, Type.message, 0, 0, change.body));
      break;
    case 'length':
      break;
    case 'end':
      socket.end();
      return;
  }
  const whole = reply(call, body, status);
  if (change.kind === 'length') {
    whole.writeInt32BE(change.value | 0, 0);
    socket.end(whole);
  } else socket.write(whole);
}

/** @returns how an attempt, and what comes of it, ends. */
function attempt(): Promise<string> {
  return new Promise((resolve) => {
    let ends = 0;
    const over = (reason: string) => {
      assert.equal(++ends, 1, 'it ends once');
      resolve(reason);
    };
    dialLibvirt(
      { kind: 'libvirt', domain: 'web1', uri: `qemu+tcp://127.0.0.1:${port}/system?authfile=/nowhere` },
      {
        connected: (connection: Connection) => {
          connection.attach({ receive: () => undefined, closed: over });
          connection.link.write(
            Buffer.from('{"execute":"qmp_capabilities"}{"execute":"stop","id":1}{"execute":"cont"}'),
          );
        },
        failed: over,
        said: () => undefined,
        exposed: () => undefined,
      },
    );
  });
}

test('whatever answers in a libvirt daemon’s place, an attempt ends once, with a reason', async () => {
  const ends = new Set<string>();
  await fc.assert(
    fc.asyncProperty(fc.array(twist, { maxLength: CALLS - 1 }), async (twists) => {
      script = twists;
      const reason = await attempt();
      assert.notEqual(reason, '');
      ends.add(reason.replaceAll(/\d+/g, '#'));
    }),
    { seed, numRuns: RUNS, endOnFailure: true },
  );
  assert.ok(ends.size > 5, `only these ends: ${[...ends].join('; ')}`);
});
