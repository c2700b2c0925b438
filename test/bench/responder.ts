/**
 * A QMP server that does nothing but answer: a process of its own, as lean as Node allows, so that what stands between it and the
 * clients is what is measured. It reads commands by their braces, finds the id, and answers with an empty or a padded return. A
 * command named `emit:N` makes it send N events to everyone else who is connected.
 */
import { createServer, type Socket } from 'node:net';
import { EVENT, type ParentMessage, tellParent } from './load.js';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 9}, "package": "responder"}, "capabilities": ["oob"]}}\r\n';
const SLAB = 64 * 1024;
const EMPTY = Buffer.from('{"return": {}');
const ID = Buffer.from(', "id": ');
const END = Buffer.from('}\r\n');
const EMIT = Buffer.from('"emit:');
/** Beyond this many bytes of a string its end is looked for natively. */
const LONG_STRING = 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;
const SPACE = 0x20;

const connections = new Set<Connection>();
let padded: Buffer | null = null;
let slab = Buffer.allocUnsafe(SLAB);
let used = 0;

class Connection {
  readonly #socket: Socket;
  /** An unfinished command of earlier reads. */
  #rest: Buffer | null = null;
  #outStart = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.write(GREETING);
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', () => {});
    socket.on('close', () => connections.delete(this));
  }

  sendEvents(events: Buffer): void {
    this.#socket.write(events);
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#outStart = used;
    const isCorked = padded !== null;
    if (isCorked) this.#socket.cork();
    const end = this.#answerAll(bytes);
    this.#rest = end < bytes.length ? bytes.subarray(end) : null;
    this.#flush();
    if (isCorked) this.#socket.uncork();
  }

  /** @returns where the first unfinished command begins. */
  #answerAll(bytes: Buffer): number {
    const length = bytes.length;
    let depth = 0;
    let begin = 0;
    let idStart = -1;
    let idEnd = -1;
    for (let at = 0; at < length; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        const open = at;
        at = stringEnd(bytes, open);
        if (at < 0) return begin;
        const isKey = depth === 1 && at - open === 3 && bytes[open + 1] === 0x69 && bytes[open + 2] === 0x64;
        if (!isKey || idStart >= 0) continue;
        let value = at + 1;
        while (bytes[value] === SPACE) value++;
        if (bytes[value] !== COLON) continue;
        value++;
        while (bytes[value] === SPACE) value++;
        idStart = value;
        at = value - 1;
      } else if (byte === OPEN || byte === OPEN_LIST) {
        if (depth++ === 0) {
          begin = at;
          idStart = -1;
          idEnd = -1;
        }
      } else if (byte === COMMA) {
        if (depth === 1 && idStart >= 0 && idEnd < 0) idEnd = at;
      } else if (byte === CLOSE || byte === CLOSE_LIST) {
        if (--depth > 0) continue;
        if (idStart >= 0 && idEnd < 0) idEnd = at;
        this.#answer(bytes, begin, at, idStart, idEnd);
        begin = at + 1;
      } else if (depth === 0) begin = at + 1;
    }
    return begin;
  }

  #answer(bytes: Buffer, begin: number, end: number, idStart: number, idEnd: number): void {
    const emit = bytes.subarray(begin, Math.min(end, begin + 40)).indexOf(EMIT);
    if (emit >= 0) this.#emit(Number.parseInt(bytes.toString('latin1', begin + emit + EMIT.length, end), 10));
    if (SLAB - used < 128 + idEnd - idStart) {
      this.#flush();
      slab = Buffer.allocUnsafe(Math.max(SLAB, 256 + idEnd - idStart));
      used = 0;
      this.#outStart = 0;
    }
    if (padded !== null) {
      this.#flush();
      this.#socket.write(padded);
    } else put(EMPTY, 0, EMPTY.length);
    if (idStart >= 0) {
      put(ID, 0, ID.length);
      put(bytes, idStart, idEnd);
    }
    put(END, 0, END.length);
  }

  #emit(count: number): void {
    const events = Buffer.from(EVENT.repeat(count));
    for (const other of connections) if (other !== this) other.sendEvents(events);
  }

  #flush(): void {
    if (used > this.#outStart) this.#socket.write(slab.subarray(this.#outStart, used));
    this.#outStart = used;
  }
}

function stringEnd(bytes: Buffer, open: number): number {
  const length = bytes.length;
  const near = Math.min(length, open + LONG_STRING);
  let at = open + 1;
  for (; at < near; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at++;
  }
  for (;;) {
    const quote = bytes.indexOf(QUOTE, at);
    if (quote < 0) return -1;
    let slashes = 0;
    while (bytes[quote - 1 - slashes] === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return quote;
    at = quote + 1;
  }
}

function put(from: Buffer, start: number, end: number): void {
  for (let at = start; at < end; at++) slab[used++] = from[at] ?? 0;
}

process.on('message', (message: ParentMessage) => {
  if (message.kind !== 'respond') return;
  if (message.padding > 0) padded = Buffer.from(`{"return": {"pad": "${'x'.repeat(message.padding)}"}`);
  let waiting = message.paths.length;
  for (const path of message.paths) {
    createServer((socket) => connections.add(new Connection(socket))).listen(path, () => {
      if (--waiting === 0) tellParent({ kind: 'ready' });
    });
  }
});
process.on('disconnect', () => process.exit());
