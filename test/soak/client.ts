/** Clients for the soak: thousands in one process, each counting what it is due, and none keeping what it has read. */
import { createConnection, type Socket } from 'node:net';

/** What went wrong, in words; the soak fails with them. */
export type Complain = (problem: string) => void;

/** How long a client waits for an answer before that is a problem, in milliseconds. */
const PATIENCE = 60_000;

/** A client that sends well-formed commands and expects answers in order, and every event. */
export class SoakClient {
  readonly name: string;
  /** Events seen, by name. */
  readonly events = new Map<string, number>();
  answers = 0;
  /** Errors among them. */
  errors = 0;
  isOpen = false;
  readonly #socket: Socket;
  readonly #complain: Complain;
  readonly #due: { readonly id: number; readonly resolve: (milliseconds: number) => void; readonly at: number }[] = [];
  #text = '';
  #nextId = 0;
  #onLine: (line: string) => void = () => {};

  private constructor(socket: Socket, name: string, complain: Complain) {
    this.#socket = socket;
    this.name = name;
    this.#complain = complain;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isOpen = false;
      for (const { resolve } of this.#due.splice(0)) resolve(Number.NaN);
    });
  }

  /** Connects and negotiates; tries again where the kernel takes no more connections for the moment. */
  static async open(path: string, name: string, complain: Complain): Promise<SoakClient> {
    for (;;) {
      const socket = createConnection({ path });
      const client = new SoakClient(socket, name, complain);
      const isThere = await new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true));
        socket.once('error', () => resolve(false));
      });
      if (!isThere || !(await client.#negotiate())) {
        socket.destroy();
        await new Promise((resolve) => setTimeout(resolve, 20));
        continue;
      }
      client.isOpen = true;
      return client;
    }
  }

  /** Sends a command. @returns milliseconds until its answer, or NaN when the connection ended first */
  ask(command = 'query-status'): Promise<number> {
    if (!this.isOpen) return Promise.resolve(Number.NaN);
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#due.push({ id, resolve, at: performance.now() });
      this.#socket.write(`{"execute": "${command}", "id": ${id}}`);
    });
  }

  /** Sends bytes that are no concern of the count. */
  write(bytes: string): void {
    this.#socket.write(bytes, 'latin1');
  }

  /** Stops reading for good. */
  stopReading(): void {
    this.#socket.pause();
  }

  /** Any line counts for nothing from now on. */
  ignoreAnswers(): void {
    this.#onLine = () => {};
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.closed) return resolve();
      this.#socket.once('close', () => resolve());
      this.#socket.destroy();
    });
  }

  #negotiate(): Promise<boolean> {
    return new Promise((resolve) => {
      let lines = 0;
      this.#socket.once('close', () => resolve(false));
      this.#onLine = (line) => {
        lines++;
        if (lines === 1 && !line.startsWith('{"QMP"')) return resolve(false);
        if (lines < 2) return;
        this.#onLine = (next) => this.#take(next);
        resolve(true);
      };
      this.#socket.write('{"execute": "qmp_capabilities"}');
    });
  }

  #read(text: string): void {
    this.#text += text;
    let from = 0;
    for (let end = this.#text.indexOf('\r\n', from); end >= 0; end = this.#text.indexOf('\r\n', from)) {
      this.#onLine(this.#text.slice(from, end));
      from = end + 2;
    }
    this.#text = this.#text.slice(from);
  }

  #take(line: string): void {
    if (line.startsWith('{"timestamp"')) {
      const name = /"event": "([^"]*)"/.exec(line)?.[1] ?? '';
      this.events.set(name, (this.events.get(name) ?? 0) + 1);
      return;
    }
    const due = this.#due.shift();
    const id = /^\{"id": (\d+), "error"/.exec(line)?.[1] ?? /, "id": (\d+)\}$/.exec(line)?.[1];
    if (due === undefined || id !== String(due.id)) {
      this.#complain(`${this.name} got ${line.slice(0, 100)} for command ${due?.id ?? '(none)'}`);
      return;
    }
    this.answers++;
    if (line.startsWith('{"id"')) this.errors++;
    const took = performance.now() - due.at;
    if (took > PATIENCE) this.#complain(`${this.name} waited ${Math.round(took)} ms for an answer`);
    due.resolve(took);
  }
}

/** @returns the value below which that part of the sorted numbers lies. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
