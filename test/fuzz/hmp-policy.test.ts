/**
 * Random spellings of commands that a policy denies, given to a real QEMU where the policy lets them through: nothing that is denied
 * happens. A second QEMU gets all of them, and shows that they would have. QMPMUX_FUZZ_SEED replays a run, QMPMUX_HMP_LINES is how many.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ArgumentList } from '../../dist/mux/policy/arguments.js';
import { RulePolicy } from '../../dist/mux/policy/policy.js';
import { parseRule } from '../../dist/mux/policy/policy-rule.js';
import { CommandReader } from '../../dist/qmp/command.js';
import { Parser } from '../../dist/qmp/json/parser.js';
import { Scanner } from '../../dist/qmp/json/scanner.js';
import { Random } from '../conformance/generator.js';
import type { Scope } from '../support/files/scratch.js';
import { missing, startQemu } from '../support/qemu/qemu.js';
import { RawClient } from '../support/world/raw-client.js';

const seed = Number(process.env['QMPMUX_FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
const wanted = Number(process.env['QMPMUX_HMP_LINES'] ?? 1500);
const BATCH = 50;

const RULES = ['deny hmp cont', 'deny hmp ringbuf_write', 'deny hmp qom-set', 'deny hmp info version', 'allow hmp *'];

const policy = new RulePolicy(
  'test',
  RULES.map((text) => {
    const rule = parseRule(text);
    if ('problem' in rule) throw new Error(rule.problem);
    return rule;
  }),
  true,
);

/** A command as a client writes it. */
function written(line: string): string {
  return JSON.stringify({ execute: 'human-monitor-command', arguments: { 'command-line': line } });
}

function isAllowed(line: string): boolean {
  const scanner = new Scanner();
  const parser = new Parser();
  const reader = new CommandReader();
  scanner.push(Buffer.from(written(line)));
  scanner.next();
  parser.parse(scanner.bytes, scanner.tokens);
  reader.read(scanner, parser, true);
  return policy.judge(reader.name, new ArgumentList(scanner.bytes, scanner.tokens, parser, reader.argumentsToken))
    .allowed;
}

const COMMANDS = ['cont', 'c', 'ringbuf_write rb x', 'qom-set /machine append x', 'info version'] as const;
const PIECES = [
  ' ',
  '\t',
  '\n',
  '\v',
  '\f',
  '\r',
  '/',
  '"',
  '\\',
  '-',
  '\0',
  '\u00a0',
  '\u2028',
  '\ufeff',
  'c',
  'q',
  '?',
  'info ',
  'help ',
  ';',
  '|',
] as const;

/** A command with anything in front, behind, in place of or between its characters. */
function spelling(random: Random): string {
  let line: string = random.pick(COMMANDS);
  if (random.once(3)) line = line.replace(/ /g, () => random.pick([' ', '\t', '\n', '\v', '  ', '/', '']));
  for (let i = random.below(3); i > 0; i--) {
    const at = random.once(2) ? 0 : random.below(line.length + 1);
    line = line.slice(0, at) + random.pick(PIECES) + line.slice(at + (random.once(3) ? 1 : 0));
  }
  if (random.once(10)) line = line.toUpperCase();
  if (random.once(10)) line = line.slice(0, random.below(line.length));
  if (random.once(10)) line += random.pick(PIECES);
  return line;
}

async function connect(scope: Scope): Promise<(lines: readonly string[]) => Promise<string[]>> {
  const vm = await startQemu(scope, { extraArgs: ['-chardev', 'ringbuf,id=rb,size=65536'] });
  const client = await RawClient.negotiated(vm.monitor);
  scope.after(() => {
    client.socket.destroy();
  });
  return async (lines) => {
    await client.write(lines.map(written).join('\n'));
    const answers: string[] = [];
    while (answers.length < lines.length) {
      // the shape of a line of QMP is QEMU's promise
      const message: { return?: string; event?: string } = JSON.parse(await client.readLine());
      if (message.event === undefined) answers.push(message.return ?? '');
    }
    return answers;
  };
}

/** What shows that something was done, and undoes it. */
const LOOK = ['info status', 'ringbuf_read rb 65536', 'qom-get /machine append', 'stop', 'qom-set /machine append ""'];

/** @returns what was done, of what is denied */
function done(answers: readonly string[]): string[] {
  const [status = '', buffer = '', append = ''] = answers.slice(-LOOK.length);
  const version = answers.slice(0, -LOOK.length).some((answer) => /^\d+\.\d+\.\d+/.test(answer));
  return [
    ...(status.includes('running') ? ['cont'] : []),
    ...(buffer.trim() === '' ? [] : ['ringbuf_write']),
    ...(append.includes('x') ? ['qom-set'] : []),
    ...(version ? ['info version'] : []),
  ];
}

describe('a policy over lines of the human monitor', { skip: missing('qemu') }, () => {
  it(`lets nothing happen that it denies, ${wanted} spellings at random`, async (context) => {
    context.diagnostic(`QMPMUX_FUZZ_SEED=${seed} QMPMUX_HMP_LINES=${wanted} replays it`);
    const judged = await connect(context);
    const free = await connect(context);
    const random = new Random(seed);
    const happened = new Map<string, number>();
    let allowed = 0;
    for (let made = 0; made < wanted; made += BATCH) {
      const lines: string[] = [];
      while (lines.length < BATCH) {
        const line = spelling(random);
        // A QEMU that has ended shows nothing.
        if (!/^\s*q(?:uit)?(?![^\s/])/.test(line)) lines.push(line);
      }
      const passed = lines.filter(isAllowed);
      allowed += passed.length;
      const where = `seed ${seed}: ${JSON.stringify(passed)}`;
      assert.deepEqual(done(await judged([...passed, ...LOOK])), [], where);
      // One by one, so that each is seen; those that do something are the denied ones.
      for (const line of made < 500 ? lines : []) {
        const [what] = done(await free([line, ...LOOK]));
        if (what === undefined) continue;
        happened.set(what, (happened.get(what) ?? 0) + 1);
        assert.equal(isAllowed(line), false, `seed ${seed}: ${JSON.stringify(line)} did ${what}`);
      }
    }
    context.diagnostic(`${allowed} were let through; without the policy: ${JSON.stringify([...happened])}`);
    assert.ok(allowed > wanted / 10);
    assert.deepEqual([...happened.keys()].sort(), ['cont', 'info version', 'qom-set', 'ringbuf_write']);
  });
});
