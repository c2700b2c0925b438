/** `qmpmux audit verify`: whether a log is whole. */

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import type { Head } from '../../../audit/log/chain.js';
import { AuditReadError } from '../../../audit/log/errors.js';
import { lineBatches } from '../../../audit/log/log-lines.js';
import {
  type Finding,
  formatHead,
  parseHead,
  quoted,
  Verifier,
  type VerifyResult,
} from '../../../audit/read/verify.js';
import { printable } from '../../../shared/printable.js';
import { systemReason } from '../../../system/system-error.js';
import { EXIT } from '../../framework/exit-code.js';
import { subcommand, UsageError } from '../../framework/subcommand.js';
import { logsOf, Meter } from './files.js';

/** The log is whole, but something in it is worth knowing. */
const REMARKS = 1;
/** The log was changed. */
const PROBLEMS = 2;
/** A file that is longer holds no head, in bytes. */
const LONGEST_HEAD = 1000;
/** Findings beyond this number are counted, not shown. */
const MOST_TOLD = 1000;

export const auditVerify = subcommand({
  name: 'audit verify',
  usage: 'audit verify FILE…',
  operands: 'words',
  options: {
    head: {
      type: 'string',
      describe: 'check that the log still has the record of this saved head: SEQ:HASH, or a file that holds one',
    },
    'save-head': { type: 'string', describe: 'write the head to this file; keep it elsewhere' },
    quiet: { type: 'boolean', alias: 'q', describe: 'print nothing and only set the exit code' },
    json: { type: 'boolean', describe: 'print findings and the result as JSON, one object per line' },
  },
  examples: [
    ['$0 audit verify /var/log/qmpmux/audit.log*', 'a log with its rotated files'],
    [
      '$0 audit verify --head /mnt/elsewhere/head audit.log*',
      'also check that its end was not cut off since that head',
    ],
  ],
  notes: [
    'Files may be rotated or compressed (gzip, zstd, xz), in any order. This checks the numbers of the records, the hash chain where ' +
      'there is one (--audit-chain), torn lines, that commands have answers, and that each run of qmpmux has an end. Several logs are ' +
      'checked one by one.',
    'Exit codes: 0 whole, 1 whole with remarks (torn lines, commands without an answer, a start without a stop before it), ' +
      '2 removed, changed, inserted, reordered or cut records, 64 wrong command line, 66 a file cannot be read or is not a log.',
    'Anyone who can write the log can rewrite the whole chain or cut off its end: only a head saved out of their reach reveals that.',
  ].join('\n'),

  async run(flags, operands) {
    const { logs, hasFaults } = await logsOf(operands, 'verify');
    const saved = flags.head === undefined ? null : savedHead(flags.head);
    if (logs.length > 1 && (saved !== null || flags['save-head'] !== undefined)) {
      throw new UsageError(
        `--head applies to one log, but these are ${logs.length}: ${logs.map(({ name }) => quoted(name)).join(', ')}`,
      );
    }
    let told = 0;
    const meter = flags.quiet === true ? null : Meter.onTerminal();
    const tell = (finding: Finding) => {
      if (flags.quiet === true || ++told > MOST_TOLD) return;
      const { level, file, line, what } = finding;
      meter?.clear();
      process.stdout.write(
        flags.json === true ? `${asciiJson(finding)}\n` : `${fileText(file)}:${line}: ${level}: ${what}\n`,
      );
    };
    const results: VerifyResult[] = [];
    const conclusions: string[] = [];
    for (const { name, files } of logs) {
      const verifier = new Verifier(tell, saved);
      try {
        for (const { path } of files)
          for await (const lines of lineBatches(path, { progress: meter?.show }))
            for (const line of lines) verifier.line(line);
      } finally {
        meter?.clear();
      }
      const result = verifier.finish();
      results.push(result);
      conclusions.push(
        flags.json === true
          ? asciiJson(logs.length > 1 ? { log: name, ...result } : result)
          : `${logs.length > 1 ? `${quoted(name)}: ` : ''}${verdict(result)}`,
      );
    }
    const [result] = results;
    if (result?.head != null && flags['save-head'] !== undefined && result.problems === 0) {
      saveHead(flags['save-head'], result.head);
    }
    if (flags.quiet !== true) {
      if (told > MOST_TOLD && flags.json !== true) process.stdout.write(`and ${told - MOST_TOLD} more findings\n`);
      process.stdout.write(conclusions.map((line) => `${line}\n`).join(''));
    }
    if (results.some(({ problems }) => problems > 0)) return PROBLEMS;
    if (hasFaults) return EXIT.noInput;
    return results.some(({ remarks }) => remarks > 0) ? REMARKS : EXIT.ok;
  },
});

/** @returns the verdict on a log, in a line that begins with `whole` or `NOT WHOLE`. */
function verdict({ records, chained, problems, remarks, head }: VerifyResult): string {
  return [
    problems > 0 ? 'NOT WHOLE' : 'whole',
    `records ${records}`,
    chained === 0 ? 'no chain' : chained === records ? 'all chained' : `chained ${chained}`,
    `problems ${problems}`,
    `remarks ${remarks}`,
    head === null ? 'empty' : `head ${formatHead(head)}`,
  ].join(', ');
}

/** @returns a file's name as it is, unless something in it could be taken for something else. */
function fileText(file: string): string {
  return /^[\w./+@%~-]+$/.test(file) ? file : JSON.stringify(file).replace(NOT_ASCII, escaped);
}

const NOT_ASCII = /[\u007f-\uffff]/g;

function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(NOT_ASCII, escaped);
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** A head, whether or not its hash has the right form. */
const LIKE_A_HEAD = /^\d+(?::[^/]*)?$/;

function savedHead(text: string): Head {
  const given = parseHead(text);
  if (given !== null) return given;
  let content: string;
  try {
    const { size } = statSync(text);
    content = size > LONGEST_HEAD ? '' : readFileSync(text, 'utf8');
  } catch (error) {
    if (LIKE_A_HEAD.test(text)) {
      throw new UsageError(
        `--head ${printable(text)} is not a head: write SEQ:HASH, with a hash of 64 hexadecimal digits (0-9, a-f), or a file that holds it`,
      );
    }
    throw new AuditReadError(`the saved head ${printable(text)} cannot be read: ${systemReason(error)}`, {
      cause: error,
    });
  }
  const head = parseHead(content);
  if (head === null) throw new UsageError(`${printable(text)} does not hold a saved head (SEQ:HASH)`);
  return head;
}

function saveHead(file: string, head: Head): void {
  try {
    writeFileSync(file, `${formatHead(head)}\n`);
  } catch (error) {
    throw new AuditReadError(`the head cannot be saved to ${file}: ${systemReason(error)}`, { cause: error });
  }
}
