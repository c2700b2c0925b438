/**
 * An object that a client has sent, as it was read: a command, or a fault in its shape. Its parts are taken from the client's bytes
 * on demand, so it is valid until the next message of any client is read.
 */
import { CommandReader, ID_MEMBER } from '../../qmp/command.js';
import { canonicalValue } from '../../qmp/json/canonical.js';
import type { Parser } from '../../qmp/json/parser.js';
import type { Scanner } from '../../qmp/json/scanner.js';
import type { QmpFault } from '../../qmp/message.js';
import { ArgumentList } from '../policy/arguments.js';
import type { CapabilityErrorTexts } from '../ports/capability-errors.js';
import { room } from '../wire/slab.js';
import { judgeCapabilities } from './negotiation.js';

export class ReadMessage {
  readonly #scanner: Scanner;
  readonly #parser: Parser;
  readonly #reader = new CommandReader();

  /**
   * @param scanner has the message's bytes @param parser has accepted it as an object
   * @param allowOob whether the client has enabled `oob`
   */
  constructor(scanner: Scanner, parser: Parser, allowOob: boolean) {
    this.#scanner = scanner;
    this.#parser = parser;
    this.#reader.read(scanner, parser, allowOob);
  }

  /** Why QEMU does not take it for a command; null if it is one. Otherwise only `id` and `isOutOfBand` mean anything. */
  get shapeError(): string | null {
    return this.#reader.shapeError;
  }

  /** The command's name, escapes decoded. */
  get name(): string {
    return this.#reader.name;
  }

  get isOutOfBand(): boolean {
    return this.#reader.isOutOfBand;
  }

  /** Whether another client that asks the same may get the same answer: a query in its turn, without arguments. */
  get isPlainQuery(): boolean {
    return !this.isOutOfBand && !this.#reader.hasArguments && this.name.startsWith('query-');
  }

  /** Bytes of the id as it is written; 0 if there is none. */
  get idBytes(): number {
    return this.#reader.idBytes(this.#scanner);
  }

  /** The id as QEMU would send it back; null for none. A fresh array each time. */
  get id(): Uint8Array | null {
    return this.#reader.id(this.#scanner);
  }

  get argumentList(): ArgumentList {
    return new ArgumentList(this.#scanner.bytes, this.#scanner.tokens, this.#parser, this.#reader.argumentsToken);
  }

  /** The arguments as JSON in QEMU's spelling; null for none. */
  get writtenArguments(): Uint8Array | null {
    const at = this.#reader.argumentsToken;
    return at < 0 ? null : canonicalValue(this.#scanner.bytes, this.#scanner.tokens, at);
  }

  /** The bytes that go to QEMU for the command, up to its id. A fresh array each time. */
  get wire(): Uint8Array {
    const { end, start } = this.#scanner;
    const bytes = room(end - start + ID_MEMBER.length);
    return bytes.subarray(0, this.#reader.writeWire(this.#scanner, this.#parser, bytes, 0));
  }

  /** As `judgeCapabilities`, for a command that asks for some. */
  judgeCapabilities(offersOob: boolean, words: CapabilityErrorTexts): { readonly oob: boolean } | QmpFault {
    return judgeCapabilities(this.#parser, this.#scanner.tokens, this.#reader.argumentsToken, offersOob, words);
  }
}
