/** `qmpmux audit verify`: whether a log is whole. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Head } from '../audit/audit-log.js';
import { AuditReadError, systemReason } from '../audit/errors.js';
import { type Finding, formatHead, parseHead, Verifier } from '../audit/verify.js';
import { filesOf, readAll } from './audit-files.js';
import { EXIT } from './exit-code.js';
import { subcommand, UsageError } from './subcommand.js';

/** The log is whole, but something in it is worth knowing. */
const REMARKS = 1;
/** The log was changed. */
const PROBLEMS = 2;
/** More findings than this are counted, not told. */
const MOST_TOLD = 1000;

export const auditVerify = subcommand({
  name: 'audit verify',
  usage: 'audit verify FILE…',
  operands: 'words',
  options: {
    head: {
      type: 'string',
      requiresArg: true,
      describe: 'a saved head, SEQ:HASH or a file that holds one: the log must still have that record',
    },
    'save-head': { type: 'string', requiresArg: true, describe: 'write the head to this file, to be kept elsewhere' },
    quiet: { type: 'boolean', alias: 'q', describe: 'tell only the exit code' },
    json: { type: 'boolean', describe: 'findings and result as JSON, one a line' },
  },
  examples: [
    ['$0 audit verify /var/log/qmpmux/audit.log*', 'a log with its rotated files'],
    ['$0 audit verify --head /mnt/elsewhere/head audit.log*', 'and that its end was not cut off since then'],
  ],
  notes: [
    'Files may be rotated and compressed ones, in any order. Checked are: the numbers of the records, the hash chain where there is one',
    '(--audit-chain), torn lines, and that commands have answers.',
    'Exit codes: 0 whole, 1 whole, but with remarks (torn lines, commands without an answer), 2 removed, changed, inserted, reordered or',
    'cut records, 64 wrong command line, 66 a file cannot be read.',
    'Whoever can write the log can write a whole chain anew: only a head that was saved out of their reach shows that.',
  ].join('\n'),

  async run(flags, operands) {
    const files = await filesOf(operands, 'verify');
    const saved = flags.head === undefined ? null : savedHead(flags.head);
    let told = 0;
    const tell = (finding: Finding) => {
      if (flags.quiet === true || ++told > MOST_TOLD) return;
      const { level, file, line, what } = finding;
      process.stdout.write(
        flags.json === true ? `${JSON.stringify(finding)}\n` : `${file}:${line}: ${level}: ${what}\n`,
      );
    };
    const verifier = new Verifier(tell, saved);
    await readAll(files, flags.quiet === true, (line) => {
      verifier.line(line);
    });
    const result = verifier.finish();
    const { records, chained, problems, remarks, head } = result;
    if (flags['save-head'] !== undefined && head !== null && problems === 0) saveHead(flags['save-head'], head);
    if (flags.quiet !== true) {
      if (told > MOST_TOLD) process.stdout.write(`and ${told - MOST_TOLD} more findings\n`);
      const summary = [
        problems > 0 ? 'NOT WHOLE' : 'whole',
        `records ${records}`,
        chained === 0 ? 'no chain' : chained === records ? 'all chained' : `chained ${chained}`,
        `problems ${problems}`,
        `remarks ${remarks}`,
        head === null ? 'empty' : `head ${formatHead(head)}`,
      ];
      process.stdout.write(flags.json === true ? `${JSON.stringify(result)}\n` : `${summary.join(', ')}\n`);
    }
    return problems > 0 ? PROBLEMS : remarks > 0 ? REMARKS : EXIT.ok;
  },
});

function savedHead(text: string): Head {
  const given = parseHead(text);
  if (given !== null) return given;
  let content: string;
  try {
    content = readFileSync(text, 'utf8');
  } catch (error) {
    throw new AuditReadError(`the saved head ${text} cannot be read: ${systemReason(error)}`, { cause: error });
  }
  const head = parseHead(content);
  if (head === null) throw new UsageError(`${text} holds no saved head: SEQ:HASH is expected`);
  return head;
}

function saveHead(file: string, head: Head): void {
  try {
    writeFileSync(file, `${formatHead(head)}\n`);
  } catch (error) {
    throw new AuditReadError(`the head cannot be saved to ${file}: ${systemReason(error)}`, { cause: error });
  }
}
