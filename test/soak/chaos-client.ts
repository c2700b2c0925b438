/** A client that checks every byte it reads: its own answers, in its own order, whole; and a sum over all events. */
import { createHash } from 'node:crypto';
import { createConnection, type Socket } from 'node:net';
import type { Complain } from './client.js';

/** When nothing could be answered, because QEMU or the daemon was stopped or killed by us: that is nobody's delay. */
export class Outages {
  #over = 0;
  #since: number | null = null;

  begin(): void {
    this.#since ??= performance.now();
  }

  end(): void {
    if (this.#since !== null) this.#over += performance.now() - this.#since;
    this.#since = null;
  }

  /** @returns milliseconds of all of them so far */
  get total(): number {
    return this.#over + (this.#since === null ? 0 : performance.now() - this.#since);
  }
}

interface Due {
  readonly id: string;
  readonly at: number;
  readonly outage: number;
  /** Whether this is what QEMU says. */
  readonly isRight: (line: string) => boolean;
  readonly resolve: (answer: Answer | null) => void;
}

export interface Answer {
  readonly milliseconds: number;
  /** Whether QEMU answered; qmpmux answers where it is gone, or where the command cannot be recorded. */
  readonly isQemus: boolean;
}

/** @returns whether the daemon answers `ask(which)` without QEMU */
export function isFromMemory(which: number): boolean {
  return which === 0 || which % 4 === 3;
}

/** What qmpmux says in QEMU's place. */
const OWN_ERRORS =
  /this command was not executed|this command may have been executed|qmpmux cannot record this command/;
/** What is the same for everybody: the first one that came, by command. */
const same = new Map<string, string>();

export class ChaosClient {
  readonly name: string;
  answers = 0;
  events = 0;
  isOpen = false;
  readonly #socket: Socket;
  readonly #outages: Outages;
  readonly #complain: Complain;
  readonly #sum = createHash('sha256');
  #due: Due[] = [];
  #pieces: string[] = [];
  #next = 0;

  private constructor(socket: Socket, name: string, outages: Outages, complain: Complain) {
    this.#socket = socket;
    this.name = name;
    this.#outages = outages;
    this.#complain = complain;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isOpen = false;
      for (const { resolve } of this.#due.splice(0)) resolve(null);
    });
  }

  /** @throws Error where there is no answer to the negotiation; who connects while QEMU is gone has to try again */
  static async open(path: string, name: string, outages: Outages, complain: Complain): Promise<ChaosClient> {
    const client = new ChaosClient(createConnection({ path }), name, outages, complain);
    client.isOpen = true;
    const greeting = client.#expect('', (line) => line.startsWith('{"QMP": '));
    const agreed = client.#expect('', (line) => line === '{"return": {}}');
    client.#socket.write('{"execute": "qmp_capabilities"}');
    if ((await greeting)?.isQemus !== true || (await agreed)?.isQemus !== true) {
      client.#socket.destroy();
      throw new Error(`${name} was not let in`);
    }
    return client;
  }

  /**
   * Asks one of some things whose answer is known to the byte.
   * @param which 0 for a long answer, others for short ones; see `isFromMemory`
   * @returns null when the connection ended first */
  ask(which: number): Promise<Answer | null> {
    const id = `"${this.name}-${this.#next++}"`;
    const end = `, "id": ${id}}`;
    const fromMemory = which === 0 ? 'query-qmp-schema' : isFromMemory(which) ? 'query-version' : null;
    if (fromMemory !== null) {
      return this.#send(fromMemory, id, (line) => {
        if (!line.startsWith('{"return": ') || !line.endsWith(end)) return false;
        const body = line.slice(0, -end.length);
        if (!same.has(fromMemory)) same.set(fromMemory, body);
        return body === same.get(fromMemory);
      });
    }
    if (which % 4 === 0) return this.#send('query-name', id, (line) => line === `{"return": {"name": "chaos"}${end}`);
    if (which % 4 === 1) {
      return this.#send(
        'query-kvm',
        id,
        (line) =>
          /^\{"return": \{"enabled": (?:true|false), "present": (?:true|false)\}, "id": "[^"]*"\}$/.test(line) &&
          line.endsWith(end),
      );
    }
    const nobody = `nobody-${this.name}-${this.#next}`;
    const error = `{"class": "CommandNotFound", "desc": "The command ${nobody} has not been found"}`;
    return this.#send(nobody, id, (line) => line === `{"id": ${id}, "error": ${error}}`);
  }

  /** Sends a command that returns nothing. */
  act(command: string): Promise<Answer | null> {
    const id = `"${this.name}-${this.#next++}"`;
    return this.#send(command, id, (line) => line === `{"return": {}, "id": ${id}}`);
  }

  /** @returns a sum over all events, with their order; once, at the end */
  sum(): string {
    return this.#sum.digest('hex');
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.closed) return resolve();
      this.#socket.once('close', () => resolve());
      this.#socket.destroy();
    });
  }

  #send(command: string, id: string, isRight: (line: string) => boolean): Promise<Answer | null> {
    if (!this.isOpen) return Promise.resolve(null);
    this.#socket.write(`{"execute": "${command}", "id": ${id}}`);
    return this.#expect(id, isRight);
  }

  #expect(id: string, isRight: (line: string) => boolean): Promise<Answer | null> {
    const [at, outage] = [performance.now(), this.#outages.total];
    return new Promise((resolve) => {
      this.#due.push({ id, isRight, resolve, at, outage });
    });
  }

  #read(text: string): void {
    const lines = text.split('\r\n');
    const [first = '', ...rest] = lines;
    this.#pieces.push(first);
    // A line feed may come by itself.
    for (const piece of rest) {
      this.#take(this.#pieces.join(''));
      this.#pieces = [piece];
    }
    if (this.#pieces.at(-1)?.startsWith('\n') === true) this.#mendEnd();
  }

  /** Where the two bytes of a line's end came in two pieces. */
  #mendEnd(): void {
    const all = this.#pieces.join('');
    const at = all.indexOf('\r\n');
    if (at < 0) return;
    this.#take(all.slice(0, at));
    this.#pieces = [all.slice(at + 2)];
  }

  #take(line: string): void {
    if (line.startsWith('{"timestamp"')) {
      this.events++;
      this.#sum.update(`${line}\n`);
      return;
    }
    const due = this.#due.shift();
    if (due === undefined) return this.#complain(`${this.name} got ${line.slice(0, 200)} and waits for nothing`);
    const isQemus = due.isRight(line);
    if (!isQemus && !(line.startsWith(`{"id": ${due.id}, "error": `) && OWN_ERRORS.test(line))) {
      this.#complain(`${this.name} got ${line.slice(0, 200)} for ${due.id}`);
    }
    this.answers++;
    // It is told when its line is read, which is later than it came where this process is busy: that is in all figures alike.
    const milliseconds = performance.now() - due.at - (this.#outages.total - due.outage);
    due.resolve({ milliseconds: Math.max(0, milliseconds), isQemus });
  }
}
