/**
 * All that is hostile in the chaos, in a process of its own, so that making it does not slow down those who measure:
 * `hostile-side.js JSON`. It writes what it has done as one object of JSON when it gets SIGTERM, and ends.
 */
import { createConnection, type NetConnectOpts } from 'node:net';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../conformance/generator.js';
import { hostileInput } from './hostile-inputs.js';
import { lyingQemu } from './lying-qemu.js';

/** Where everything is. */
export interface HostileOrders {
  readonly seed: number;
  /** Of the monitor with the real QEMU: all may be sent there, so it is little. */
  readonly full: string;
  /** Listeners whose policies let next to nothing through, so it may be much. */
  readonly guarded: readonly string[];
  /** Of the human monitor. */
  readonly human: string;
  /** A port of this host. */
  readonly port: number;
  readonly metrics: string;
  /** Where the lying QEMU is to listen, and its clients find it. */
  readonly liar: string;
  readonly liarsClients: string;
}

const NEGOTIATION = '{"execute": "qmp_capabilities"}';
const CLIENTS = 8;
/** QEMU reads some 70 KB a second on a busy machine, while all wait. */
const MOST_FOR_QEMU = 4096;
const MOST_GUARDED = 4 * 1024 * 1024;
/** How fast all of it is sent, in bytes per millisecond. */
const PACE = 1500;
const SILENT = 70;

// Making all this is not what is measured.
setPriority(10);

const orders: HostileOrders = JSON.parse(process.argv[2] ?? '{}');
const counts: Record<string, number> = {};
let bytes = 0;
const count = (kind: string) => {
  counts[kind] = (counts[kind] ?? 0) + 1;
};

process.once('SIGTERM', () => {
  process.stdout.write(JSON.stringify({ counts, bytes }), () => process.exit());
});

lyingQemu(orders.liar, new Random(orders.seed + 1), count);
for (let at = 0; at < CLIENTS; at++) void attackForEver(new Random(orders.seed + 10 + at));
for (let at = 0; at < 5; at++) void askTheLiar();
void holdMetrics();

async function attackForEver(random: Random): Promise<never> {
  for (;;) {
    const sent = await attack(random);
    bytes += sent;
    await sleep(20 + random.below(200) + (sent * CLIENTS) / PACE);
  }
}

/** A client, from its connection to its end. @returns how much it sent */
async function attack(random: Random): Promise<number> {
  const [path = '', most] = random.once(3)
    ? [random.pick([orders.full, orders.human]), MOST_FOR_QEMU]
    : [orders.guarded[random.below(orders.guarded.length)], MOST_GUARDED];
  const target: NetConnectOpts = random.once(12) ? { port: orders.port, host: '127.0.0.1' } : { path };
  const socket = createConnection(target);
  socket.on('error', () => {});
  const isClosed = new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
  });
  const [isDeaf, isSlow] = [random.once(4), random.once(4)];
  if (!isDeaf) socket.on('data', () => isSlow && void pauseFor(socket, 50));
  let sent = 0;
  if ('port' in target) {
    sent = write(
      `${random.pick(['POST', 'GET', 'OPTIONS'])} / HTTP/1.1\r\nHost: x\r\n\r\n${NEGOTIATION}{"execute":"stop"}\r\n`,
    );
    count('HTTP');
  } else {
    if (!random.once(3)) sent += write(NEGOTIATION);
    for (let left = random.below(4); left >= 0; left--) {
      const input = hostileInput(random, most);
      count(input.kind);
      sent += write(input.bytes);
    }
  }
  const ending = random.pick(['at once', 'half', 'later', 'later', 'much later']);
  count(`a client that leaves ${ending}`);
  if (ending === 'half') socket.end();
  if (ending !== 'at once')
    await Promise.race([isClosed, sleep(ending === 'much later' ? 3000 : 300, null, { ref: false })]);
  socket.destroy();
  await isClosed;
  return sent;

  function write(text: string): number {
    socket.write(text, 'latin1');
    return text.length;
  }
}

async function pauseFor(socket: { pause(): unknown; resume(): unknown }, milliseconds: number): Promise<void> {
  socket.pause();
  await sleep(milliseconds);
  socket.resume();
}

/** A client of the liar's, which only has to have its answers, whatever they are. */
async function askTheLiar(): Promise<never> {
  for (;;) {
    const socket = createConnection({ path: orders.liarsClients });
    socket.on('error', () => {});
    socket.on('data', () => {});
    socket.write(NEGOTIATION);
    while (!socket.destroyed) {
      socket.write('{"execute": "query-block", "id": 1}');
      await sleep(30);
    }
    await sleep(100);
  }
}

/** More connections than the metrics have room for, which say nothing. */
async function holdMetrics(): Promise<never> {
  for (;;) {
    const sockets = Array.from({ length: SILENT }, () => createConnection({ path: orders.metrics }));
    for (const socket of sockets) socket.on('error', () => {});
    count('silent connections to the metrics');
    await sleep(4000);
    for (const socket of sockets) socket.destroy();
  }
}
