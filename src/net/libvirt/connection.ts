/**
 * The monitor of a libvirt domain, presented as QEMU's own: a greeting, commands with ids, replies and events in QEMU's bytes.
 *
 * libvirt owns the real monitor. It puts its own ids into commands, one at a time, and reads and writes all JSON again. So here
 * - a command goes without its id, in JSON that any strict reader takes, when the one before it is answered;
 * - its reply gets the id back, and QEMU's spelling (see qmp/respelling.ts);
 * - `qmp_capabilities` is answered here, since libvirt has negotiated long ago; before it nothing but errors is passed on, as by QEMU.
 *
 * No shell, no text format and no quoting lies between a command and libvirt: it is a counted string of its RPC.
 */
import type { Link } from '../../mux/ports/link.js';
import { Parser } from '../../qmp/json/parser.js';
import type { Dialect } from '../../qmp/json/prompt-stream.js';
import { Scan, Scanner } from '../../qmp/json/scanner.js';
import { quote } from '../../qmp/json/unicode.js';
import { emptyReturn, errorReply, genericError } from '../../qmp/message.js';
import { findMember, hasNul, qemuReply, qemuValue, strictCommand, writtenId } from '../../qmp/stream/respelling.js';
import { ascii, asciiText } from '../../shared/bytes.js';
import type { Connection, ConnectionReceiver } from '../link/connection.js';
import {
  askVersion,
  type Domain,
  describeCommandFault,
  isSameRun,
  mayBeLoss,
  monitorCommand,
  readDomainMessage,
} from './domain.js';
import type { LibvirtFault, LibvirtRpc, RpcOwner } from './rpc.js';
import type { XdrReader } from './xdr.js';

/** VIR_NET_MESSAGE_STRING_MAX: the longest string of libvirt's RPC. */
const LONGEST_COMMAND = 4 * 1024 * 1024;

/** How long the domain's end is waited for when libvirt seems to have lost its monitor, and how often that is asked; in milliseconds. */
const DOMAIN_END_WAIT_MS = 30_000;
const DOMAIN_ASK_INTERVAL_MS = 100;

interface Waiting {
  /** As it is to come back, or null. */
  readonly id: Uint8Array | null;
  /** The command for libvirt; or the answer given in its place without libvirt. */
  readonly command: Uint8Array | null;
  readonly answer: Uint8Array | null;
  /** One of the handshake's, sent to learn QEMU's words: only its errors about arguments matter. */
  readonly isProbe: boolean;
  /** Whether it ends the negotiation. */
  readonly opens: boolean;
}

export class LibvirtConnection implements Connection {
  readonly link: Link;
  readonly #rpc: LibvirtRpc;
  readonly #domain: Domain;
  /** The reply to query-version, as libvirt wrote it. */
  readonly #version: Uint8Array;
  readonly #commands = new Scanner();
  #replies = new Scanner();
  readonly #parser = new Parser();
  readonly #waiting: Waiting[] = [];
  #awaitsReply = false;
  #isNegotiated = false;
  #queuedBytes = 0;
  #receiver: ConnectionReceiver | null = null;
  /** The domain's end: it is reported when somebody listens, and after the answer that is still due. */
  #ended: string | null = null;
  /** Wakes the waiter for that. */
  #awaitsEnd: () => void = () => undefined;

  /** @param early events from the daemon since we subscribed: the domain may have ended meanwhile. */
  constructor(rpc: LibvirtRpc, domain: Domain, version: Uint8Array, early: readonly Parameters<RpcOwner['message']>[]) {
    this.#rpc = rpc;
    this.#domain = domain;
    this.#version = version;
    this.link = this.#newLink();
    rpc.owner = {
      message: (program, procedure, body) => {
        this.#message(program, procedure, body);
      },
      closed: (reason) => {
        this.#end(reason);
      },
    };
    for (const message of early) this.#message(...message);
  }

  attach(receiver: ConnectionReceiver): void {
    this.#receiver = receiver;
    // As with a socket, input comes later.
    setImmediate(() => {
      if (this.#ended === null) this.#greet();
      else this.#end(this.#ended);
    });
  }

  close(atOnce: boolean): Promise<void> {
    this.#receiver = null;
    this.#waiting.length = 0;
    this.#awaitsEnd();
    return this.#rpc.close(atOnce);
  }

  #newLink(): Link {
    // A separate object, so that `this` in its getter must be bound by hand.
    const backlog = () => this.#queuedBytes + this.#rpc.backlog;
    const leave = () => {
      // A caller that leaves by the link does not wait for the end.
      void this.close(true);
    };
    return {
      // Commands that wait there instead of here can be answered in batches.
      window: 1,
      write: (chunk) => {
        this.#write(chunk);
      },
      writeAll: (chunks) => {
        for (const chunk of chunks) this.#write(chunk);
      },
      get backlog() {
        return backlog();
      },
      end: leave,
      destroy: leave,
      pause: () => {
        this.#rpc.pause();
      },
      resume: () => {
        this.#rpc.resume();
      },
    };
  }

  #greet(): void {
    const found = this.#read(this.#version);
    const member = found === null ? -1 : findMember(this.#parser, 'return');
    if (found === null || member < 0) {
      this.#end('query-version got no answer from QEMU');
      return;
    }
    const { start } = found;
    const from = found.tokens.start(this.#parser.valueToken(member));
    const to = found.tokens.end(this.#parser.endToken(member) - 1);
    const version = this.#spelt(found.bytes.slice(Math.max(from, start), to)) ?? '{}';
    this.#commands.dialect = dialectOf(version);
    this.#deliver(ascii(`{"QMP": {"version": ${version}, "capabilities": []}}\r\n`));
  }

  #write(chunk: Uint8Array): void {
    if (this.#receiver === null) return;
    this.#commands.push(chunk);
    for (;;) {
      const found = this.#commands.next();
      if (found === Scan.NeedMore) break;
      const waiting = found === Scan.Message ? this.#understand() : refused(null, this.#commands.error);
      this.#queuedBytes += waiting.command?.length ?? 0;
      this.#waiting.push(waiting);
    }
    this.#proceed();
  }

  /** Decides about the command in the scanner. */
  #understand(): Waiting {
    const { bytes, tokens } = this.#commands;
    const parser = this.#parser;
    parser.parse(bytes, tokens);
    if (parser.error !== null || !parser.isObject) return refused(null, parser.error ?? 'not an object');
    const id = writtenId(bytes, tokens, parser);
    const execute = findMember(parser, 'execute');
    const isCapabilities = execute >= 0 && parser.text(parser.valueToken(execute)) === 'qmp_capabilities';
    if (!this.#isNegotiated && isCapabilities && findMember(parser, 'arguments') < 0) {
      return { id, command: null, answer: emptyReturn(id), isProbe: false, opens: true };
    }
    // libvirt holds strings as C does, and would send only the part before it.
    if (hasNul(bytes, tokens)) {
      return refused(id, 'libvirt does not pass strings with the character U+0000; the command was not sent');
    }
    const command = strictCommand(bytes, tokens, parser);
    if (command.length > LONGEST_COMMAND) {
      return refused(
        id,
        `libvirt passes commands of at most ${LONGEST_COMMAND} bytes; this one of ${command.length} was not sent`,
      );
    }
    return { id, command, answer: null, isProbe: !this.#isNegotiated, opens: false };
  }

  /** Sends the commands that can be sent. */
  #proceed(): void {
    while (!this.#awaitsReply) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#queuedBytes -= next.command?.length ?? 0;
      if (next.opens) this.#isNegotiated = true;
      if (next.command === null) {
        if (next.answer !== null) this.#deliver(next.answer);
        continue;
      }
      this.#awaitsReply = true;
      monitorCommand(this.#rpc, this.#domain, next.command, (reply) => {
        if (reply instanceof Uint8Array) this.#answered(next, reply);
        // Answers, or ends the connection, by itself.
        else void this.#failed(next, reply);
      });
    }
  }

  #answered(to: Waiting, reply: Uint8Array): void {
    const found = this.#read(reply);
    if (found === null) {
      this.#end(`libvirt's answer is not a QMP message`);
      return;
    }
    const message = qemuReply(found.bytes, found.tokens, this.#parser, to.id);
    // QEMU has negotiated with libvirt, so its errors about that differ from those before.
    if (!to.isProbe || asciiText(message).includes('"class": "GenericError"')) this.#deliver(message);
    this.#settled();
  }

  /** No reply of QEMU's: it has gone, or libvirt would not pass the command on. */
  async #failed(to: Waiting, fault: LibvirtFault): Promise<void> {
    const problem = describeCommandFault(fault);
    if (mayBeLoss(fault) && !(await this.#goesOn())) {
      // As from a QEMU that resets its connection: the command stays unanswered.
      this.#end(this.#ended ?? problem);
      return;
    }
    this.#deliver(errorReply(to.id, genericError(problem)));
    this.#settled();
  }

  /** @returns whether QEMU still answers libvirt; until one or the other is certain, libvirt may take its time. */
  async #goesOn(): Promise<boolean> {
    for (let waited = 0; waited < DOMAIN_END_WAIT_MS; waited += DOMAIN_ASK_INTERVAL_MS) {
      if (this.#ended !== null) return false;
      if (!(await isSameRun(this.#rpc, this.#domain))) {
        this.#ended ??= 'the domain has stopped';
        return false;
      }
      const answer = await askVersion(this.#rpc, this.#domain);
      if (answer instanceof Uint8Array) return true;
      if (this.#ended === null) await this.#endWithin(DOMAIN_ASK_INTERVAL_MS);
    }
    return false;
  }

  /** Resolves when the domain has ended, but after `milliseconds` at the latest. */
  #endWithin(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#awaitsEnd = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** The command that libvirt had is dealt with. */
  #settled(): void {
    this.#awaitsReply = false;
    if (this.#ended === null) this.#proceed();
    else this.#end(this.#ended);
  }

  #message(program: number, procedure: number, body: XdrReader): void {
    const message = readDomainMessage(program, procedure, body, this.#domain);
    if (message === null) return;
    if (message.kind === 'stopped') {
      // libvirt reports the end of QEMU and its last answer from two threads. An answer, or an error, always comes.
      if (this.#awaitsReply) {
        this.#ended ??= message.reason;
        this.#awaitsEnd();
      } else this.#end(message.reason);
      return;
    }
    if (!this.#isNegotiated) return;
    const data = message.data === null ? '' : `, "data": ${this.#spelt(message.data) ?? '{}'}`;
    const timestamp = `{"seconds": ${message.seconds}, "microseconds": ${message.microseconds}}`;
    this.#deliver(ascii(`{"timestamp": ${timestamp}, "event": ${quote(message.name)}${data}}\r\n`));
  }

  #deliver(message: Uint8Array): void {
    this.#receiver?.receive(message);
  }

  #end(reason: string): void {
    this.#ended ??= reason;
    this.#awaitsEnd();
    const receiver = this.#receiver;
    if (receiver === null) return;
    this.#receiver = null;
    this.#waiting.length = 0;
    receiver.closed(reason);
  }

  /** @returns the message in the scanner, and its members in the parser; null when it is no JSON object. */
  #read(message: Uint8Array): Scanner | null {
    // libvirt hands over one message at a time: no part of another may be taken for its beginning.
    if (this.#replies.heldBytes > 0 && (this.#replies.next() !== Scan.NeedMore || this.#replies.isInsideMessage)) {
      this.#replies = new Scanner();
    }
    const scanner = this.#replies;
    scanner.push(message);
    if (scanner.next() !== Scan.Message) {
      this.#replies = new Scanner();
      return null;
    }
    this.#parser.parse(scanner.bytes, scanner.tokens);
    return this.#parser.isObject && this.#parser.error === null ? scanner : null;
  }

  /** @returns a JSON object of libvirt's in QEMU's spelling, or null when it is none. */
  #spelt(value: Uint8Array): string | null {
    const found = this.#read(value);
    return found === null ? null : asciiText(qemuValue(found.bytes, found.tokens));
  }
}

function refused(id: Uint8Array | null, desc: string): Waiting {
  const answer = errorReply(id, genericError(desc));
  return { id, command: null, answer, isProbe: false, opens: false };
}

/**
 * Malformed input cannot be sent through libvirt to see QEMU's errors, so here its version must do.
 * @param version as query-version returns it
 */
function dialectOf(version: string): Dialect {
  const number = (name: string) => Number(new RegExp(`"${name}": (\\d{1,9})`).exec(version)?.[1] ?? 0);
  const major = number('major');
  return major > 11 || (major === 11 && number('minor') >= 1) ? 'prompt' : 'classic';
}
