/**
 * What becomes of what a client has sent: negotiation, an error, a refusal, a command of our own, or a command for QEMU. Every message that
 * was read ends in `receive`; what is wrong with a command otherwise is decided by command-gate.ts.
 *
 * What must hold: before negotiation is complete nothing goes upstream, unless the client's listener lets it skip that.
 */
import type { CommandReader } from '../../qmp/command.js';
import type { Parser } from '../../qmp/json/parser.js';
import { OVERSIZED } from '../../qmp/json/stream-limits.js';
import { emptyReturn, errorReply, genericError, type QmpFault } from '../../qmp/message.js';
import type { ClientDescriptors } from '../descriptors/client-descriptors.js';
import type { CommandDescriptors } from '../descriptors/command-descriptors.js';
import type { ClientCommands } from './client-commands.js';
import type { ClientOptions } from './client-options.js';
import { CommandGate, type GatePorts } from './command-gate.js';
import { type CommandIntake, Found, type WholeMessage } from './command-intake.js';
import { judgeCapabilities } from './negotiation.js';
import { QUIT } from './quit-watch.js';
import type { TurnBudget } from './turn-budget.js';

/** None of our own commands has arguments that need as much, in bytes. */
const LONGEST_EXTENSION = 64 * 1024;

export interface ReceiverPorts extends GatePorts {
  readonly budget: TurnBudget;
  readonly parser: Parser;
  readonly reader: CommandReader;
}

type Phase = { readonly name: 'negotiating' } | { readonly name: 'running'; readonly oob: boolean };

export class CommandReceiver {
  readonly #ports: ReceiverPorts;
  readonly #commands: ClientCommands;
  readonly #intake: CommandIntake;
  readonly #gate: CommandGate;
  readonly #negotiated: () => void;
  readonly #maySkip: boolean;
  /** Whether a command was served without negotiation. */
  #hasSkipped = false;
  #phase: Phase = { name: 'negotiating' };

  /**
   * @param intake where the client's commands are read
   * @param commands where they go
   * @param descriptors what the client has sent of these
   * @param negotiated is called when the client has completed its negotiation
   */
  constructor(
    ports: ReceiverPorts,
    intake: CommandIntake,
    commands: ClientCommands,
    descriptors: ClientDescriptors,
    options: ClientOptions,
    negotiated: () => void,
  ) {
    this.#ports = ports;
    this.#intake = intake;
    this.#commands = commands;
    this.#gate = new CommandGate(ports, commands.client, intake, descriptors, options);
    this.#negotiated = negotiated;
    this.#maySkip = options.maySkipNegotiation === true;
  }

  /** Whether the client may send out-of-band commands. */
  get isOobEnabled(): boolean {
    return this.#phase.name === 'running' && this.#phase.oob;
  }

  get isNegotiated(): boolean {
    return this.#phase.name === 'running';
  }

  /** Whether the client's negotiation is still waited for. */
  get isExpected(): boolean {
    return this.#phase.name === 'negotiating' && !this.#hasSkipped;
  }

  /** @param found what the intake has found @returns what that weighs besides the judgement */
  receive(found: WholeMessage): number {
    switch (found) {
      case Found.Command:
        return this.#receiveCommand();
      case Found.Malformed:
        this.#answerMalformed(null, genericError(this.#intake.fault));
        if (this.#intake.fault === OVERSIZED) this.#countOversized();
        break;
      case Found.Misshapen:
        this.#answerMisshapen();
        break;
    }
    return 0;
  }

  #receiveCommand(): number {
    if (this.#phase.name === 'negotiating') {
      if (!this.#maySkip || this.#ports.reader.name === 'qmp_capabilities') {
        this.#negotiate();
        return 0;
      }
      this.#hasSkipped = true;
    }
    const fate = this.#gate.judge();
    switch (fate.kind) {
      case 'passed on':
        this.#passOn(fate.use);
        return 0;
      case 'carried out here':
        return this.#carryOutHere();
      case 'refused':
        this.#commands.refuse(this.#intake.take(), fate.rule, fate.desc);
        return 0;
    }
  }

  #negotiate(): void {
    const { parser, reader, qemu, books } = this.#ports;
    const { words, offersOob } = qemu;
    if (reader.name !== 'qmp_capabilities') {
      this.#answerMalformed(this.#intake.id, { class: 'CommandNotFound', desc: words.expecting });
      return;
    }
    const judged = judgeCapabilities(parser, this.#intake.tokens, reader.argumentsToken, offersOob, words);
    if ('desc' in judged) {
      this.#answerMalformed(this.#intake.id, judged);
      return;
    }
    this.#phase = { name: 'running', oob: judged.oob };
    this.#commands.answerInTurn(emptyReturn(this.#intake.id));
    books.observer?.negotiated(this.#commands.client, judged.oob ? ['oob'] : [], this.#intake.raw);
    this.#negotiated();
  }

  #passOn(use: CommandDescriptors | null): void {
    const command = this.#intake.takeForQemu();
    command.use = use;
    if (command.name === QUIT) this.#commands.expectQuit();
    this.#commands.passOn(command);
  }

  /** @returns what that weighs */
  #carryOutHere(): number {
    const { reader, extensions, budget } = this.#ports;
    const command = this.#intake.take();
    if (this.#intake.length > LONGEST_EXTENSION) {
      const desc = `Command '${command.name}' is longer than ${LONGEST_EXTENSION} bytes`;
      this.#commands.refuse(command, 'too long', desc);
      return 0;
    }
    const call = extensions.read(reader.name, this.#intake.writtenArguments);
    const { left } = budget;
    this.#commands.carryOutHere(command, call, this.#intake.length);
    return left - budget.left;
  }

  #answerMisshapen(): void {
    const { reader } = this.#ports;
    const reply = errorReply(this.#intake.id, genericError(reader.shapeError ?? ''));
    this.#tellMalformed(reply);
    // QEMU judges what is out-of-band at once. Without the capability it reads one command at a time anyway.
    if (reader.isOutOfBand && this.isOobEnabled) this.#commands.answerOob(reply);
    else this.#commands.answerInTurn(reply);
  }

  #answerMalformed(id: Uint8Array | null, fault: QmpFault): void {
    const reply = errorReply(id, fault);
    this.#tellMalformed(reply);
    this.#commands.answerInTurn(reply);
  }

  #tellMalformed(reply: Uint8Array): void {
    this.#ports.books.observer?.malformed(this.#commands.client, this.#intake.raw, reply);
  }

  #countOversized(): void {
    const { counters, limits, observer } = this.#ports.books;
    const { client } = this.#commands;
    counters.oversized++;
    const what = `a command of more than ${limits.commandBytes} bytes`;
    observer?.limited?.(client, client.listener, 'oversized', what);
  }
}
