/**
 * A client of the human monitor (`protocol=hmp`): to it this is QEMU's `-monitor`, to the multiplexer it is a client like any
 * other, whose lines are `human-monitor-command`s. So its commands are queued, recorded, judged and limited as all are.
 *
 * Invariants:
 * - one line at a time: while one is with QEMU, or a completion is looked up, further input waits, as it does in QEMU;
 * - input not looked at yet is bounded (beyond, the connection is not read), and so is echo: no byte more
 *   is looked at while the client has much to read. Echo is much longer than input: 4 KiB of a line make 33 MB of it;
 * - the client's lines from before it left are executed, a last line without its end is not.
 *
 * A temporary monitor runs each line in QEMU, and three things that a monitor keeps are kept here: the CPU that `cpu` chose (sent
 * along as `cpu-index`), the history, and the question for a password, which a temporary monitor cannot ask.
 */

import type { ClientOptions } from '../../mux/client/client-options.js';
import { EventFilter } from '../../mux/events/filter.js';
import type { ClientPort } from '../../mux/ports/client-port.js';
import type { ClientId, Descriptor, Link } from '../../mux/ports/link.js';
import { quote } from '../../qmp/json/unicode.js';
import { isJsonObject, type JsonObject, parseJson } from '../../qmp/json/value.js';
import { ascii, asciiText } from '../../shared/bytes.js';
import { saysWithoutHmp, WITHOUT_HMP } from '../absence.js';
import { parseHmpLine } from '../line.js';
import { decodeUtf8, encodeUtf8 } from './bytes.js';
import { wordToComplete } from './completion.js';
import { HmpEditor, type HmpRequest, PASSWORD_PROMPT } from './editor.js';
import { type Answer, HmpNames } from './names.js';

/** The needs of a session of the human monitor from outside. */
export interface HmpOwner {
  /** QEMU's version, for the banner. */
  readonly version: string;
  connect(link: Link, options: ClientOptions): ClientPort;
  /** Runs a function when the present call has come to its end. */
  later(run: () => void): void;
}

/** Typed bytes that wait before the connection is no longer read. */
const MOST_INPUT = 64 * 1024;
/** Unread bytes with which nothing further is echoed. Above the mark at which sockets report that they are empty again. */
const MOST_UNREAD = 128 * 1024;

/** QEMU's output if a monitor should ask for a password and cannot. */
const NO_PASSWORD = 'terminal does not support password prompting\r\n';
/** QEMU's refusal of a `cpu-index` whose CPU is gone. */
const NO_SUCH_CPU = /cpu-index/;
/** And its error for `getfd` there. */
const NO_DESCRIPTOR = 'No file descriptor supplied via SCM_RIGHTS';
const DENIED = /^Command 'human-monitor-command' is not allowed here/;
/** Sent to every client when QEMU is lost and clients stay; other events are not wanted here. */
const EVENTS = new EventFilter(['__org.qmpmux_UPSTREAM_LOST']);

type State =
  /** Bytes are typed into the line. */
  | { readonly name: 'typing' }
  /** QEMU is asked something. */
  | { readonly name: 'waiting'; readonly answered: (answer: Answer) => void }
  /** `quit` was executed: QEMU ends, and then the connection. */
  | { readonly name: 'quitting' }
  | { readonly name: 'over' };

/** Serves one client. @param link its connection */
export function connectHmp(owner: HmpOwner, link: Link, options: ClientOptions): ClientPort {
  return new HmpSession(owner, link, options);
}

class HmpSession implements ClientPort {
  readonly id: ClientId;
  readonly #owner: HmpOwner;
  readonly #link: Link;
  readonly #port: ClientPort;
  readonly #editor: HmpEditor;
  /** Why `getfd` finds none; null if QEMU's own words say it. */
  readonly #noDescriptors: string | null;
  #state: State = { name: 'typing' };
  /** Chunks not looked at yet, from `#at` of the first on. */
  readonly #input: Uint8Array[] = [];
  #inputLength = 0;
  #at = 0;
  #isPaused = false;
  #isScheduled = false;
  /** The client sends no more. */
  #hasEnded = false;
  /** Why the connection is gone; null while it is there. */
  #goneReason: string | null = null;
  /** Echo and answers, a character for a byte. */
  #output: string[] = [];
  #outputLength = 0;
  /** The beginning of a message from the multiplexer. */
  #message = '';
  /** Chosen by `cpu`; null for QEMU's own choice. */
  #cpu: number | null = null;
  /** The line that wants a password. */
  #wantsPassword: string | null = null;
  readonly #names = new HmpNames({
    ask: (command, args, then) => {
      this.#ask(command, args, then);
    },
    run: (line, then) => {
      this.#command(line, then);
    },
  });

  constructor(owner: HmpOwner, link: Link, options: ClientOptions) {
    this.#owner = owner;
    this.#link = link;
    this.#noDescriptors = options.noDescriptors ?? null;
    this.#editor = new HmpEditor((text) => {
      this.#print(text);
    }, owner.version);
    this.#print(`QEMU ${owner.version} monitor - type 'help' for more information\r\n`);
    this.#editor.prompt();
    this.#port = owner.connect(this.#innerLink(), { ...options, events: EVENTS });
    this.id = this.#port.id;
    this.#ask('qmp_capabilities', '', () => {
      this.#state = { name: 'typing' };
    });
    this.#flush();
  }

  receive(chunk: Uint8Array): void {
    this.#input.push(chunk);
    this.#inputLength += chunk.length;
    this.#run();
  }

  /**
   * A command of the human monitor cannot take any: QEMU runs it on a temporary monitor, whose names of descriptors end with it. So
   * our owner has a `fault` for them, and the multiplexer closes and records them. Our stream is not the client's: all come first.
   */
  receiveDescriptors(_at: number, descriptors: readonly Descriptor[], fault: string | null): void {
    this.#port.receiveDescriptors(0, descriptors, fault ?? this.#noDescriptors ?? NO_DESCRIPTOR);
  }

  refuse(answer: Uint8Array, what: string): void {
    if (this.#goneReason !== null || this.#state.name === 'over') return;
    this.#flush();
    if (answer.length > 0) this.#link.write(answer);
    this.#port.refuse(new Uint8Array(0), what);
  }

  receiveEnd(): void {
    this.#hasEnded = true;
    this.#run();
  }

  closed(reason: string): void {
    this.#goneReason = reason;
    this.#output = [];
    this.#outputLength = 0;
    this.#run();
  }

  drained(): void {
    this.#port.drained();
    this.#run();
  }

  /** The multiplexer's end of its connection to us. */
  #innerLink(): Link {
    const link = this.#link;
    const take = (chunk: Uint8Array) => {
      this.#take(chunk);
    };
    return {
      write: take,
      writeAll: (chunks) => {
        for (const chunk of chunks) take(chunk);
      },
      get backlog() {
        return link.backlog;
      },
      get progress() {
        return link.progress ?? -link.backlog;
      },
      end: () => {
        this.#state = { name: 'over' };
        this.#flush();
        if (this.#goneReason === null) link.end();
      },
      destroy: () => {
        this.#state = { name: 'over' };
        if (this.#goneReason === null) link.destroy();
      },
      // We never send the multiplexer more than one command at a time.
      pause: () => undefined,
      resume: () => undefined,
    };
  }

  /** Bytes from the multiplexer: messages, each with CRLF at its end and nowhere else. */
  #take(chunk: Uint8Array): void {
    const lines = (this.#message + asciiText(chunk)).split('\r\n');
    this.#message = lines.pop() ?? '';
    for (const line of lines) this.#readMessage(line);
  }

  #readMessage(line: string): void {
    const parsed = parseJson(line);
    if (!parsed.ok || !isJsonObject(parsed.value) || 'QMP' in parsed.value) return;
    const message = parsed.value;
    if ('event' in message) {
      // The loss of QEMU also ends a connection that waited for it to quit.
      if (this.#state.name === 'quitting') this.#leave('QEMU was quit');
      return;
    }
    if (this.#state.name !== 'waiting') return;
    const { answered } = this.#state;
    this.#state = { name: 'typing' };
    answered(answerOf(message));
    this.#schedule();
  }

  /** Asks QEMU something, by the multiplexer. @param args a JSON object, or empty */
  #ask(command: string, args: string, answered: (answer: Answer) => void): void {
    this.#state = { name: 'waiting', answered };
    this.#port.receive(ascii(`{"execute":"${command}"${args === '' ? '' : `,"arguments":${args}`}}`));
  }

  /** Goes on when the multiplexer is done with its turn. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#owner.later(() => {
      this.#isScheduled = false;
      this.#run();
    });
  }

  /** Looks at the input, as far as that can be done now. */
  #run(): void {
    while (this.#state.name === 'typing' && this.#isReading) {
      const byte = this.#next();
      if (byte === null) break;
      const request = this.#editor.type(byte);
      if (request !== null) this.#serve(request);
    }
    this.#flush();
    this.#finish();
    this.#pace();
  }

  /** Whether the client has read enough to be echoed more. */
  get #isReading(): boolean {
    if (this.#outputLength > MOST_UNREAD) this.#flush();
    return this.#goneReason !== null || this.#link.backlog < MOST_UNREAD;
  }

  #next(): number | null {
    const chunk = this.#input[0];
    if (chunk === undefined) return null;
    const byte = chunk[this.#at++];
    this.#inputLength--;
    if (this.#at >= chunk.length) {
      this.#input.shift();
      this.#at = 0;
    }
    return byte ?? null;
  }

  #finish(): void {
    if (this.#state.name === 'over') return;
    const isDone = this.#inputLength === 0 && this.#state.name === 'typing';
    // A client that quits waits for QEMU's end, which the end of its own connection shows.
    if (this.#goneReason !== null && (isDone || this.#state.name === 'quitting')) this.#leave(this.#goneReason);
    else if (this.#hasEnded && isDone) {
      this.#state = { name: 'over' };
      this.#port.receiveEnd();
    }
  }

  #leave(reason: string): void {
    this.#state = { name: 'over' };
    if (this.#goneReason === null) this.#port.receiveEnd();
    else this.#port.closed(reason);
  }

  /** Lets the client's connection be read, or not. */
  #pace(): void {
    const isFull = this.#inputLength > MOST_INPUT;
    if (isFull === this.#isPaused || this.#goneReason !== null || this.#state.name === 'over') return;
    this.#isPaused = isFull;
    if (isFull) this.#link.pause();
    else this.#link.resume();
  }

  #serve(request: HmpRequest): void {
    if (request.kind === 'complete') this.#complete(request.text);
    else if (this.#wantsPassword !== null) this.#enterPassword(this.#wantsPassword, request.line);
    else this.#execute(request.line);
  }

  #execute(line: string): void {
    const { verb, topic } = parseHmpLine(line);
    if (verb === '') return this.#editor.prompt();
    this.#command(line, (answer) => {
      if ('error' in answer && saysWithoutHmp(answer.error)) {
        this.#print(`Error: ${WITHOUT_HMP}\r\n`);
        this.#flush();
        return this.#leave('QEMU has no human monitor');
      }
      if ('error' in answer) {
        this.#print(encodeUtf8(`Error: ${answer.error.replace(DENIED, `Command '${verb}' is not allowed here`)}\r\n`));
        return this.#editor.prompt();
      }
      const text = typeof answer.returned === 'string' ? answer.returned : '';
      if (verb === 'quit' && text === '') {
        this.#state = { name: 'quitting' };
        return;
      }
      if (text === NO_PASSWORD) {
        this.#wantsPassword = line;
        return this.#editor.prompt(PASSWORD_PROMPT);
      }
      if (verb === 'cpu' && text === '') this.#chooseCpu(line);
      if (verb === 'info' && topic === 'history' && text === '') {
        for (const [index, entry] of this.#editor.history.lines.entries()) this.#print(`${index}: '${entry}'\r\n`);
      }
      const isRefused = this.#noDescriptors !== null && text === `Error: ${NO_DESCRIPTOR}\r\n`;
      this.#print(encodeUtf8(isRefused ? `Error: ${this.#noDescriptors ?? ''}\r\n` : text));
      this.#editor.prompt();
    });
  }

  #enterPassword(line: string, password: string): void {
    this.#wantsPassword = null;
    // QEMU's own monitor does not report the outcome either, but a refusal of ours must be seen.
    this.#command(`${line} "${password.replace(/["\\]/g, '\\$&')}"`, (answer) => {
      if ('error' in answer) this.#print(encodeUtf8(`Error: ${answer.error}\r\n`));
      this.#editor.prompt();
    });
  }

  /** Has QEMU run a line. */
  #command(line: string, then: (answer: Answer) => void): void {
    const text = decodeUtf8(line);
    if (text === null) {
      this.#print('Error: qmpmux cannot send this line to QEMU: it is not UTF-8\r\n');
      return this.#editor.prompt();
    }
    const cpu = this.#cpu === null ? '' : `,"cpu-index":${this.#cpu}`;
    this.#ask('human-monitor-command', `{"command-line":${quote(text)}${cpu}}`, (answer) => {
      if ('error' in answer && this.#cpu !== null && NO_SUCH_CPU.test(answer.error)) {
        // Unplugged. QEMU's own monitor goes back to the first one then.
        this.#cpu = null;
        return this.#command(line, then);
      }
      then(answer);
    });
  }

  /** QEMU has accepted a `cpu` command. */
  #chooseCpu(line: string): void {
    const number = /^\s*cpu\s+(0x[0-9a-f]+|\d+)\s*$/i.exec(line)?.[1];
    const isOctal = number !== undefined && /^0\d/.test(number);
    if (number === undefined || (isOctal && !/^[0-7]+$/.test(number))) {
      this.#print('Error: qmpmux keeps the CPU for the lines to come only where its number is written out\r\n');
      return;
    }
    this.#cpu = isOctal ? Number.parseInt(number, 8) : Number(number);
  }

  #complete(line: string): void {
    const word = wordToComplete(line);
    const done = (names: readonly string[]) => {
      const start = word?.start ?? '';
      this.#editor.completed(
        names.filter((name) => name.startsWith(start)),
        start.length,
      );
    };
    if (word === null) done([]);
    else this.#names.find(word.question, done);
  }

  #print(text: string): void {
    if (this.#goneReason !== null) return;
    this.#output.push(text);
    this.#outputLength += text.length;
  }

  /** Sends the output. */
  #flush(): void {
    if (this.#outputLength === 0) return;
    const bytes = new Uint8Array(this.#outputLength);
    let at = 0;
    for (const text of this.#output) for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
    this.#output = [];
    this.#outputLength = 0;
    this.#link.write(bytes);
  }
}

function answerOf(message: JsonObject): Answer {
  const { error, return: returned } = message;
  if (!isJsonObject(error)) return { returned: returned ?? null };
  return { error: typeof error['desc'] === 'string' ? error['desc'] : 'an error without a description' };
}
