/**
 * Handles each message from a client: negotiation, an error, a refusal, a command of our own, or a command for QEMU. Every message
 * that was read ends in `receive`; command-gate.ts decides about other faults of a command.
 *
 * Invariant: before negotiation is complete nothing goes upstream, unless the client's listener lets it skip that.
 */
import { OVERSIZED } from '../../qmp/json/stream-limits.js';
import { emptyReturn, errorReply, genericError, type QmpFault } from '../../qmp/message.js';
import type { ClientDescriptors } from '../descriptors/client-descriptors.js';
import type { CommandDescriptors } from '../descriptors/command-descriptors.js';
import type { ClientCommands } from './client-commands.js';
import type { ClientOptions } from './client-options.js';
import { CommandGate, type GatePorts } from './command-gate.js';
import type { CommandIntake, FoundMessage } from './command-intake.js';
import { QUIT } from './quit-watch.js';
import type { ReadMessage } from './read-message.js';
import type { TurnBudget } from './turn-budget.js';

/** None of our own commands needs arguments this long, in bytes. */
const LONGEST_EXTENSION = 64 * 1024;

export interface ReceiverPorts extends GatePorts {
  readonly budget: TurnBudget;
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
   * @param descriptors those that the client has sent
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
    this.#gate = new CommandGate(ports, commands.client, descriptors, options);
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

  /** @param found the intake's finding @returns its weight, besides that of judging it */
  receive(found: FoundMessage): number {
    switch (found.kind) {
      case 'command':
        return this.#receiveCommand(found.message);
      case 'malformed':
        this.#answerMalformed(null, genericError(found.fault));
        if (found.fault === OVERSIZED) this.#countOversized();
        break;
      case 'misshapen':
        this.#answerMisshapen(found.message, found.fault);
        break;
    }
    return 0;
  }

  #receiveCommand(message: ReadMessage): number {
    if (this.#phase.name === 'negotiating') {
      if (!this.#maySkip || message.name === 'qmp_capabilities') {
        this.#negotiate(message);
        return 0;
      }
      this.#hasSkipped = true;
    }
    const fate = this.#gate.judge(message, this.#intake.readBytes);
    switch (fate.kind) {
      case 'passed on':
        this.#passOn(message, fate.use);
        return 0;
      case 'carried out here':
        return this.#carryOutHere(message);
      case 'refused':
        this.#commands.refuse(this.#intake.take(message), fate.rule, fate.desc);
        return 0;
    }
  }

  #negotiate(message: ReadMessage): void {
    const { qemu, books } = this.#ports;
    const { words, offersOob } = qemu;
    if (message.name !== 'qmp_capabilities') {
      this.#answerMalformed(message.id, { class: 'CommandNotFound', desc: words.expecting });
      return;
    }
    const judged = message.judgeCapabilities(offersOob, words);
    if ('desc' in judged) {
      this.#answerMalformed(message.id, judged);
      return;
    }
    this.#phase = { name: 'running', oob: judged.oob };
    this.#commands.answerInTurn(emptyReturn(message.id));
    books.observer?.negotiated(this.#commands.client, judged.oob ? ['oob'] : [], this.#intake.raw);
    this.#negotiated();
  }

  #passOn(message: ReadMessage, use: CommandDescriptors | null): void {
    const command = this.#intake.takeForQemu(message);
    command.use = use;
    if (command.name === QUIT) this.#commands.expectQuit();
    this.#commands.passOn(command);
  }

  /** @returns its weight */
  #carryOutHere(message: ReadMessage): number {
    const { extensions, budget } = this.#ports;
    const command = this.#intake.take(message);
    if (this.#intake.length > LONGEST_EXTENSION) {
      const desc = `Command '${command.name}' is longer than ${LONGEST_EXTENSION} bytes`;
      this.#commands.refuse(command, 'too long', desc);
      return 0;
    }
    const call = extensions.read(message.name, message.writtenArguments);
    const { left } = budget;
    this.#commands.carryOutHere(command, call, this.#intake.length);
    return left - budget.left;
  }

  #answerMisshapen(message: ReadMessage, fault: string): void {
    const reply = errorReply(message.id, genericError(fault));
    this.#tellMalformed(reply);
    // QEMU judges out-of-band commands at once. Without the capability it reads one command at a time anyway.
    if (message.isOutOfBand && this.isOobEnabled) this.#commands.answerOob(reply);
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
