/**
 * The clients of a run, all in one process of its own. Each keeps its commands in flight and checks every byte that comes back: what
 * it will get is known beforehand, so checking is one comparison of memory a read, and what it sends are bytes that are there.
 */
import { writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type ExpectedReplies, LONG, ReplyTexts, Ring } from './expected-replies.js';
import {
  type DriverJob,
  EVENT,
  type EventJob,
  ID,
  type LoadJob,
  type LoadResult,
  type ParentMessage,
  tellParent,
} from './load.js';

const READ_BUFFER = Buffer.alloc(256 * 1024);
const NEGOTIATION = '{"execute":"qmp_capabilities"}\n';
/** A client's ids repeat after this many commands, or twice its depth. */
const RING = 256;
/** Samples of round trips kept, at most. */
const MOST_SAMPLES = 4_000_000;
/** What comes before a run is measured: connections, caches and compilers warm up. */
const WARM_UP = 0.1;

const sockets: Socket[] = [];

function fail(reason: string): void {
  tellParent({ kind: 'failed', reason });
  closeAll();
}

function closeAll(): void {
  for (const socket of sockets.splice(0)) socket.destroy();
}

/** A connection that reads lines, as strings, until it is switched to bytes. */
class Connection {
  readonly socket: Socket;
  onBytes: ((length: number) => void) | null = null;
  #text = '';
  readonly #waiting: ((line: string) => void)[] = [];

  constructor(path: string) {
    this.socket = connect({
      path,
      onread: {
        buffer: READ_BUFFER,
        callback: (length) => {
          if (this.onBytes === null) this.#readLines(length);
          else this.onBytes(length);
          return true;
        },
      },
    });
    sockets.push(this.socket);
    this.socket.on('error', (error) => fail(`${path}: ${error.message}`));
  }

  line(): Promise<string> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  async ask(command: string): Promise<string> {
    const line = this.line();
    this.socket.write(command);
    return line;
  }

  async negotiate(): Promise<void> {
    await this.ask(NEGOTIATION);
  }

  #readLines(length: number): void {
    this.#text += READ_BUFFER.toString('latin1', 0, length);
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end + 1);
      this.#text = this.#text.slice(end + 1);
      this.#waiting.shift()?.(line);
    }
  }
}

/** One client of a load. */
class Client {
  readonly #socket: Socket;
  /** The socket's descriptor where each command is a write of its own, otherwise -1. */
  readonly #fd: number;
  readonly #depth: number;
  /** The commands, twice, so that any run of them is one piece. */
  readonly #commands: Ring;
  readonly #replies: ExpectedReplies;
  readonly #count: number;
  #nextSent = 0;
  bytes = 0;
  replies = 0;
  /** Commands that have no reply yet. */
  inFlight = 0;
  mayRefill = true;
  onReplies: () => void = () => {};

  constructor(connection: Connection, job: LoadJob, index: number, replies: ReplyTexts) {
    this.#socket = connection.socket;
    this.#fd = descriptorOf(connection.socket);
    this.#depth = job.depth;
    const isLarge = replies.areLong || job.commands.some((command) => command.length > LONG);
    this.#count = Math.max(isLarge ? 1 : RING, 2 * job.depth);
    const ids = Array.from({ length: this.#count }, (_, at) =>
      String((index * this.#count + at) % 100_000).padStart(ID.length, '0'),
    );
    const commands = ids.map((id, at) => (job.commands[at % job.commands.length] ?? '').replace(ID, id));
    this.#commands = new Ring([...commands, ...commands]);
    this.#replies = replies.expected(ids);
    connection.onBytes = (length) => this.#receive(length);
  }

  begin(): void {
    this.#send(this.#depth);
  }

  #send(count: number): void {
    const { bytes, starts } = this.#commands;
    let from = this.#nextSent;
    const end = from + count;
    this.inFlight += count;
    this.#nextSent = end % this.#count;
    // By the system call itself: what the streams of Node take for a write would be most of what is measured.
    while (this.#fd >= 0 && from < end && this.#socket.writableLength === 0) {
      const start = starts[from] ?? 0;
      const length = (starts[from + 1] ?? 0) - start;
      const written = tryWrite(this.#fd, bytes, start, length);
      if (written < length) {
        this.#socket.write(bytes.subarray(start + written, start + length));
      }
      from++;
    }
    if (from < end) this.#socket.write(bytes.subarray(starts[from], starts[end]));
  }

  #receive(length: number): void {
    this.bytes += length;
    const done = this.#replies.take(READ_BUFFER, length);
    if (done < 0) {
      fail(`a client was sent what is not its next reply: ${READ_BUFFER.toString('latin1', 0, Math.min(200, length))}`);
      return;
    }
    if (done === 0) return;
    this.replies += done;
    this.inFlight -= done;
    if (this.mayRefill) this.#send(done);
    this.onReplies();
  }
}

/** @returns the bytes that the kernel took at once. */
function tryWrite(fd: number, bytes: Buffer, start: number, length: number): number {
  try {
    return writeSync(fd, bytes, start, length);
  } catch {
    // Its buffer is full, or the connection is gone; the stream finds out which.
    return 0;
  }
}

function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : null;
  return typeof fd === 'number' ? fd : -1;
}

/** @returns the replies to the job's commands, as they come there now, with `@@@@@` for the id's number. */
async function learnReplies(connection: Connection, job: LoadJob): Promise<ReplyTexts> {
  const replies: string[] = [];
  for (const command of job.commands) {
    const number = '99999';
    const line = await connection.ask(command.replace(ID, number));
    if (line.split(number).length !== 2)
      throw new Error(`a reply does not have its command's id once: ${line.slice(0, 200)}`);
    replies.push(line.replace(number, ID));
  }
  return new ReplyTexts(replies);
}

/** @returns the replies as whoever gives them says them itself, asked before anyone else is connected; null where it cannot be. */
async function learnBeforehand(job: LoadJob): Promise<ReplyTexts | null> {
  if (job.repliesFrom === undefined) return null;
  const [connection] = await connectAll([job.repliesFrom], 1, true);
  if (connection === undefined) throw new Error('there is a connection to learn from');
  const replies = await learnReplies(connection, job);
  connection.socket.destroy();
  return replies;
}

async function connectAll(paths: readonly string[], count: number, negotiates: boolean): Promise<Connection[]> {
  const connections: Connection[] = [];
  // Not all at once: the backlog of a listening socket has an end.
  for (let at = 0; at < count; at += 50) {
    const some = Array.from({ length: Math.min(50, count - at) }, (_, index) => {
      return new Connection(paths[(at + index) % paths.length] ?? '');
    });
    for (const greeting of await Promise.all(some.map((connection) => connection.line()))) {
      if (!greeting.startsWith('{"QMP"')) throw new Error(`a client was greeted with ${greeting.slice(0, 200)}`);
    }
    if (negotiates) await Promise.all(some.map((connection) => connection.negotiate()));
    connections.push(...some);
  }
  return connections;
}

async function load(job: LoadJob): Promise<LoadResult> {
  const learnt = await learnBeforehand(job);
  const connections = await connectAll([job.path, ...(job.morePaths ?? [])], job.clients, true);
  const [first] = connections;
  if (first === undefined) throw new Error('a load has clients');
  const replies = learnt ?? (await learnReplies(first, job));
  const clients = connections.map((connection, index) => new Client(connection, job, index, replies));
  const sum = (pick: (client: Client) => number) => clients.reduce((total, client) => total + pick(client), 0);
  const samples = job.clients === 1 && job.depth === 1 ? new Float64Array(MOST_SAMPLES) : null;
  let sampleCount = 0;
  return new Promise((resolve) => {
    const warmEnd = performance.now() + WARM_UP * 1000;
    let begin = 0;
    let firstReplies = 0;
    let firstBytes = 0;
    let last = 0;
    let result: LoadResult | null = null;
    // A command that is left in flight would be answered to whom QEMU serves next.
    const finish = () => {
      if (result !== null && clients.every((client) => client.inFlight === 0)) resolve(result);
    };
    const step = () => {
      if (result !== null) {
        finish();
        return;
      }
      const now = performance.now();
      if (begin === 0) {
        if (now < warmEnd) return;
        begin = last = now;
        firstReplies = sum((client) => client.replies);
        firstBytes = sum((client) => client.bytes);
        tellParent({ kind: 'begun' });
        return;
      }
      if (samples !== null && sampleCount < MOST_SAMPLES) samples[sampleCount++] = now - last;
      last = now;
      if (now - begin < job.seconds * 1000) return;
      for (const client of clients) client.mayRefill = false;
      const sorted = samples === null ? [] : samples.subarray(0, sampleCount).sort();
      result = {
        count: sum((client) => client.replies) - firstReplies,
        bytes: sum((client) => client.bytes) - firstBytes,
        seconds: (now - begin) / 1000,
        median: (sorted[sorted.length >> 1] ?? 0) * 1000,
      };
      finish();
    };
    for (const client of clients) {
      client.onReplies = step;
      client.begin();
    }
  });
}

async function events(job: EventJob): Promise<LoadResult> {
  const [control] = await connectAll([job.control], 1, false);
  if (control === undefined) throw new Error('there is a control connection');
  const connections = await connectAll([job.path], job.clients, job.negotiates);
  const size = EVENT.length * job.burst;
  const expected = Buffer.from(EVENT.repeat(Math.ceil(READ_BUFFER.length / EVENT.length) + 1));
  return new Promise((resolve) => {
    const warmEnd = performance.now() + WARM_UP * 1000;
    let begin = 0;
    let rounds = 0;
    let missing = 0;
    const next = () => {
      missing = size * job.clients;
      control.socket.write(`{"execute":"emit:${job.burst}"}\n`);
    };
    for (const connection of connections) {
      let within = 0;
      connection.onBytes = (length) => {
        if (READ_BUFFER.compare(expected, within, within + length, 0, length) !== 0)
          fail('an event is not as it was sent');
        within = (within + length) % EVENT.length;
        missing -= length;
        if (missing > 0) return;
        const now = performance.now();
        if (begin === 0 && now >= warmEnd) {
          begin = now;
          tellParent({ kind: 'begun' });
        } else if (begin > 0) {
          rounds++;
          if (now - begin >= job.seconds * 1000) {
            const count = rounds * job.burst * job.clients;
            resolve({ count, bytes: count * EVENT.length, seconds: (now - begin) / 1000, median: 0 });
            return;
          }
        }
        next();
      };
    }
    control.onBytes = () => {};
    next();
  });
}

async function run(job: DriverJob): Promise<LoadResult> {
  switch (job.kind) {
    case 'load':
      return load(job);
    case 'events':
      return events(job);
    case 'idle':
      await connectAll([job.path], job.clients, true);
      return { count: 0, bytes: 0, seconds: 0, median: 0 };
  }
}

process.on('message', (message: ParentMessage) => {
  switch (message.kind) {
    case 'load':
    case 'events':
    case 'idle':
      run(message).then(
        (result) => tellParent({ kind: 'done', result }),
        (error: unknown) => fail(error instanceof Error ? error.message : String(error)),
      );
      break;
    case 'close':
      closeAll();
      tellParent({ kind: 'ready' });
      break;
    case 'respond':
    case 'broadcast':
      break;
  }
});
process.on('disconnect', () => process.exit());
