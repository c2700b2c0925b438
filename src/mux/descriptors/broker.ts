/**
 * Descriptors on their way to QEMU, of all clients of one monitor.
 *
 * QEMU keeps one waiting descriptor for its monitor, and gives it to the next command that takes one. With out-of-band commands enabled it
 * reads ahead of what it executes, so a descriptor may be there before an earlier command has run. Hence:
 * - at most one command that takes a descriptor is upstream at a time, so none can take another's;
 * - nothing is sent after one until it is answered, to a QEMU that would not survive it (see `isDelicate`);
 * - a descriptor goes only with a command that is sure to take it: one whose arguments QEMU accepts;
 * - if QEMU has refused even that (it does so before it runs anything, by CommandNotFound), the descriptor that it may still hold is kept
 *   from other clients.
 */

import type { Envelope } from '../../qmp/stream/envelope.js';
import { asciiText, concat } from '../../shared/bytes.js';
import { clientText } from '../../shared/peer-text.js';
import type { ArgumentList } from '../policy/arguments.js';
import { takesDescriptor } from '../policy/descriptor-commands.js';
import type { Arrival, ClientDescriptors } from './client-descriptors.js';
import { CommandDescriptors } from './command-descriptors.js';
import { FdSets, type SetFile } from './fd-sets.js';
import { DescriptorNames, type NameOwner } from './names.js';

/** QEMU's own words (monitor/fds.c). */
const NOTHING_SENT = 'No file descriptor supplied via SCM_RIGHTS';
const NO_WAY = 'the connection to this QEMU carries no file descriptors; only QEMU’s own unix socket does';
/** More than eighteen digits may be no 64-bit number. */
const INTEGER = /^-?\d{1,18}$/;

/** How long out-of-band commands wait for a descriptor to be taken, in microseconds. */
const PATIENCE = 1_000_000;

/** A command that is not to be run; `rule` is the reason for the observer. */
export interface DescriptorFault {
  readonly rule: string;
  readonly desc: string;
}

/** A command as its client's session knows it. */
export interface JudgedCommand {
  readonly client: NameOwner;
  readonly name: string;
  readonly isOutOfBand: boolean;
  readonly list: () => ArgumentList;
  readonly held: ClientDescriptors;
  /** The client's bytes up to the command's last. */
  readonly end: number;
  /** Why the client may send no descriptors; null when it may. */
  readonly refusal: string | null;
}

export class DescriptorBroker {
  /** Whether QEMU's threads race for a waiting descriptor: before 11.0 they do (docs/how-to/descriptors.md). */
  isRacy = true;
  readonly sets: FdSets = new FdSets();
  readonly #names = new DescriptorNames();
  /** The command upstream that takes a descriptor. */
  #taker: CommandDescriptors | null = null;
  /** The client whose descriptor QEMU may still hold. */
  #strandedOf: NameOwner | null = null;

  /** Whether a command of this name has to be judged at all. */
  concerns(name: string): boolean {
    // If there are names of descriptors, or numbers of sets, any command may have one in its arguments.
    return takesDescriptor(name) || !this.#names.isEmpty || this.sets.isTracking;
  }

  get isTaking(): boolean {
    return this.#taker !== null;
  }

  /**
   * Whether nothing may be sent, by anyone, after the command by which QEMU is about to take a descriptor. Before 11.0, its I/O thread
   * keeps a list of waiting descriptors, which it walks for each byte that it reads (`tcp_chr_recv`), and which the main thread frees when
   * the command runs, without a lock: a byte read then kills QEMU. Later ones touch the list only when descriptors come.
   */
  get isDelicate(): boolean {
    if (!this.isRacy) return false;
    return this.#taker !== null && (this.#taker.isSent || this.#strandedOf !== null);
  }

  /**
   * The same for out-of-band commands, which exist for a QEMU whose main thread is blocked: if QEMU leaves a descriptor for a second,
   * it counts as blocked, and they pass. @param now in microseconds
   */
  isDelicateOob(now: number): boolean {
    return this.isDelicate && now - (this.#taker?.sentAt ?? now) < PATIENCE;
  }

  /**
   * @param carries whether the way to QEMU carries descriptors
   * @returns the command's use of descriptors, null for none, or why it is refused
   */
  judge(command: JudgedCommand, carries: boolean): CommandDescriptors | DescriptorFault | null {
    const { client, name, list } = command;
    if (takesDescriptor(name) && !command.isOutOfBand) return this.#judgeTaker(command, carries);
    if (name === 'closefd') {
      const closed = list().string('fdname');
      const owner = closed === null ? null : this.#names.ownerBeside(closed, client);
      if (owner !== null) return clash(closed ?? '', owner, 'it is not closed for others');
    }
    if (this.sets.isTracking) this.#lookForSets(name, list());
    const mentions = this.#names.mentioned(() => list().leaves());
    if (mentions.length === 0) return null;
    return new CommandDescriptors(client, command.held, this.#names, {
      isTaker: false,
      descriptor: null,
      name: null,
      mentions,
    });
  }

  /** @returns the record of a command that uses no descriptors, but whose answer somebody waits for. */
  listener(client: NameOwner, held: ClientDescriptors, heard: (reply: string) => void): CommandDescriptors {
    return new CommandDescriptors(client, held, this.#names, {
      isTaker: false,
      descriptor: null,
      name: null,
      mentions: [],
      heard,
    });
  }

  /** A command goes upstream. @param use its use of descriptors @param now in microseconds */
  sent(use: CommandDescriptors, now: number): void {
    if (!use.isTaker) return;
    this.#taker = use;
    use.sentAt = now;
  }

  /** A command that was to go upstream is not sent after all. @returns whether others may take descriptors now */
  withdrawn(use: CommandDescriptors): boolean {
    if (this.#taker !== use) return false;
    this.#taker = null;
    return true;
  }

  /** QEMU has answered a command. @returns whether others may take descriptors now */
  answered(use: CommandDescriptors, envelope: Envelope, isError: boolean): boolean {
    use.answered(isError, () => asciiText(concat(envelope.chunks())));
    if (this.#taker !== use) return false;
    this.#taker = null;
    if (use.isSent) {
      const isUntaken = isError && asciiText(concat(envelope.chunks())).includes('"class": "CommandNotFound"');
      this.#strandedOf = isUntaken ? use.client : null;
    } else if (!isError) this.#strandedOf = null;
    return true;
  }

  /** A client is gone. */
  forget(client: NameOwner): void {
    this.#names.forget(client);
  }

  /** QEMU is gone. */
  clear(): void {
    this.#taker = null;
    this.#strandedOf = null;
    this.#names.clear();
    this.sets.clear();
  }

  #lookForSets(name: string, list: ArgumentList): void {
    if (name === 'remove-fd') this.sets.removed(Number(list.integer('fdset-id')));
    else this.sets.mentioned(list.leaves());
  }

  #judgeTaker(command: JudgedCommand, carries: boolean): CommandDescriptors | DescriptorFault {
    const { client, held, refusal } = command;
    if (refusal !== null) return { rule: 'no descriptors on this socket', desc: refusal };
    const list = command.list();
    const isSound = command.name === 'getfd' ? isSoundGetfd(list) : isSoundAddFd(list);
    // QEMU refuses its arguments before it looks for a descriptor: the waiting one goes on waiting.
    const arrival = isSound ? held.take(command.end) : null;
    const fdname = isSound && command.name === 'getfd' ? list.string('fdname') : null;
    const fault = isSound ? this.#faultOf(client, arrival, fdname, carries) : null;
    if (fault !== null) {
      arrival?.descriptor?.close();
      return fault;
    }
    return new CommandDescriptors(client, held, this.#names, {
      isTaker: true,
      descriptor: arrival?.descriptor ?? null,
      name: arrival === null ? null : fdname,
      mentions: [],
      ...(command.name === 'add-fd' && {
        heard: (reply: string) => {
          const file = readSetFile(reply);
          if (file !== null) this.sets.added(file, client);
        },
      }),
    });
  }

  #faultOf(
    client: NameOwner,
    arrival: Arrival | null,
    fdname: string | null,
    carries: boolean,
  ): DescriptorFault | null {
    if (arrival === null) {
      const isOthers = this.#strandedOf !== null && this.#strandedOf !== client;
      return isOthers ? { rule: 'descriptor of another client', desc: NOTHING_SENT } : null;
    }
    if (arrival.descriptor === null) return { rule: 'descriptor not kept', desc: arrival.fault };
    if (!carries) return { rule: 'no way for descriptors', desc: NO_WAY };
    const owner = fdname === null ? null : this.#names.ownerBeside(fdname, client);
    return owner === null ? null : clash(fdname ?? '', owner, 'use another name, or wait until it is used or closed');
  }
}

/** @param reply the answer to `add-fd`. @returns the file that it names; null if it names none */
function readSetFile(reply: string): SetFile | null {
  const [, fd] = /"fd": ?(\d{1,9})\b/.exec(reply) ?? [];
  const [, set] = /"fdset-id": ?(\d{1,15})\b/.exec(reply) ?? [];
  return fd === undefined || set === undefined ? null : { set: Number(set), fd: Number(fd) };
}

function clash(name: string, owner: NameOwner, advice: string): DescriptorFault {
  const what = `The file descriptor name '${name.slice(0, 100)}' belongs to ${clientText(owner)}`;
  return { rule: `fd name of client ${owner.id}`, desc: `${what}; ${advice}` };
}

/** Whether QEMU accepts the arguments (qapi/misc.json), as far as it looks before it takes the descriptor. */
function isSoundGetfd(list: ArgumentList): boolean {
  return list.string('fdname') !== null && list.leaves()?.length === 1;
}

function isSoundAddFd(list: ArgumentList): boolean {
  const leaves = list.leaves();
  if (leaves === null) return false;
  return leaves.every(({ path: [name = '', ...deeper] }) => {
    if (deeper.length > 0) return false;
    if (name === 'opaque') return list.string(name) !== null;
    return name === 'fdset-id' && INTEGER.test(list.integer(name) ?? '');
  });
}
