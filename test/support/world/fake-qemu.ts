/**
 * QEMU's end of the upstream connection, in memory: the greeting, the handshake as QEMU 7.2 answers it, and then any messages a test has it
 * send. It reads its input with the reference reader, so faults in it do not go unnoticed.
 */
import assert from 'node:assert/strict';
import { judged, quoted, ReferenceReader } from './reference-reader.js';

export interface FakeQemuOptions {
  /** Whether the greeting offers `oob`; true by default. */
  readonly oob?: boolean;
  /** Whether messages are pretty-printed; false by default. */
  readonly pretty?: boolean;
  /** The version in the greeting; 7.2.22 by default. */
  readonly version?: string;
  /** How it judges its input, as the handshake finds out; `classic` by default. Null for no answer to that. */
  readonly dialect?: 'classic' | 'prompt' | null;
  /** Its answers to faulty requests during the handshake, in place of 7.2's words: the text to be replaced → the new one. */
  readonly words?: Readonly<Record<string, string>>;
}

/** A command as it arrived. */
export interface Arrived {
  readonly text: string;
  readonly name: string;
  readonly oob: boolean;
  /** The id as QEMU writes it. */
  readonly id: string;
  /** The arguments as QEMU writes them; `{}` for none. */
  readonly args: string;
}

export class FakeQemu {
  readonly greetingLine: string;
  /** Commands that have arrived and have no answer, oldest first. */
  readonly waiting: Arrived[] = [];
  /** How many commands have arrived since the handshake. */
  arrivedCount = 0;
  /** See the option of this name. */
  dialect: 'classic' | 'prompt' | null;
  readonly #say: (chunk: Uint8Array) => void;
  readonly #options: FakeQemuOptions;
  #reader = new ReferenceReader();
  /** Whether the handshake has asked for the dialect, and has no answer yet. */
  #isAskedForDialect = false;
  /** Whether the handshake is over. */
  #isAgreed = false;

  constructor(say: (chunk: Uint8Array) => void, options: FakeQemuOptions) {
    this.#say = say;
    this.#options = options;
    this.dialect = options.dialect === undefined ? 'classic' : options.dialect;
    const capabilities = options.oob === false ? '[]' : '["oob"]';
    const [major, minor, micro] = (options.version ?? '7.2.22').split('.');
    const version = `{"micro": ${micro}, "minor": ${minor}, "major": ${major}}`;
    this.greetingLine = `{"QMP": {"version": {"qemu": ${version}, "package": "fake"}, "capabilities": ${capabilities}}}`;
  }

  /** A new connection: nothing of the old one is left. */
  reset(): void {
    this.waiting.length = 0;
    this.#isAskedForDialect = false;
    this.#isAgreed = false;
    this.#reader = new ReferenceReader();
  }

  /** Bytes that were written to the upstream connection. */
  receive(text: string): void {
    for (const outcome of this.#reader.read(text)) {
      if (!this.#isAgreed && 'error' in outcome && outcome.error === 'JSON parse error, duplicate key') {
        this.#isAskedForDialect = true;
        continue;
      }
      assert.ok('value' in outcome, `QEMU is sent what it cannot read: ${JSON.stringify(text)}`);
      const command = judged(outcome, this.#options.oob !== false);
      assert.ok('name' in command, `QEMU is sent a faulty command: ${outcome.source}`);
      assert.ok(command.id !== null, `a command goes upstream without an id: ${outcome.source}`);
      const { name, oob, id, args } = command;
      this.waiting.push({ text: outcome.source, name, oob, id, args });
      this.arrivedCount++;
    }
  }

  /** Says bytes, exactly. @param chunkSize bytes in each piece; all in one by default */
  send(text: string, chunkSize = Number.POSITIVE_INFINITY): void {
    for (let at = 0; at < text.length; at += chunkSize) {
      this.#say(new Uint8Array(Buffer.from(text.slice(at, at + chunkSize), 'latin1')));
    }
  }

  /** Says a message given on one line: followed by CRLF, and in the pretty form where that is asked for. */
  say(line: string): void {
    this.send(`${this.#options.pretty === true ? prettyPrinted(line) : line}\r\n`);
  }

  greet(): void {
    this.say(this.greetingLine);
  }

  /** Answers the requests of the handshake as QEMU does before negotiation is complete. */
  answerHandshake(): void {
    if (this.#isAskedForDialect && this.dialect !== null) {
      const place = this.dialect === 'prompt' ? '1:1: ' : '';
      this.say(`{"error": {"class": "GenericError", "desc": "${place}JSON parse error, duplicate key"}}`);
    }
    this.#isAskedForDialect = false;
    this.#isAgreed = true;
    while (this.waiting.length > 0) {
      const { name, args, id } = this.#take();
      const refusal = name === 'qmp_capabilities' ? capabilitiesFault(args, this.#options.oob !== false) : EXPECTING;
      if (refusal === null) this.say(`{"return": {}, "id": ${id}}`);
      else {
        let desc = refusal.desc;
        for (const [from, to] of Object.entries(this.#options.words ?? {})) desc = desc.replace(from, to);
        this.say(`{"id": ${id}, "error": {"class": "${refusal.class}", "desc": ${quoted(desc)}}}`);
      }
    }
    this.arrivedCount = 0;
  }

  /** Answers the oldest command with `value`, as JSON text in QEMU's spelling. */
  returns(value = '{}'): void {
    this.say(`{"return": ${value}, "id": ${this.#take().id}}`);
  }

  /** Answers the oldest command with an error. */
  fails(desc: string, errorClass = 'GenericError'): void {
    this.say(`{"id": ${this.#take().id}, "error": {"class": "${errorClass}", "desc": ${quoted(desc)}}}`);
  }

  /** Answers the oldest out-of-band command, before any in-band one. */
  returnsOob(value = '{}'): void {
    const at = this.waiting.findIndex((command) => command.oob);
    const [command] = this.waiting.splice(at, 1);
    assert.ok(at >= 0 && command !== undefined, 'no out-of-band command is waiting');
    this.say(`{"return": ${value}, "id": ${command.id}}`);
  }

  event(name: string, data = '{}'): string {
    const line = `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "${name}", "data": ${data}}`;
    this.say(line);
    return line;
  }

  /** The names of the commands that wait for an answer. */
  get waitingNames(): string[] {
    return this.waiting.map((command) => command.name);
  }

  #take(): Arrived {
    const command = this.waiting.shift();
    assert.ok(command !== undefined, 'no command is waiting for an answer');
    return command;
  }
}

interface Fault {
  readonly class: string;
  readonly desc: string;
}

const EXPECTING: Fault = {
  class: 'CommandNotFound',
  desc: "Expecting capabilities negotiation with 'qmp_capabilities'",
};

function fault(desc: string): Fault {
  return { class: 'GenericError', desc };
}

/** QEMU 7.2's error for the arguments of `qmp_capabilities` (as it writes it); null for none. */
function capabilitiesFault(args: string, offersOob: boolean): Fault | null {
  // The requests of a handshake are plain JSON.
  const { enable, ...others } = JSON.parse(args) as Record<string, unknown>;
  if (enable !== undefined) {
    if (!Array.isArray(enable)) return fault("Invalid parameter type for 'enable', expected: array");
    for (const [index, item] of enable.entries()) {
      if (typeof item !== 'string') return fault(`Invalid parameter type for 'enable[${index}]', expected: string`);
      if (item !== 'oob') return fault(`Parameter 'null' does not accept value '${item}'`);
    }
  }
  const [unexpected] = Object.keys(others);
  if (unexpected !== undefined) return fault(`Parameter '${unexpected}' is unexpected`);
  return Array.isArray(enable) && enable.includes('oob') && !offersOob ? fault('Capability oob not available') : null;
}

/** @returns a one-line message of QEMU's as its JSON writer puts it with `pretty=on`. */
export function prettyPrinted(line: string): string {
  assert.ok(!line.includes('\n'), 'it is on one line');
  let out = '';
  let depth = 0;
  let isInString = false;
  for (let at = 0; at < line.length; at++) {
    const c = line[at] ?? '';
    if (isInString) {
      out += c;
      if (c === '\\') out += line[++at] ?? '';
      else if (c === '"') isInString = false;
    } else if (c === '{' || c === '[') out += `${c}\n${' '.repeat(4 * ++depth)}`;
    else if (c === '}' || c === ']') out += `\n${' '.repeat(4 * --depth)}${c}`;
    else if (c === ',') {
      out += `,\n${' '.repeat(4 * depth)}`;
      at++;
    } else {
      out += c;
      isInString = c === '"';
    }
  }
  // An empty container has its closing bracket on the line below, and no line of blanks between.
  return out.replace(/\n +(\n *[}\]])/g, '$1');
}
