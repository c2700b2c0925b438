/**
 * The channels of node:diagnostics_channel on which a daemon reports its life, and their messages. For programs that run in the same
 * process: those loaded by `node --import`, and tools that watch Node programs. docs/reference/tracing.md describes them for people.
 *
 * Messages are new objects, made only when somebody listens. Times are in milliseconds. The contents of arguments and answers are not
 * published here: they belong to the audit log, which knows what to keep out.
 */
import { type Channel, channel } from 'node:diagnostics_channel';
import type { Peer, UpstreamState } from '../../mux/ports/link.js';
import type { ReplySource } from '../../mux/ports/observer.js';

interface OfMonitor {
  readonly monitor: string;
}

interface OfClient extends OfMonitor {
  /** Counts the monitor's clients: 1, 2, 3, … */
  readonly client: number;
  /** Where it is connected, such as `unix:/run/vm.mux`. */
  readonly listener: string;
}

interface OfCommand extends OfClient {
  readonly command: string;
  readonly oob: boolean;
  /** The client's id as JSON text, as QEMU would send it back; null for none. */
  readonly id: string | null;
}

/** Every channel's name and message. */
export interface DaemonChannels {
  'qmpmux:upstream': OfMonitor & { readonly state: UpstreamState };
  'qmpmux:upstream:health': OfMonitor & { readonly health: 'answering' | 'busy' | 'silent'; readonly age: number };
  'qmpmux:event': OfMonitor & { readonly event: string; readonly receivers: number };
  'qmpmux:stray': OfMonitor & { readonly why: string };
  'qmpmux:client:connected': OfClient & { readonly peer: Peer };
  'qmpmux:client:negotiated': OfClient & { readonly capabilities: readonly string[] };
  'qmpmux:client:malformed': OfClient;
  /** `fault` says why they are not kept, null when they are. */
  'qmpmux:client:descriptors': OfClient & { readonly count: number; readonly fault: string | null };
  'qmpmux:client:disconnected': OfClient & { readonly reason: string };
  /** `client` is null for one that was not let in. */
  'qmpmux:client:limited': OfMonitor & {
    readonly client: number | null;
    readonly listener: string;
    readonly limit: string;
    readonly what: string;
  };
  'qmpmux:command:sent': OfCommand & { readonly waited: number };
  'qmpmux:command:answered': OfCommand & {
    readonly isError: boolean;
    readonly source: ReplySource;
    /** From being read whole to going to QEMU, and from there to the answer; 0 for answers that are not QEMU's. */
    readonly waited: number;
    readonly took: number;
  };
  'qmpmux:command:denied': OfCommand & { readonly rule: string };
  'qmpmux:command:unanswered': OfCommand & { readonly reason: string };
  'qmpmux:command:dropped': OfCommand & { readonly reason: string };
  'qmpmux:command:timeout': OfCommand;
  'qmpmux:command:stuck': OfCommand & { readonly age: number };
  'qmpmux:config:changed': { readonly changes: readonly string[] };
  'qmpmux:config:refused': { readonly reason: string };
}

type Name = keyof DaemonChannels;

/** One channel, with the type of its messages. */
export interface TypedChannel<T> {
  readonly hasSubscribers: boolean;
  publish(message: T): void;
}

const all: Channel[] = [];

function typed<N extends Name>(name: N): TypedChannel<DaemonChannels[N]> {
  const made = channel(name);
  all.push(made);
  return made;
}

/** @returns whether anyone listens to any of them */
export function hasSubscribers(): boolean {
  return all.some((each) => each.hasSubscribers);
}

export const upstreamChanged = typed('qmpmux:upstream');
export const upstreamHealth = typed('qmpmux:upstream:health');
export const eventCame = typed('qmpmux:event');
export const strayCame = typed('qmpmux:stray');
export const clientConnected = typed('qmpmux:client:connected');
export const clientNegotiated = typed('qmpmux:client:negotiated');
export const clientMalformed = typed('qmpmux:client:malformed');
export const clientDescriptors = typed('qmpmux:client:descriptors');
export const clientDisconnected = typed('qmpmux:client:disconnected');
export const clientLimited = typed('qmpmux:client:limited');
export const commandSent = typed('qmpmux:command:sent');
export const commandAnswered = typed('qmpmux:command:answered');
export const commandDenied = typed('qmpmux:command:denied');
export const commandUnanswered = typed('qmpmux:command:unanswered');
export const commandDropped = typed('qmpmux:command:dropped');
export const commandTimeout = typed('qmpmux:command:timeout');
export const commandStuck = typed('qmpmux:command:stuck');
export const configChanged = typed('qmpmux:config:changed');
export const configRefused = typed('qmpmux:config:refused');
