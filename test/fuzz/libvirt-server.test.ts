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
import type { Connection } from '../../dist/net/connection.js';
import { dialLibvirt } from '../../dist/net/libvirt-dial.js';
import { XdrWriter } from '../../dist/net/xdr.js';

const seed = Number(process.env['QMPMUX_FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
const RUNS = Number(process.env['QMPMUX_FUZZ_RUNS'] ?? 300);
/** So many calls an attempt makes that comes to its end, with the commands behind it. A script is shorter, so that all come to one. */
const CALLS = 10;
const HEADER = 28;
const [REMOTE, QEMU] = [0x2000_8086, 0x2000_8087];
const DOMAIN = new XdrWriter().text('web1').raw(Buffer.alloc(16, 7)).int(3).finish();
const VERSION = '{"return": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}}';

/** What a daemon answers, by program and procedure. */
const ANSWERS = new Map<string, Uint8Array>([
  [`${REMOTE} 66`, new XdrWriter().int(1).int(0).finish()],
  [`${REMOTE} 60`, new XdrWriter().int(1).finish()],
  [`${REMOTE} 67`, new XdrWriter().text('SCRAM-SHA-256,PLAIN').finish()],
  [`${REMOTE} 23`, DOMAIN],
  [`${REMOTE} 24`, DOMAIN],
  [`${QEMU} 1`, new XdrWriter().text(VERSION).finish()],
]);
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
    program: fc.constantFrom(REMOTE, QEMU, 0x6b65_6570, 5),
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
    socket.on('error', () => undefined);
    const twists = [...script];
    let held = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      held = Buffer.concat([held, chunk]);
      while (held.length >= HEADER && held.length >= held.readUInt32BE(0)) {
        const call = held.subarray(0, held.readUInt32BE(0));
        held = held.subarray(call.length);
        // Behind the script it ends.
        answer(socket, call, twists.shift() ?? { kind: 'end' });
      }
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

function message(
  program: number,
  procedure: number,
  type: number,
  serial: number,
  status: number,
  body: Uint8Array,
): Buffer {
  const header = new XdrWriter()
    .int(HEADER + body.length)
    .int(program)
    .int(1);
  return Buffer.from(header.int(procedure).int(type).int(serial).int(status).raw(body).finish());
}

function answer(socket: Socket, call: Buffer, change: Twist): void {
  const [program, procedure, serial] = [call.readUInt32BE(4), call.readUInt32BE(12), call.readUInt32BE(20)];
  let body = Buffer.from(ANSWERS.get(`${program} ${procedure}`) ?? new XdrWriter().int(1).finish());
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
      socket.write(message(change.program, change.procedure, 2, 0, 0, change.body));
      break;
    case 'length':
      break;
    case 'end':
      socket.end();
      return;
  }
  const whole = message(program, procedure, 1, serial, status, body);
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
