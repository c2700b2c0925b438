/**
 * Closes files in QEMU's fd sets that departed clients have added and nobody has used, if QEMU would do so: when the VM runs. Done
 * at the end of a client's session, in its name: QEMU is asked whether the VM runs, and if so, to remove them.
 */
import { ownCommand } from '../commands/own-command.js';
import type { DescriptorBroker } from '../descriptors/broker.js';
import type { ClientDescriptors } from '../descriptors/client-descriptors.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { ConnectedQemu } from '../ports/connected-qemu.js';
import type { ClientCommands } from './client-commands.js';

export interface LeftoverPorts {
  readonly books: Bookkeeping;
  readonly qemu: ConnectedQemu;
  readonly broker: DescriptorBroker;
}

export class LeftoverFiles {
  readonly #ports: LeftoverPorts;
  readonly #commands: ClientCommands;
  readonly #descriptors: ClientDescriptors;
  /** Whether it was asked if the VM runs; `running` once that has been answered, until the files go. */
  #state: 'none' | 'asked' | 'running' = 'none';

  constructor(ports: LeftoverPorts, commands: ClientCommands, descriptors: ClientDescriptors) {
    this.#ports = ports;
    this.#commands = commands;
    this.#descriptors = descriptors;
  }

  /** All commands of a client that has left are answered. @returns whether there is something to wait for */
  sweep(): boolean {
    const { books, broker, qemu } = this.#ports;
    if (this.#state === 'none') {
      const isDue = broker.sets.hasLeftovers && qemu.closesUnusedSets && qemu.outage === null;
      if (isDue) this.#askForState();
      return isDue;
    }
    if (this.#state !== 'running') return false;
    this.#state = 'asked';
    const files = broker.sets.takeLeftovers();
    for (const { set, fd } of files) {
      this.#commands.passOn(ownCommand(books, this.#commands, 'remove-fd', `{"fdset-id":${set},"fd":${fd}}`));
    }
    return files.length > 0;
  }

  #askForState(): void {
    this.#state = 'asked';
    const heard = (reply: string) => {
      if (reply.includes('"running": true')) this.#state = 'running';
    };
    const use = this.#ports.broker.listener(this.#commands.client, this.#descriptors, heard);
    this.#commands.passOn(ownCommand(this.#ports.books, this.#commands, 'query-status', '', use));
  }
}
