/**
 * Decides about a command that a client has sent after negotiation: it is refused, carried out here, or passed on to QEMU. The
 * first of these with something to say decides: the client's policy, then our own commands, then the way to QEMU.
 */

import type { DescriptorBroker } from '../descriptors/broker.js';
import type { ClientDescriptors } from '../descriptors/client-descriptors.js';
import { CommandDescriptors } from '../descriptors/command-descriptors.js';
import type { NameOwner } from '../descriptors/names.js';
import { takesDescriptor } from '../policy/descriptor-commands.js';
import type { Policy } from '../policy/policy.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { ConnectedQemu } from '../ports/connected-qemu.js';
import type { ClientOptions } from './client-options.js';
import type { ExtensionCommands } from './extension-commands.js';
import type { ReadMessage } from './read-message.js';

/** A refused command's name is shown up to this many characters. */
const LONGEST_NAME_SHOWN = 100;

export type Fate =
  /** `rule` is the reason for the observer, `desc` the one for the client. */
  | { readonly kind: 'refused'; readonly rule: string; readonly desc: string }
  | { readonly kind: 'carried out here' }
  /** `use` is its use of descriptors; null for none. */
  | { readonly kind: 'passed on'; readonly use: CommandDescriptors | null };

const CARRIED_OUT_HERE: Fate = { kind: 'carried out here' };
const PASSED_ON: Fate = { kind: 'passed on', use: null };

function refused(rule: string, desc: string): Fate {
  return { kind: 'refused', rule, desc };
}

/** The grounds for judging a command, besides its client's options. */
export interface GatePorts {
  readonly books: Bookkeeping;
  readonly qemu: ConnectedQemu;
  readonly broker: DescriptorBroker;
  readonly extensions: ExtensionCommands;
}

export class CommandGate {
  readonly #ports: GatePorts;
  readonly #client: NameOwner;
  readonly #descriptors: ClientDescriptors;
  readonly #policy: Policy | null;
  readonly #noDescriptors: string | null;
  readonly #hasExtensions: boolean;

  /**
   * @param descriptors those that the client has sent
   */
  constructor(ports: GatePorts, client: NameOwner, descriptors: ClientDescriptors, options: ClientOptions) {
    this.#ports = ports;
    this.#client = client;
    this.#descriptors = descriptors;
    this.#policy = options.policy ?? null;
    this.#noDescriptors = options.noDescriptors ?? null;
    this.#hasExtensions = options.extensions === true;
  }

  /** @param command as it was read @param end the client's bytes up to the command's last */
  judge(command: ReadMessage, end: number): Fate {
    const { extensions, broker, qemu } = this.#ports;
    const { outage, offersOob } = qemu;
    const { name, isOutOfBand } = command;
    const denial = this.#policy === null ? null : this.#askPolicy(this.#policy, command, end);
    if (denial !== null) return denial;
    if (this.#hasExtensions && extensions.has(name)) return CARRIED_OUT_HERE;
    if (outage !== null) return refused('no upstream', outage);
    if (isOutOfBand && !offersOob) {
      return refused('no oob', 'the QEMU that is connected now does not support out-of-band commands');
    }
    return broker.concerns(name) ? this.#askBroker(command, end) : PASSED_ON;
  }

  /** @returns the policy's refusal; null when it allows the command */
  #askPolicy(policy: Policy, command: ReadMessage, end: number): Fate | null {
    const { name } = command;
    const { allowed, rule, action } = policy.judge(name, command.argumentList);
    if (allowed) return null;
    this.#ports.books.counters.denied++;
    // QEMU would have taken the waiting descriptor for it.
    if (takesDescriptor(name)) this.#descriptors.take(end)?.descriptor?.close();
    const shown = name.slice(0, LONGEST_NAME_SHOWN);
    const part = action?.slice(0, LONGEST_NAME_SHOWN);
    const what = part === undefined ? `Command '${shown}'` : `Action '${part}' of command '${shown}'`;
    return refused(
      `policy ${policy.name}: ${rule}${part === undefined ? '' : `, for action ${part}`}`,
      `${what} is not allowed here (policy ${policy.name})`,
    );
  }

  #askBroker(command: ReadMessage, end: number): Fate {
    const { broker, qemu } = this.#ports;
    const { name, isOutOfBand } = command;
    const asked = {
      client: this.#client,
      name,
      isOutOfBand,
      list: () => command.argumentList,
      held: this.#descriptors,
      end,
      refusal: this.#noDescriptors,
    };
    const use = broker.judge(asked, qemu.carriesDescriptors);
    if (use === null || use instanceof CommandDescriptors) return { kind: 'passed on', use };
    return refused(use.rule, use.desc);
  }
}
