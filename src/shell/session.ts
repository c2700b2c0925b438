/**
 * Interprets a line of the shell, whatever its source and the destination of its answer: a QMP command, one of the human monitor, `help`,
 * or one of the shell's own commands, which begin with a dot.
 */
import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { layOut } from '../cli/screen/json-layout.js';
import { showBytes } from '../cli/screen/quantities.js';
import { errorIn, returnIn } from '../cli/screen/reply-output.js';
import type { QmpError } from '../client/errors.js';
import type { QmpEvent } from '../client/messages.js';
import type { RawReply } from '../client/raw-command.js';
import { saysWithoutHmp, WITHOUT_HMP } from '../hmp/absence.js';
import { parseJson } from '../qmp/json/value.js';
import { QmpmuxError } from '../shared/errors.js';
import { matchesGlob } from '../shared/glob.js';
import { suggestion } from '../shared/spelling.js';
import { type CheckedLine, readChecked } from './language/checked-line.js';
import { commandHelp, commandList } from './language/command-help.js';
import { commandText, ShellLineReader } from './language/command-syntax.js';
import { completeHmpLine, completeLine, HELP, type LineCompletion } from './language/line-completion.js';
import { valueReader } from './language/value-file.js';
import type { ShellLink } from './link.js';

/** Where answers go. */
interface ShellOutput {
  /** Columns there are. */
  readonly width: number;
  /** An answer from QEMU that is not an error. */
  reply(reply: RawReply): void | Promise<void>;
  /** Text of the human monitor, or of our own. */
  text(text: string): void | Promise<void>;
  /** A problem, in one line. */
  problem(text: string): void;
  /** That something was done which shows nowhere, in one line; for a person only. */
  note(text: string): void;
}

/** How it went: QEMU executed it, QEMU refused it, it was not sent, or no answer came. */
export type Outcome = 'done' | 'failed' | 'refused' | 'unanswered';

interface DotCommand {
  readonly usage: string;
  readonly what: string;
  readonly run: (rest: string) => Outcome | Promise<Outcome>;
}

const NO_CPU = -1;

export class ShellSession {
  /** Whether an event is to be shown. */
  readonly wants = (event: QmpEvent): boolean => this.#globs.some((glob) => matchesGlob(glob, event.name));
  readonly #link: ShellLink;
  readonly #output: ShellOutput;
  readonly #isHuman: boolean;
  readonly #reader = new ShellLineReader(null, valueReader(false));
  readonly #dots: Readonly<Record<string, DotCommand>>;
  #globs: readonly string[];
  /** The answer that `.save` writes. */
  #last: string | null = null;
  #cpu = NO_CPU;
  #running: AbortController | null = null;

  constructor(link: ShellLink, output: ShellOutput, options: { readonly isHuman: boolean; readonly events: boolean }) {
    this.#link = link;
    this.#output = output;
    this.#isHuman = options.isHuman;
    this.#globs = options.events ? ['*'] : [];
    this.#dots = {
      '.help': { usage: '.help', what: 'this', run: () => this.#ownHelp() },
      '.save': {
        usage: '.save FILE',
        what: 'write the last result to a file',
        run: (rest) => this.#save(rest),
      },
      '.events': {
        usage: '.events on|off|GLOB…',
        what: 'show all events, no events, or events of these names',
        run: (rest) => this.#setEvents(rest),
      },
      '.hmp': {
        usage: '.hmp COMMAND',
        what: 'one command of the human monitor',
        run: (rest) => (rest === '' ? this.#refuse('.hmp: the command is missing') : this.#human(rest)),
      },
    };
  }

  get prompt(): string {
    if (this.#isHuman) return '(qemu) ';
    return this.#reader.inTransaction ? 'TRANS> ' : '(QEMU) ';
  }

  /** Whether a transaction is open. */
  get isInside(): boolean {
    return this.#reader.inTransaction;
  }

  /** The JSON of the last command that was sent, by which its secrets are found; null where the line was none. */
  sent: { readonly name: string; readonly json: string } | null = null;

  /** Forgets an open transaction. */
  abandon(): void {
    this.#reader.abandon();
  }

  /** Stops waiting for an answer. */
  interrupt(): void {
    this.#running?.abort();
  }

  /** @param line up to the cursor */
  async complete(line: string): Promise<LineCompletion> {
    const own = Object.keys(this.#dots);
    const hmp = /^\.hmp\s+/.exec(line)?.[0] ?? null;
    if (hmp !== null || (this.#isHuman && !line.startsWith('.'))) {
      const start = hmp?.length ?? 0;
      const { from, candidates } = await completeHmpLine(await this.#link.hmp, line.slice(start), this.#link.ask);
      return { from: from + start, candidates };
    }
    const { inTransaction, actions } = this.#reader;
    return completeLine(await this.#link.vocabulary, line, inTransaction ? actions : null, own, this.#link.ask);
  }

  /** Carries out a line, or a command in JSON that may be several. Never throws but for faults of ours. */
  async evaluate(line: string): Promise<Outcome> {
    this.sent = null;
    const text = line.trim();
    if (text === '') return 'done';
    this.#running = new AbortController();
    try {
      if (!this.#reader.inTransaction && text.startsWith('.')) return await this.#own(text);
      if (this.#isHuman) return await this.#human(text);
      return await this.#command(text);
    } catch (error) {
      if (this.#running.signal.aborted) {
        this.#output.problem('Stopped waiting; QEMU still finishes the command.');
        return 'unanswered';
      }
      if (!(error instanceof QmpmuxError)) throw error;
      this.#output.problem(error.message);
      return 'unanswered';
    } finally {
      this.#running = null;
    }
  }

  async #command(text: string): Promise<Outcome> {
    const { schema, names } = await this.#vocabulary();
    this.#reader.schema = schema;
    const help = this.#reader.inTransaction ? null : /^help(?:\s+(.*))?$/s.exec(text);
    if (help !== null && !names.includes(HELP)) return this.#help(help[1]?.trim() ?? '');
    const checked = readChecked(this.#reader, text);
    switch (checked.kind) {
      case 'empty':
      case 'action':
        return 'done';
      case 'refused':
        return this.#refused(checked);
      case 'command':
        return this.#execute(checked.name, checked.json);
    }
  }

  /** The schema, unless the user does not want to wait for it. */
  async #vocabulary() {
    const { signal } = this.#running ?? new AbortController();
    return new Promise<Awaited<ShellLink['vocabulary']>>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      void this.#link.vocabulary.then(resolve);
    });
  }

  async #execute(name: string, json: string): Promise<Outcome> {
    this.sent = { name, json };
    const reply = await this.#send(json);
    if (reply === null) return 'unanswered';
    if (name === 'qmp_capabilities' && !reply.isError) this.#link.learn();
    if (reply.isError) return this.#failed(errorIn(reply));
    this.#last = `${layOut(returnIn(reply).toString())}\n`;
    await this.#output.reply(reply);
    return 'done';
  }

  /** One command of the human monitor. */
  async #human(line: string): Promise<Outcome> {
    const cpu = /^cpu\s+(\d{1,9})$/.exec(line)?.[1];
    // Each command gets its own monitor, so we remember which CPU was chosen.
    if (cpu !== undefined) return this.#chooseCpu(Number(cpu));
    const text = await this.#askHuman(line, this.#cpu);
    if (text === null) return 'unanswered';
    if (typeof text !== 'string') {
      if (!saysWithoutHmp(text.desc)) return this.#failed(text);
      this.#output.problem(WITHOUT_HMP);
      return 'failed';
    }
    this.#last = text;
    if (text !== '') await this.#output.text(text);
    return 'done';
  }

  async #chooseCpu(index: number): Promise<Outcome> {
    const answer = await this.#askHuman('info version', index);
    if (answer === null) return 'unanswered';
    if (typeof answer !== 'string') return this.#failed(answer);
    this.#cpu = index;
    return 'done';
  }

  async #askHuman(line: string, cpu: number): Promise<string | QmpError | null> {
    const name = 'human-monitor-command';
    const json = commandText(name, { 'command-line': line, ...(cpu === NO_CPU ? {} : { 'cpu-index': cpu }) });
    this.sent = { name, json };
    const reply = await this.#send(json);
    if (reply === null) return null;
    if (reply.isError) return errorIn(reply);
    const parsed = parseJson(returnIn(reply).toString());
    return parsed.ok && typeof parsed.value === 'string' ? parsed.value.replaceAll('\r\n', '\n') : '';
  }

  async #send(json: string): Promise<RawReply | null> {
    if (!this.#link.isConnected) {
      this.#output.problem(`not connected to ${this.#link.where}; the line was not sent; reconnecting`);
      return null;
    }
    return this.#link.execute(json, (this.#running ?? new AbortController()).signal);
  }

  #failed({ class: name, desc }: QmpError): Outcome {
    // QMP's classes mean nothing to users of the human monitor.
    this.#output.problem(this.#isHuman ? desc : `${desc} (${name})`);
    return 'failed';
  }

  #refused({ problems }: CheckedLine & { kind: 'refused' }): Outcome {
    for (const problem of problems) this.#output.problem(problem);
    return 'refused';
  }

  #refuse(problem: string): Outcome {
    return this.#refused({ kind: 'refused', problems: [problem] });
  }

  async #help(topic: string): Promise<Outcome> {
    const { schema, names } = await this.#vocabulary();
    const [name = '', ...words] = topic === '' ? [] : topic.split(/\s+/);
    if (schema === null) {
      if (names.length === 0) return this.#refuse('the server has no schema, so there is no help');
      await this.#output.text(names.join('\n'));
      return 'done';
    }
    if (name === '') {
      await this.#output.text(
        `${commandList(schema, this.#output.width)}\n\nhelp COMMAND: its arguments; .help: the shell's own commands.`,
      );
      return 'done';
    }
    const parsed = new ShellLineReader(schema).readWords([name, ...words]);
    const args = parsed.kind === 'command' ? parsed.arguments : {};
    const text = commandHelp(schema, name, args, this.#output.width);
    if (text === null) {
      if (Object.hasOwn(this.#dots, name)) return this.#ownHelp();
      const known = [...schema.commands.keys(), ...schema.events.keys()];
      return this.#refuse(`there is no command ${name}, and no event${suggestion(name, known)}`);
    }
    await this.#output.text(text);
    return 'done';
  }

  #own(text: string): Outcome | Promise<Outcome> {
    const [, name = '', rest = ''] = /^(\S+)\s*(.*)$/s.exec(text) ?? [];
    const command = Object.hasOwn(this.#dots, name) ? this.#dots[name] : undefined;
    return command === undefined
      ? this.#refuse(`there is no ${name}${suggestion(name, Object.keys(this.#dots)) || '; .help lists them'}`)
      : command.run(rest.trim());
  }

  async #ownHelp(): Promise<Outcome> {
    const rows = [
      ...Object.values(this.#dots).map(({ usage, what }) => [usage, what] as const),
      ['help [COMMAND]', 'commands, and their arguments'] as const,
      ['Ctrl-C', 'discard the line, or stop waiting for an answer'] as const,
      ['Ctrl-D', 'leave'] as const,
    ];
    await this.#output.text(rows.map(([usage, what]) => `${usage.padEnd(22)}${what}`).join('\n'));
    return 'done';
  }

  #save(file: string): Outcome {
    if (file === '') return this.#refuse('.save: a file name is missing');
    if (this.#last === null) return this.#refuse('.save: there is no result yet');
    try {
      writeFileSync(file.replace(/^~(?=\/)/, homedir()), this.#last);
    } catch (error) {
      return this.#refuse(`.save: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.#output.note(`saved ${showBytes(Buffer.byteLength(this.#last))} to ${file}`);
    return 'done';
  }

  #setEvents(rest: string): Outcome {
    if (rest === '') {
      const shown = this.#globs.length === 0 ? 'off' : this.#globs.join(' ').replace(/^\*$/, 'on');
      void this.#output.text(`.events ${shown}`);
    } else this.#globs = rest === 'on' ? ['*'] : rest === 'off' ? [] : rest.split(/\s+/);
    return 'done';
  }
}
