/**
 * Counts a monitor's reports to observers. Plain numbers: Prometheus's form is made of them only when it asks (metrics.ts).
 *
 * Clients choose what they send, so no part of it becomes a label unchecked: a command has its own name only once QEMU has answered it
 * with something else than CommandNotFound. All other names are one, `other`.
 */
import type { Counters } from '../../mux/ports/counters.js';
import type { UpstreamState } from '../../mux/ports/link.js';
import type { ClientView, CommandView, Observer, ReplySource } from '../../mux/ports/observer.js';

/** The outcome of a command. */
const OUTCOMES = ['ok', 'error', 'denied', 'unanswered', 'dropped', 'timeout'] as const;
type Outcome = (typeof OUTCOMES)[number];

const OTHER_LABEL = 'other';
/** QEMU has about 250 commands and 70 events; a peer that has many more is none. */
const MOST_NAMES = 600;
const LONGEST_NAME = 64;
/** An error longer than this is not looked into. */
const LONGEST_ERROR = 64 * 1024;

/** Takes durations, in seconds: a histogram of prom-client for one monitor. */
interface Durations {
  observe(seconds: number): void;
}

/** The numbers of one command. */
interface CommandFigures {
  readonly outcomes: Map<Outcome, number>;
  /** Time between going to QEMU and its answer, in seconds, of all that QEMU answered. */
  upstreamSeconds: number;
}

/** The numbers of one listener. */
interface ListenerFigures {
  clients: number;
  connections: number;
  denials: number;
}

export class MetricsObserver implements Observer {
  readonly wantsRaw = false;
  readonly commands = new Map<string, CommandFigures>();
  readonly replies = new Map<ReplySource, number>();
  readonly listeners = new Map<string, ListenerFigures>();
  readonly disconnects = new Map<string, number>();
  readonly events = new Map<string, number>();
  malformedInputs = 0;
  stuckCommands = 0;
  strayMessages = 0;
  /** Times the upstream was lost after it had been running. */
  losses = 0;
  /** Commands that were refused because they could not be recorded. */
  unrecordable = 0;
  readonly #now: () => number;
  readonly #waiting: Durations;
  readonly #answering: Durations;
  #isRunning = false;

  /**
   * @param now the multiplexer's clock, in microseconds
   * @param waiting called with how long commands waited from being read whole to going upstream
   * @param answering called with how long they took from there to the answer
   */
  constructor(now: () => number, waiting: Durations, answering: Durations) {
    this.#now = now;
    this.#waiting = waiting;
    this.#answering = answering;
  }

  connected(client: ClientView): void {
    const listener = this.#listener(client.listener);
    listener.clients++;
    listener.connections++;
  }

  negotiated(): void {
    // Nobody has asked for this number yet.
  }

  disconnected(client: ClientView, reason: string): void {
    this.#listener(client.listener).clients--;
    const word = reasonWord(reason);
    this.disconnects.set(word, (this.disconnects.get(word) ?? 0) + 1);
  }

  limited(client: ClientView | null, _listener: string, limit: keyof Counters): void {
    if (client === null || limit === 'paused' || limit === 'oversized') return;
    // `disconnected` gives its reason in many forms of words.
    const others = this.disconnects.get(OTHER_LABEL) ?? 0;
    if (others > 1) this.disconnects.set(OTHER_LABEL, others - 1);
    else this.disconnects.delete(OTHER_LABEL);
    this.disconnects.set(limit, (this.disconnects.get(limit) ?? 0) + 1);
  }

  command(): void {
    // Counted when its outcome is known.
  }

  answered(command: CommandView, reply: readonly Uint8Array[], isError: boolean, source: ReplySource): void {
    this.replies.set(source, (this.replies.get(source) ?? 0) + 1);
    // Its client had been given an error before, and that was counted.
    if (source === 'late') return;
    let figures = this.commands.get(command.name);
    if (figures === undefined) {
      const isKnown = !isError || !isCommandNotFound(reply);
      figures = this.#figures(command.name, isKnown);
    }
    add(figures, isError ? 'error' : 'ok');
    if (source !== 'upstream') return;
    const took = (this.#now() - command.sentAt) / 1e6;
    figures.upstreamSeconds += took;
    this.#answering.observe(took);
    this.#waiting.observe((command.sentAt - command.receivedAt) / 1e6);
  }

  unanswered(command: CommandView): void {
    add(this.#figures(command.name, false), 'unanswered');
  }

  dropped(command: CommandView): void {
    add(this.#figures(command.name, false), 'dropped');
  }

  abandoned(command: CommandView): void {
    add(this.#figures(command.name, false), 'timeout');
  }

  stuck(): void {
    this.stuckCommands++;
  }

  malformed(): void {
    this.malformedInputs++;
  }

  denied(command: CommandView, rule: string): void {
    add(this.#figures(command.name, false), 'denied');
    this.#listener(command.client.listener).denials++;
    if (rule === 'audit') this.unrecordable++;
  }

  event(name: string): void {
    const label = this.events.has(name) || (this.events.size < MOST_NAMES && isShort(name)) ? name : OTHER_LABEL;
    this.events.set(label, (this.events.get(label) ?? 0) + 1);
  }

  upstream(state: UpstreamState): void {
    if (state.name === 'lost' && this.#isRunning) this.losses++;
    this.#isRunning = state.name === 'running';
  }

  stray(): void {
    this.strayMessages++;
  }

  flush(): null {
    return null;
  }

  #listener(name: string): ListenerFigures {
    let figures = this.listeners.get(name);
    if (figures === undefined) {
      figures = { clients: 0, connections: 0, denials: 0 };
      this.listeners.set(name, figures);
    }
    return figures;
  }

  /** @param isKnown whether QEMU has just shown that it knows the command */
  #figures(name: string, isKnown: boolean): CommandFigures {
    const known = this.commands.get(name);
    if (known !== undefined) return known;
    const label = isKnown && isShort(name) && this.commands.size < MOST_NAMES ? name : OTHER_LABEL;
    let figures = this.commands.get(label);
    if (figures === undefined) {
      figures = { outcomes: new Map(), upstreamSeconds: 0 };
      this.commands.set(label, figures);
    }
    return figures;
  }
}

function add(figures: CommandFigures, outcome: Outcome): void {
  figures.outcomes.set(outcome, (figures.outcomes.get(outcome) ?? 0) + 1);
}

function isShort(name: string): boolean {
  return name !== OTHER_LABEL && name.length <= LONGEST_NAME;
}

/** @returns whether an error says so, or is too long to be looked into. */
function isCommandNotFound(reply: readonly Uint8Array[]): boolean {
  const text = Buffer.concat(reply);
  return text.length > LONGEST_ERROR || text.includes('"class": "CommandNotFound"');
}

/** Why a client is gone, in one of few words. */
function reasonWord(reason: string): string {
  switch (reason) {
    case 'client closed':
    case 'closed by the peer':
      return 'client';
    case 'reset by the peer':
      return 'reset';
    case 'the upstream is gone':
      return 'upstream';
    case 'closed by qmpmux':
    case 'the config was changed':
      return 'config';
    default:
      return reason.startsWith('qmpmux is ended') || reason === 'the start failed' ? 'shutdown' : OTHER_LABEL;
  }
}
