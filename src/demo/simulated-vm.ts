/**
 * The machine behind the simulated monitor: the answers to its commands, and the events they cause. Most answers are those of
 * a real QEMU, recorded; the rest depends on whether the machine runs. A command that was not recorded is refused, and the error says so.
 */

import { formatJson, isJsonObject, type JsonObject } from '../qmp/json/value.js';
import { type Fault, pathText, type SchemaCommand } from '../qmp/schema.js';
import { Recording } from './recording.js';

/** An event before its timestamp. */
interface VmEvent {
  readonly name: string;
  readonly data?: JsonObject;
}

/** JSON text of the value of `return`, or an error. */
type Outcome =
  | { readonly kind: 'return'; readonly value: string }
  | { readonly kind: 'error'; readonly class: string; readonly desc: string };

/** The effect of a command. QEMU writes the events first, for they happen while it is executed. */
export interface Effect {
  readonly events: readonly VmEvent[];
  readonly outcome: Outcome;
  /** Whether QEMU ends after this answer. */
  readonly quits: boolean;
}

/** A machine started with `-S`, or reset while it is paused, is in `prelaunch` until it runs. */
type RunState = 'prelaunch' | 'running' | 'paused';

/** The effect of an HMP command, with text for the outcome. */
interface HumanEffect {
  readonly events: readonly VmEvent[];
  readonly text: string;
  readonly quits: boolean;
}

/** Says in the greeting what this is. */
const PACKAGE = 'simulated by qmpmux';

const EMPTY_RETURN: Outcome = { kind: 'return', value: '{}' };

export class SimulatedVm {
  runState: RunState = 'prelaunch';
  /** The version in the greeting and in query-version. */
  readonly version: JsonObject;
  readonly #recording = Recording.load();
  readonly #recordedPackage: string;

  constructor() {
    const { version } = this.#recording;
    this.version = { ...version, package: PACKAGE };
    this.#recordedPackage = typeof version['package'] === 'string' ? version['package'] : '';
  }

  /** The version of the QEMU that was recorded, such as `7.2.22`. */
  get qemuVersion(): string {
    const { qemu } = this.version;
    if (!isJsonObject(qemu)) return '';
    return ['major', 'minor', 'micro'].map((part) => formatJson(qemu[part] ?? 0)).join('.');
  }

  /** @returns the command as the recorded schema has it. */
  command(name: string): SchemaCommand | undefined {
    return this.#recording.schema.commands.get(name);
  }

  /** @returns QEMU's text for the first fault of the arguments, or null. */
  checkArguments(command: SchemaCommand, args: JsonObject): string | null {
    const [fault] = this.#recording.schema.check(command, args);
    return fault === undefined ? null : faultText(fault);
  }

  /** Executes a command whose name and arguments are good. */
  execute(name: string, args: JsonObject): Effect {
    switch (name) {
      case 'query-version':
        return just({ kind: 'return', value: formatJson(this.version, 'qemu') });
      case 'query-status':
        return just({ kind: 'return', value: this.#status() });
      case 'human-monitor-command': {
        const line = args['command-line'];
        const { events, text, quits } = this.#humanCommand(typeof line === 'string' ? line : '');
        return { events, outcome: { kind: 'return', value: formatJson(text, 'qemu') }, quits };
      }
      case 'cont':
      case 'stop':
      case 'system_reset':
      case 'system_powerdown':
      case 'quit':
        return { events: this.#act(name), outcome: EMPTY_RETURN, quits: name === 'quit' };
      default:
        return just(
          this.#recording.reply(name, args) ?? {
            kind: 'error',
            class: 'GenericError',
            desc: `This monitor is simulated, and has no recorded answer to ${name} with these arguments`,
          },
        );
    }
  }

  /** The events of each action, in QEMU's order. */
  #act(name: 'cont' | 'stop' | 'system_reset' | 'system_powerdown' | 'quit'): VmEvent[] {
    switch (name) {
      case 'cont':
        if (this.runState === 'running') return [];
        this.runState = 'running';
        return [{ name: 'RESUME' }];
      case 'stop':
        if (this.runState !== 'running') return [];
        this.runState = 'paused';
        return [{ name: 'STOP' }];
      case 'system_reset':
        if (this.runState === 'paused') this.runState = 'prelaunch';
        return [{ name: 'RESET', data: { guest: false, reason: 'host-qmp-system-reset' } }];
      case 'system_powerdown':
        return [{ name: 'POWERDOWN' }];
      case 'quit':
        return [{ name: 'SHUTDOWN', data: { guest: false, reason: 'host-qmp-quit' } }];
    }
  }

  #status(): string {
    return `{"status": "${this.runState}", "singlestep": false, "running": ${this.runState === 'running'}}`;
  }

  /** HMP: commands by their full names and the aliases that people type. */
  #humanCommand(line: string): HumanEffect {
    const words = line
      .trim()
      .split(/\s+/)
      .filter((word) => word !== '');
    const [verb = '', ...rest] = words;
    if (verb === '') return said('');
    const name = actionNames.get(verb);
    if (name !== undefined) {
      if (rest.length === 0) return { events: this.#act(name), text: '', quits: name === 'quit' };
      const full =
        this.#helpLines('help')
          .find((text) => names(text).includes(verb))
          ?.split(' ', 1)[0] ?? verb;
      return said(`${full}: extraneous characters at the end of line\r\nTry "help ${verb}" for more information\r\n`);
    }
    if (verb === 'help' || verb === '?') return said(this.#help(rest));
    if (verb === 'info' && rest[0] === 'status') {
      const prelaunch = this.runState === 'prelaunch' ? 'paused (prelaunch)' : this.runState;
      return said(`VM status: ${prelaunch}\r\n`);
    }
    const recorded = this.#recording.hmp.get(words.join(' '));
    if (recorded !== undefined) return said(recorded.replace(this.#recordedPackage, PACKAGE));
    const isKnown = this.#helpLines('help').some((text) => names(text).includes(verb));
    const isKnownInfo = verb !== 'info' || this.#helpLines('info').some((text) => text.startsWith(`info ${rest[0]} `));
    if (!isKnown) return said(`unknown command: '${verb}'\r\n`);
    if (!isKnownInfo) return said(`unknown command: 'info ${rest[0]}'\r\n`);
    return said(`This monitor is simulated, and has no recorded answer to '${words.join(' ')}'\r\n`);
  }

  #help([topic, subtopic]: readonly string[]): string {
    if (topic === undefined) return this.#recording.hmp.get('help') ?? '';
    if (topic === 'info' && subtopic === undefined) return this.#recording.hmp.get('info') ?? '';
    const entry =
      topic === 'info'
        ? this.#helpLines('info').find((text) => text.startsWith(`info ${subtopic} `))
        : this.#helpLines('help').find((text) => names(text).includes(topic));
    return entry ?? `unknown command: '${topic}'\r\n`;
  }

  /** The entries of a help text; some have several lines. */
  #helpLines(topic: 'help' | 'info'): string[] {
    return (this.#recording.hmp.get(topic) ?? '').split(/(?<=\r\n)(?!\t)/);
  }
}

const actionNames = new Map<string, 'cont' | 'stop' | 'system_reset' | 'system_powerdown' | 'quit'>([
  ['cont', 'cont'],
  ['c', 'cont'],
  ['stop', 'stop'],
  ['s', 'stop'],
  ['system_reset', 'system_reset'],
  ['system_powerdown', 'system_powerdown'],
  ['quit', 'quit'],
  ['q', 'quit'],
]);

/** The names of a command by its entry in the help: `quit|q  -- quit the emulator`. */
function names(entry: string): string[] {
  return (entry.split(' ', 1)[0] ?? '').split('|');
}

function said(text: string): HumanEffect {
  return { events: [], text, quits: false };
}

function just(outcome: Outcome): Effect {
  return { events: [], outcome, quits: false };
}

/** The errors of QEMU 7.2's visitors. An enum's fault names only the last member of the path, and none in a list. */
function faultText(fault: Fault): string {
  const name = pathText(fault.path);
  switch (fault.kind) {
    case 'missing':
      return `Parameter '${name}' is missing`;
    case 'unexpected':
      return `Parameter '${name}' is unexpected`;
    case 'type':
      return `Invalid parameter type for '${name}', expected: ${fault.expected}`;
    case 'value': {
      const last = fault.path.at(-1);
      return `Parameter '${typeof last === 'string' ? last : 'null'}' does not accept value '${fault.value}'`;
    }
  }
}
