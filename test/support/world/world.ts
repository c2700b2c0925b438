/**
 * A small world around one multiplexer: a host whose turns the test ends, links that keep all writes, clients, and an observer that keeps
 * all calls. Nothing in here has its own socket, timer or clock.
 */
import assert from 'node:assert/strict';
import {
  type ClientOptions,
  type ClientPort,
  Multiplexer,
  type MultiplexerOptions,
} from '../../../dist/mux/multiplexer.js';
import type { Descriptor, Host, Link, Peer, UpstreamState } from '../../../dist/mux/ports/link.js';
import type {
  ClientView,
  CommandView,
  Observer,
  ProbeView,
  ReplySource,
  UpstreamHealth,
} from '../../../dist/mux/ports/observer.js';
import { FakeQemu, type FakeQemuOptions } from './fake-qemu.js';

/** @returns the bytes of a latin1 text, or of an array of bytes, in an array of their own. */
export function bytesOf(input: string | Uint8Array): Uint8Array {
  return typeof input === 'string' ? new Uint8Array(Buffer.from(input, 'latin1')) : new Uint8Array(input);
}

/** @returns the bytes as latin1 text. */
export function textOf(bytes: Uint8Array | readonly Uint8Array[]): string {
  return Buffer.concat(bytes instanceof Uint8Array ? [bytes] : [...bytes]).toString('latin1');
}

/** A connection that keeps all writes. */
export class MemoryLink implements Link {
  /** One entry for every call of `write` or `writeAll`. */
  readonly writes: Uint8Array[][] = [];
  backlog = 0;
  isEnded = false;
  isDestroyed = false;
  isPaused = false;
  onWrite: (text: string) => void = () => {};
  #copies: Buffer[] = [];

  write(chunk: Uint8Array): void {
    this.writeAll([chunk]);
  }

  writeAll(chunks: readonly Uint8Array[]): void {
    assert.ok(!this.isEnded && !this.isDestroyed, 'nothing is written to a connection that was ended');
    assert.ok(chunks.length > 0, 'a write has something to write');
    for (const chunk of chunks) assert.ok(chunk.length > 0, 'no chunk is empty');
    this.writes.push([...chunks]);
    this.#copies.push(Buffer.concat(chunks));
    this.onWrite(textOf(chunks));
  }

  end(): void {
    assert.ok(!this.isEnded && !this.isDestroyed, 'a connection is ended once');
    this.isEnded = true;
  }

  destroy(): void {
    this.isDestroyed = true;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  /** Everything written so far. */
  get text(): string {
    return Buffer.concat(this.#copies).toString('latin1');
  }

  /** Fails where bytes were changed after they had been handed over. */
  checkUnchanged(): void {
    for (const [at, chunks] of this.writes.entries()) {
      assert.ok(this.#copies[at]?.equals(Buffer.concat(chunks)), `write ${at} was changed after it was handed over`);
    }
  }
}

/** An open file, as far as a multiplexer is concerned. */
export class FakeDescriptor implements Descriptor {
  readonly type = 'file';
  readonly path: string;
  isClosed = false;

  constructor(path: string) {
    this.path = path;
  }

  close(): void {
    this.isClosed = true;
  }
}

/** A connection that carries descriptors. */
export class CarryingLink extends MemoryLink {
  /** The bytes sent with a descriptor, and its path; the descriptor was open then. */
  readonly carried: string[] = [];

  sendWith(chunks: readonly Uint8Array[], descriptor: Descriptor): void {
    assert.ok(descriptor instanceof FakeDescriptor && !descriptor.isClosed, 'what is sent is open');
    this.carried.push(`${descriptor.path} ${textOf(chunks)}`);
    descriptor.close();
    this.writeAll(chunks);
  }
}

/** A client's end. */
export class TestClient {
  readonly link = new MemoryLink();
  readonly port: ClientPort;
  readonly #world: World;
  #taken = 0;
  #written = 0;

  constructor(world: World, options: ClientOptions) {
    this.#world = world;
    this.port = world.mux.connect(this.link, options);
  }

  /** Hands bytes in without ending the turn. @param chunkSize bytes in each piece; all in one by default */
  write(input: string | Uint8Array, chunkSize = Number.POSITIVE_INFINITY): void {
    const bytes = bytesOf(input);
    this.#written += bytes.length;
    for (let at = 0; at < bytes.length; at += chunkSize) {
      this.port.receive(bytes.slice(at, Math.min(bytes.length, at + chunkSize)));
    }
  }

  /** Hands bytes in that descriptors come with. @param fault why they cannot be kept */
  writeWith(input: string, descriptors: readonly FakeDescriptor[], fault: string | null = null): void {
    this.port.receiveDescriptors(this.#written, descriptors, fault);
    this.write(input);
  }

  /** Hands bytes in and lets the turns run out. @returns the output since the last `take` */
  send(input: string | Uint8Array): string[] {
    this.write(input);
    this.#world.settle();
    return this.take();
  }

  /** Completes the negotiation. */
  negotiate(capabilities: 'plain' | 'oob' = 'plain'): this {
    const enable = capabilities === 'oob' ? ', "arguments": {"enable": ["oob"]}' : '';
    const lines = this.send(`{"execute": "qmp_capabilities"${enable}}\n`);
    assert.equal(lines.at(-1), '{"return": {}}');
    return this;
  }

  /** The lines that have come since the last call, each of which must have been ended by CRLF. */
  take(): string[] {
    const text = this.link.text.slice(this.#taken);
    this.#taken += text.length;
    if (text === '') return [];
    assert.ok(text.endsWith('\r\n'), `a message is ended by CRLF: ${JSON.stringify(text.slice(-80))}`);
    return text.slice(0, -2).split('\r\n');
  }
}

/** Keeps its calls as lines of text, in the world's common log. */
export class RecordingJournal implements Observer {
  wantsRaw = true;
  /** Reasons that the next flushes give; null for success. Without any, flushes succeed. */
  readonly troubles: (string | null)[] = [];
  readonly #log: string[];
  #lastMark = 0;

  constructor(log: string[]) {
    this.#log = log;
  }

  connected(client: ClientView): void {
    this.#log.push(`connected ${client.id} ${client.listener} ${client.peer.kind}`);
  }

  negotiated(client: ClientView, capabilities: readonly string[], raw: Uint8Array): void {
    this.#log.push(`negotiated ${client.id} [${capabilities.join()}] raw ${textOf(raw)}`);
  }

  disconnected(client: ClientView, reason: string): void {
    this.#log.push(`disconnected ${client.id} ${reason}`);
  }

  descriptors(client: ClientView, descriptors: readonly Descriptor[], fault: string | null): void {
    this.#log.push(`descriptors ${client.id} ${descriptors.map(({ path }) => path).join()} ${fault ?? 'kept'}`);
  }

  command(command: CommandView): void {
    assert.equal(command.auditSeq, 0, 'a command is told once');
    assert.ok(command.sentAt >= command.receivedAt);
    command.auditSeq = ++this.#lastMark;
    const kind = command.oob ? 'oob' : 'command';
    this.#log.push(`${kind} ${command.client.id} ${command.name} raw ${textOf(command.raw)}`);
  }

  answered(command: CommandView, reply: readonly Uint8Array[], isError: boolean, source: ReplySource): void {
    const what = isError ? 'error' : 'return';
    if (source !== 'late') assert.equal(command.auditSeq > 0, source === 'upstream' || source === 'local');
    this.#log.push(`${what} ${command.client.id} ${command.name} ${source} ${textOf(reply).trimEnd()}`);
  }

  unanswered(command: CommandView, reason: string): void {
    this.#log.push(`unanswered ${command.client.id} ${command.name} ${reason}`);
  }

  dropped(command: CommandView, reason: string): void {
    assert.equal(command.auditSeq, 0, 'a command that was sent is not dropped');
    this.#log.push(`dropped ${command.client.id} ${command.name} ${reason}`);
  }

  stuck(command: CommandView, age: number): void {
    this.#log.push(`stuck ${command.client.id} ${command.name} ${Math.floor(age / 1_000_000)} s`);
  }

  abandoned(command: CommandView, reply: Uint8Array): void {
    this.#log.push(`abandoned ${command.client.id} ${command.name} ${textOf(reply).trimEnd()}`);
  }

  malformed(client: ClientView, raw: Uint8Array, reply: Uint8Array): void {
    this.#log.push(`malformed ${client.id} ${textOf(raw)} ${textOf(reply).trimEnd()}`);
  }

  denied(command: CommandView, rule: string, reply: Uint8Array): void {
    this.#log.push(`denied ${command.client.id} ${command.name} ${rule} ${textOf(reply).trimEnd()}`);
  }

  limited(client: ClientView | null, listener: string, limit: string, what: string): void {
    this.#log.push(`limited ${client?.id ?? 'nobody'} ${listener} ${limit} ${what}`);
  }

  event(name: string, message: readonly Uint8Array[], receivers: number): void {
    this.#log.push(`event ${name} to ${receivers} ${textOf(message).trimEnd()}`);
  }

  upstream(state: UpstreamState): void {
    this.#log.push(`upstream ${state.name}${state.name === 'lost' ? ` ${state.reason}` : ''}`);
  }

  stray(message: readonly Uint8Array[], why: string): void {
    this.#log.push(`stray ${why}: ${textOf(message).trimEnd()}`);
  }

  probe(probe: ProbeView): void {
    assert.equal(probe.auditSeq, 0, 'a probe is told once');
    probe.auditSeq = ++this.#lastMark;
    this.#log.push(`probe ${textOf(probe.raw)}`);
  }

  probeAnswered(probe: ProbeView, reply: readonly Uint8Array[], isError: boolean): void {
    this.#log.push(`probe ${probe.name} ${isError ? 'fails' : 'returns'} ${textOf(reply).trimEnd()}`);
  }

  probeUnanswered(probe: ProbeView, reason: string): void {
    this.#log.push(`probe ${probe.name} unanswered ${reason}`);
  }

  health(health: UpstreamHealth, before: UpstreamHealth, age: number): void {
    this.#log.push(`health ${before.name} to ${health.name} ${Math.round(age / 1_000_000)} s`);
  }

  flush(): string | null {
    const trouble = this.troubles.shift() ?? null;
    this.#log.push(trouble === null ? 'flush' : `flush fails: ${trouble}`);
    return trouble;
  }
}

export interface WorldOptions extends FakeQemuOptions {
  /** Whether the multiplexer gets an observer; true by default. */
  readonly observer?: boolean;
  /** Whether the way to QEMU carries descriptors; false by default. */
  readonly carries?: boolean;
  /** Further options of the multiplexer. */
  readonly mux?: Omit<MultiplexerOptions, 'name' | 'host' | 'observer'>;
}

export class World implements Host {
  /** The observer's calls, and each write upstream as `write …`, in order. */
  readonly log: string[] = [];
  readonly observer = new RecordingJournal(this.log);
  readonly mux: Multiplexer;
  readonly qemu: FakeQemu;
  /** The upstream states, in order. */
  readonly states: string[] = [];
  /** The latest upstream connection. */
  upstream = new MemoryLink();
  /** Turns ended so far. */
  turns = 0;
  readonly #carries: boolean;
  #isScheduled = false;
  #clock = 0;
  #nonces = 0;

  constructor(options: WorldOptions = {}) {
    this.#carries = options.carries === true;
    this.mux = new Multiplexer({
      name: 'vm',
      host: this,
      ...options.mux,
      ...(options.observer === false ? {} : { observer: this.observer }),
    });
    this.qemu = new FakeQemu((chunk) => this.mux.upstreamReceive(chunk), options);
  }

  /** A world whose upstream is running. */
  static running(options: WorldOptions = {}): World {
    const world = new World(options);
    world.connectUpstream();
    world.qemu.greet();
    world.qemu.answerHandshake();
    world.settle();
    assert.equal(world.mux.state.name, 'running');
    world.log.length = 0;
    return world;
  }

  now(): number {
    return ++this.#clock;
  }

  /** Lets time pass, in microseconds. */
  pass(time: number): void {
    this.#clock += time;
  }

  epoch(): number {
    return 1_700_000_000_000_000 + this.#clock;
  }

  /** Lets time pass, and has the multiplexer check its time limits. */
  wait(milliseconds: number): void {
    this.#clock += milliseconds * 1000;
    this.mux.tick();
    this.settle();
  }

  schedule(): void {
    this.#isScheduled = true;
  }

  nonce(): string {
    return `nonce${++this.#nonces}nonce`;
  }

  upstreamChanged(state: UpstreamState): void {
    assert.deepEqual(this.mux.state, state, 'the state has changed when the host is told');
    this.states.push(state.name);
  }

  /** A connection to QEMU is made. */
  connectUpstream(): MemoryLink {
    const link = this.#carries ? new CarryingLink() : new MemoryLink();
    link.onWrite = (text) => {
      this.log.push(`write ${text}`);
      this.qemu.receive(text);
    };
    this.upstream = link;
    this.qemu.reset();
    this.mux.upstreamOpened(link);
    return link;
  }

  /** A client connects, and is sent the greeting. */
  client(
    listener = 'unix:/run/vm.mux',
    peer: Peer = { kind: 'unix' },
    options: Omit<ClientOptions, 'listener' | 'peer'> = {},
  ): TestClient {
    const client = new TestClient(this, { listener, peer, ...options });
    this.settle();
    assert.deepEqual(client.take(), [this.qemu.greetingLine]);
    return client;
  }

  /** Ends the turn if something asked for it. @returns whether it did */
  turn(): boolean {
    if (!this.#isScheduled) return false;
    this.#isScheduled = false;
    this.turns++;
    this.mux.commit();
    return true;
  }

  /** Ends turns until nothing is left to be done. */
  settle(): void {
    for (let round = 0; this.turn(); round++) assert.ok(round < 10_000, 'turns that never come to an end');
  }

  /** Log entries that begin with one of `words`. */
  logged(...words: readonly string[]): string[] {
    return this.log.filter((line) => words.some((word) => line === word || line.startsWith(`${word} `)));
  }
}
