/** `qmpmux policy test`: which rule decides about a command. */
import { ConfigError } from '../../daemon/config/config-error.js';
import { type PolicyRules, readPolicyFile } from '../../daemon/config/policies.js';
import { ArgumentList } from '../../mux/policy/arguments.js';
import { type Policy, RulePolicy, readOnlyPolicy, type Verdict } from '../../mux/policy/policy.js';
import { notesOn } from '../../mux/policy/policy-notes.js';
import { CommandReader } from '../../qmp/command.js';
import { Parser } from '../../qmp/json/parser.js';
import { Scan, Scanner } from '../../qmp/json/scanner.js';
import { EXIT } from '../framework/exit-code.js';
import { subcommand, UsageError } from '../framework/subcommand.js';
import { textFor, writeProblem } from '../screen/screen-text.js';
import { ExecSyntax } from './exec/syntax.js';

/** The exit code of a command that the policy denies. */
const DENIED = 1;

export const policyTest = subcommand({
  name: 'policy test',
  usage: "policy test FILE COMMAND…\n   or: $0 policy test read-only 'COMMAND'",
  operands: 'words',
  options: {
    policy: {
      type: 'string',
      describe: 'the policy to test, if the config file has more than one',
    },
    hmp: { type: 'boolean', describe: 'COMMAND is a line of the human monitor' },
    quiet: { type: 'boolean', alias: 'q', describe: 'print nothing and only set the exit code' },
  },
  examples: [
    ['$0 policy test /etc/qmpmux/backup.rules query-block', 'a file of rules, as with policy=/etc/qmpmux/backup.rules'],
    [
      `$0 policy test /etc/qmpmux.toml --policy backup '{"execute":"migrate","arguments":{"uri":"exec:cat"}}'`,
      'a policy of a config file, and a command in JSON',
    ],
    ["$0 policy test read-only --hmp 'info block'", 'a line of the human monitor, under the built-in policy'],
  ],
  notes: [
    'FILE is a config file (*.toml), a file of rules, or read-only. COMMAND is JSON, or name key=value… as in qmp-shell.',
    'Gaps in the rules are reported on standard error, with the rules that close them.',
    'Exit codes: 0 allowed, 1 denied, 64 wrong command line, 78 unusable file.',
  ].join('\n'),

  async run(flags, operands) {
    const [file, ...words] = operands;
    if (file === undefined || words.length === 0) throw new UsageError('name a file of rules and a command');
    const { policy, notes } = await policyOf(file, flags.policy);
    const syntax = new ExecSyntax(flags.hmp === true, false);
    const verdict = judge(policy, syntax.complete(syntax.words(words)));
    if (flags.quiet !== true) {
      process.stdout.write(`${textFor(process.stdout, textOf(verdict))}\n`);
      for (const note of notes) writeProblem(`note: ${note}`);
    }
    return verdict.allowed ? EXIT.ok : DENIED;
  },
});

interface Tried {
  readonly policy: Policy;
  /** Questions its rules leave open, for people. */
  readonly notes: readonly string[];
}

function textOf({ allowed, rule, action }: Verdict): string {
  const what = allowed ? 'allowed' : 'denied';
  const where = action === undefined ? '' : `, for action ${JSON.stringify(action)} of the transaction`;
  if (rule.startsWith('default ')) return `${what}: no rule matches (${rule})${where}`;
  return /^(allow|deny) /.test(rule) ? `${what} by: ${rule}${where}` : `${what}: ${rule}${where}`;
}

async function policyOf(file: string, name: string | undefined): Promise<Tried> {
  if (!file.endsWith('.toml')) {
    if (name !== undefined) throw new UsageError('--policy works only with a config file (*.toml)');
    if (file === 'read-only') return { policy: readOnlyPolicy(), notes: [] };
    return ofRules(file, readPolicyFile(file));
  }
  const { readConfig } = await import('../../daemon/config/config-file.js');
  const { policies } = readConfig(file, false);
  const known = [...policies.keys()].join(', ');
  const [only] = policies.keys();
  const wanted = name ?? (policies.size === 1 ? only : undefined);
  if (wanted === undefined) {
    if (policies.size === 0) throw new ConfigError(`${file}has no policy; add a table [policy.NAME]`);
    throw new UsageError(`choose one with --policy: ${known}`);
  }
  const rules = policies.get(wanted);
  if (rules === undefined) throw new UsageError(`${file} has no policy ${JSON.stringify(wanted)} (known: ${known})`);
  return ofRules(wanted, rules);
}

function ofRules(name: string, { rules, allowByDefault }: PolicyRules): Tried {
  return { policy: new RulePolicy(name, rules, allowByDefault), notes: notesOn(rules, allowByDefault) };
}

/** Judges a command as a session does: from the bytes that a client would write. */
function judge(policy: Policy, command: string): Verdict {
  const scanner = new Scanner();
  const parser = new Parser();
  const reader = new CommandReader();
  // Behind it a blank, so that a bare word is a whole value too.
  scanner.push(Buffer.from(`${command} `));
  if (scanner.next() !== Scan.Message) throw new UsageError(`not a command: ${scanner.error || 'it is incomplete'}`);
  parser.parse(scanner.bytes, scanner.tokens);
  if (parser.error !== null) throw new UsageError(`not a command: ${parser.error}`);
  if (!parser.isObject) throw new UsageError('not a command: it must be a JSON object');
  reader.read(scanner, parser, true);
  if (reader.shapeError !== null) throw new UsageError(`not a command: ${reader.shapeError}`);
  return policy.judge(reader.name, new ArgumentList(scanner.bytes, scanner.tokens, parser, reader.argumentsToken));
}
