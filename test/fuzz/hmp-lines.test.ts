/**
 * Random lines of the human monitor: src/hmp must split each as the QEMU that is installed does. How QEMU split a line shows in what
 * it says: which argument is missing or wrong, or which name it does not know. QMPMUX_FUZZ_SEED replays a run, QMPMUX_HMP_LINES is how many.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type HmpCommandLine, readHmpLine } from '../../dist/hmp/arguments.js';
import { HMP_COMMANDS } from '../../dist/hmp/commands.js';
import { splitHmpWords } from '../../dist/hmp/words.js';
import { Random } from '../conformance/generator.js';
import { missing, startQemu } from '../support/qemu/qemu.js';
import { RawClient } from '../support/world/raw-client.js';

const seed = Number(process.env['QMPMUX_FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
const wanted = Number(process.env['QMPMUX_HMP_LINES'] ?? 1500);
/** Versions from which the table was made. */
const SEEN = ['7.2', '10.0', '11.1'];
/** Lines that are on their way at a time. */
const BATCH = 50;

/** What QEMU says of a line that it cannot split; behind it comes where help is to be had. */
const COMPLAINTS: readonly (readonly [RegExp, string])[] = [
  [/^unknown command: '/, 'unknown command'],
  [/^[^\n]*: (?:string|filename|block device name) expected\n/, 'string expected'],
  [/^[^\n]*: unsupported option -/, 'unsupported option'],
  [/^[^\n]*: value expected for -/, 'value expected'],
  [/^[^\n]*: extraneous characters at the end of line\n/, 'extraneous characters'],
  [/^invalid char in format: /, 'invalid format'],
  [/^Expected 'on' or 'off'\n/, 'on or off expected'],
  [/^invalid size\n/, 'size expected'],
  [/^(?:unexpected end of|invalid char '[^]*' in) expression\n/, 'number expected'],
  [/^(?:'\)' expected|character constant expected|missing terminating ' character)\n/, 'number expected'],
  // What numbers mean is not looked at.
  [/^(?:unknown register|number too large|division by zero|enter a positive value)\n/, 'number'],
  [/^'[^\n]*' has failed: integer is for 32-bit values\n/, 'number'],
  [/^Try "help/, 'options expected'],
];

/** Commands that do nothing here, or nothing that matters, whatever their arguments are; some more often than others. `~` is a blank. */
const HARMLESS: readonly string[] =
  `help help qom-get qom-get qom-set qom-set qom-set ringbuf_write ringbuf_write device_del object_del
  netdev_del chardev-remove chardev-send-break closefd getfd drive_del eject block_resize block_stream
  block_job_cancel block_job_pause qemu-io set_link sendkey migrate_set_parameter migrate_set_capability
  set_password set_password expire_password trace-event nbd_server_remove watchdog_action snapshot_blkdev
  drive_mirror drive_backup change change device_add netdev_add object_add boot_set hostfwd_add memsave print x
  xp i balloon savevm loadvm wavcapture stopcapture mouse_set cpu pcie_aer_inject_error block_set_io_throttle
  snapshot_delete_blkdev_internal replay_break client_migrate_info info~block info~registers info~qom-tree
  info~qom-tree info~version info~sync-profile info~stats info info~nosuch nosuch info~trace-events info~rocker`
    .split(/\s+/)
    .map((name) => name.replace('~', ' '));
const OTHER_NAMES = new Map([
  ['help', '?'],
  ['print', 'p'],
]);

/** What makes a command do something that can be seen. */
const PLACES = new Map([
  ['qom-set json:-j', ''],
  ['qom-set path:s', '/machine'],
  ['qom-set property:s', 'append'],
  ['ringbuf_write device:s', 'rb'],
]);

const BLANKS: readonly [string, ...string[]] = [' ', ' ', ' ', ' ', '  ', '\t', '\n', '\v', '\f', '\r', ''];

class LineGenerator {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  line(): string {
    const random = this.#random;
    const name = HARMLESS[random.below(HARMLESS.length)] ?? '';
    let line = random.once(8) ? this.#blank() : '';
    line += this.#verb(name);
    const forms = HMP_COMMANDS.get(name)?.[0] ?? '';
    for (const type of forms === '' ? [] : forms.split(',')) {
      const place = random.once(4) ? undefined : PLACES.get(`${name} ${type}`);
      if (!random.once(20))
        line +=
          this.#blank() +
          (place === undefined ? this.#value(type.slice(type.indexOf(':') + 1)) : this.#quotedOrNot(place));
    }
    if (random.once(12)) line += this.#blank() + this.#word();
    if (random.once(8)) line += this.#blank();
    return random.once(10) ? this.#spoilt(line) : line;
  }

  #blank(): string {
    return this.#random.pick(BLANKS);
  }

  #verb(name: string): string {
    const random = this.#random;
    const short = OTHER_NAMES.get(name);
    if (short !== undefined && random.once(3)) return short;
    if (random.once(40)) return name.toUpperCase();
    if (random.once(40)) return name.slice(0, -1);
    return name.replace(' ', () => this.#blank() || ' ');
  }

  #value(type: string): string {
    const random = this.#random;
    switch (type.charAt(0)) {
      case '-':
        if (random.once(2)) return '';
        return `-${random.once(8) ? random.pick(['x', '-', '', 'd']) : type[1]}${type[2] === 's' ? this.#blank() + this.#word() : ''}`;
      case '/':
        return random.once(2)
          ? ''
          : `/${random.pick(['', '1', '12', '3z'])}${random.pick(['x', 'xw', 'bd', 'q', '', 'dh'])}`;
      case 'b':
        return random.pick(['on', 'off', 'on', 'off', 'of', 'onn', '"on"']);
      case 'o':
        return random.pick(['1', '10G', '1.5M', '0x10', '3k', 'x', '', '7Gx', '2"a"', '10 M']);
      case 'i':
      case 'l':
      case 'M':
        return (type.endsWith('.') && !random.once(3) ? `.${this.#blank()}` : '') + this.#number();
      default:
        return this.#word();
    }
  }

  #number(): string {
    const random = this.#random;
    if (random.once(2)) return String(random.below(50));
    const parts = [
      '0x1f',
      '017',
      '09',
      '7',
      '(',
      ')',
      '+',
      '-',
      '~',
      '*',
      '/',
      '%',
      '&',
      '|',
      '^',
      "'a'",
      "'a",
      '$x',
      ' ',
      '0xg',
      'b',
    ];
    let text = '';
    // A division by what is not known to be something is left out: it is a matter of meaning.
    for (let i = random.below(6); i >= 0; i--) text += parts[random.below(parts.length)] ?? '';
    return text;
  }

  #word(): string {
    const random = this.#random;
    const known = [
      'rb',
      '/machine',
      'append',
      '/objects',
      'type',
      'vnc',
      'password',
      'version',
      'block',
      'a=b',
      'a,b=c',
      '1',
      '-x',
    ];
    if (random.once(3)) return this.#quotedOrNot(known[random.below(known.length)] ?? '');
    return this.#quotedOrNot(this.#text());
  }

  #text(): string {
    const random = this.#random;
    const parts = [
      'a',
      'Zz',
      '0',
      '-',
      '/',
      '=',
      ',',
      '.',
      '_',
      'é',
      '€',
      '\u{1f600}',
      "'",
      '"',
      '\\',
      '%s',
      '%',
      '$',
      '{',
      '\x7f',
      '\0',
    ];
    if (random.once(150)) return 'é'.repeat(450 + random.below(200));
    let text = '';
    for (let i = random.below(6); i >= 0; i--) text += parts[random.below(parts.length)] ?? '';
    return text;
  }

  #quotedOrNot(text: string): string {
    const random = this.#random;
    if (!random.once(3)) return text;
    const inner = random.once(4) ? `${text} ${this.#text()}` : text;
    if (random.once(6)) return `"${inner}"`;
    if (random.once(12)) return `"${inner}`;
    const escaped = inner.replace(/["\\]/g, '\\$&').replace(/a/g, () => random.pick(['a', 'a', '\\n', '\\r', "\\'"]));
    return `"${escaped}"${random.once(3) ? this.#text() : ''}`;
  }

  /** With a character more, or one less, somewhere. */
  #spoilt(line: string): string {
    const random = this.#random;
    const at = random.below(line.length + 1);
    if (random.once(2)) return line.slice(0, at) + line.slice(at + 1);
    return line.slice(0, at) + random.pick(['"', '\\', ' ', '/', '-', '\n', "'"]) + line.slice(at);
  }
}

function isHarmless({ verb, topic }: HmpCommandLine): boolean {
  if (verb === 'info' || !HMP_COMMANDS.has(verb)) return true;
  return HARMLESS.includes(topic === '' ? verb : `${verb} ${topic}`);
}

/** What QEMU says to commands that name what is not there, or have a bad word. */
const NAMES: ReadonlyMap<string, readonly [string, RegExp]> = new Map([
  ['qom-get', ['path', /^Error: Device '([^]*)' not found\n$/]],
  ['qom-set', ['path', /^Error: Device '([^]*)' not found\n$/]],
  ['device_del', ['id', /^Error: Device '([^]*)' not found\n$/]],
  ['object_del', ['id', /^Error: object '([^]*)' not found\n$/]],
  ['netdev_del', ['id', /^Error: Device '([^]*)' not found\n$/]],
  ['chardev-remove', ['id', /^Error: Chardev '([^]*)' not found\n$/]],
  ['chardev-send-break', ['id', /^Error: Chardev '([^]*)' not found\n$/]],
  ['closefd', ['fdname', /^Error: File descriptor named '([^]*)' not found\n$/]],
  ['drive_del', ['id', /^(?:Error: )?Device '([^]*)' not found\n$/]],
  ['eject', ['device', /^Error: Device '([^]*)' not found\n$/]],
  ['block_resize', ['device', /^Error: Cannot find device='([^]*)' nor node-name=''\n$/]],
  ['block_job_cancel', ['device', /^Error: Block job '([^]*)' not found\n$/]],
  ['block_job_pause', ['device', /^Error: Block job '([^]*)' not found\n$/]],
  ['qemu-io', ['device', /^Error: Device '([^]*)' not found\n$/]],
  ['set_link', ['name', /^Error: Device '([^]*)' not found\n$/]],
  ['migrate_set_parameter', ['parameter', /^Error: invalid parameter value: ([^]*)\n$/]],
  ['migrate_set_capability', ['capability', /^Error: invalid parameter value: ([^]*)\n$/]],
  ['nbd_server_remove', ['name', /^Error: Export '([^]*)' is not found\n$/]],
  ['expire_password', ['protocol', /^Error: invalid parameter value: ([^]*)\n$/]],
  ['change', ['read-only-mode', /^Error: invalid parameter value: ([^]*)\n$/]],
  ['set_password', ['connected protocol', /^Error: invalid parameter value: ([^]*)\n$/]],
  ['hostfwd_add', ['arg1', /^unrecognized netdev id '([^]*)'\n$/]],
  ['wavcapture', ['audiodev', /^(?:warning: [^\n]*\n)?[aA]udiodev '([^]*)' not found\n$/]],
  ['info qom-tree', ['path', /^Path '([^]*)' could not be resolved\.\n$/]],
  ['info rocker', ['name', /^Error: rocker ([^]*) not found\n$/]],
]);

describe('lines of the human monitor', { skip: missing('qemu') }, () => {
  it(`are split as QEMU splits them, ${wanted} of them at random`, async (context) => {
    context.diagnostic(`QMPMUX_FUZZ_SEED=${seed} QMPMUX_HMP_LINES=${wanted} replays it`);
    const vm = await startQemu(context, { extraArgs: ['-chardev', 'ringbuf,id=rb,size=65536'] });
    const client = await RawClient.negotiated(vm.monitor);
    context.after(() => client.socket.destroy());
    const generator = new LineGenerator(new Random(seed));
    const seen = { problems: 0, run: 0, names: 0, values: 0 };
    for (let made = 0; made < wanted; made += BATCH) {
      const lines: string[] = [];
      while (lines.length < BATCH) {
        const line = generator.line();
        // QMP has no halves of characters.
        if (/\p{Surrogate}/u.test(line) || !isHarmless(readHmpLine(line))) continue;
        lines.push(line);
      }
      const answers = await run(
        client,
        lines.flatMap((line) => [line, ...follow(readHmpLine(line))]),
      );
      for (const line of lines) {
        const found = readHmpLine(line);
        const answer = answers.shift() ?? '';
        const after = follow(found).length === 0 ? null : (answers.shift() ?? '');
        const problem = check(found, answer);
        const where = `${JSON.stringify(line)} was answered ${JSON.stringify(answer)}`;
        assert.equal(problem, null, `${where}; seed ${seed}`);
        if (found.problem !== null) seen.problems++;
        else seen.run++;
        if (NAMES.get(nameOf(found))?.[1].test(answer) === true) seen.names++;
        if (after === null || answer !== '') continue;
        const value = found.arguments.find(({ name }) => name === 'data' || name === 'value')?.text ?? '';
        const then = `${where}; then ${JSON.stringify(after)}; seed ${seed}`;
        if (found.verb === 'qom-set') assert.equal(JSON.parse(after), value, then);
        else if (value === '' || /[^ -~\n]/.test(value)) continue;
        else assert.equal(after, `${value.replace(/\\/g, '\\\\')}\n`, then);
        seen.values++;
      }
    }
    context.diagnostic(JSON.stringify(seen));
    for (const count of Object.values(seen)) assert.ok(count > wanted / 500, JSON.stringify(seen));
  });

  it('have rows in the table for all commands that QEMU lists', async (context) => {
    const vm = await startQemu(context);
    const client = await RawClient.negotiated(vm.monitor);
    context.after(() => client.socket.destroy());
    const [help = '', infoHelp = ''] = await run(client, ['help', 'help info']);
    const verbs = [...help.matchAll(/^([A-Za-z][\w-]*)[|\w?-]* /gm)].map(([, verb]) => verb ?? '');
    const topics = [...infoHelp.matchAll(/^(info [\w-]+) /gm)].map(([, topic]) => topic ?? '');
    assert.ok(verbs.length > 80 && topics.length > 40);
    const unknown = [...verbs, ...topics].filter((name) => !HMP_COMMANDS.has(name));
    context.diagnostic(`not in the table: ${unknown.join(', ') || 'none'}`);
    // A later version may have more: their lines are read as those of unknown commands.
    if (SEEN.includes(vm.version.replace(/\.\d+$/, ''))) assert.deepEqual(unknown, []);
  });
});

function nameOf({ verb, topic }: HmpCommandLine): string {
  return topic === '' ? verb : `${verb} ${topic}`;
}

/** What tells what a command has done. */
function follow({ verb, problem, arguments: found }: HmpCommandLine): string[] {
  if (problem !== null) return [];
  if (verb === 'ringbuf_write' && found[0]?.text === 'rb') return ['ringbuf_read rb 65536'];
  const isText = verb === 'qom-set' && found.some(({ name, text }) => name === 'property' && text === 'append');
  return isText && found.every(({ type }) => type !== '-') ? ['qom-get /machine append'] : [];
}

/** @returns how QEMU's answer differs from what was read */
function check(found: HmpCommandLine, answer: string): string | null {
  const complaint = COMPLAINTS.find(([pattern]) => pattern.test(answer))?.[1] ?? null;
  if (complaint === 'number') return null;
  if (found.verb === 'help' && found.problem === null) {
    const [first = ''] = splitHmpWords(found.arguments[0]?.text ?? '') ?? [''];
    const isKnown = first === '' || HMP_COMMANDS.has(first) || /^[?qpsc]$/.test(first);
    const expected = first === '' || isKnown ? answer : `unknown command: '${first}'\n`;
    return answer.replace(/\ufffd+/, '') === expected ? null : `help should say ${expected}`;
  }
  // Its value is a word until 10, and the rest of the line from 11 on: see the table.
  const isOlder = found.verb === 'migrate_set_parameter' && /^(?:string|extra)/.test(complaint ?? '');
  if (complaint !== found.problem && !isOlder) return `QEMU: ${complaint}, read: ${found.problem}`;
  const [argument, pattern] = NAMES.get(nameOf(found)) ?? [];
  const named = found.problem === null ? pattern?.exec(answer)?.[1] : undefined;
  if (named === undefined) return null;
  const texts = found.arguments.filter(({ name }) => argument?.split(' ').includes(name)).map(({ text }) => text);
  if (texts.includes(named.replace(/\ufffd+$/, ''))) return null;
  return `QEMU: ${JSON.stringify(named)}, read: ${JSON.stringify(texts)}`;
}

async function run(client: RawClient, lines: readonly string[]): Promise<string[]> {
  const commands = lines.map((line) =>
    JSON.stringify({ execute: 'human-monitor-command', arguments: { 'command-line': line } }),
  );
  await client.write(commands.join('\n'));
  const answers: string[] = [];
  while (answers.length < lines.length) {
    // the shape of a line of QMP is QEMU's promise
    const message: { return?: string; error?: { desc: string }; event?: string } = JSON.parse(await client.readLine());
    if (message.event === undefined)
      answers.push((message.return ?? `Error: ${message.error?.desc}\n`).replaceAll('\r\n', '\n'));
  }
  return answers;
}
