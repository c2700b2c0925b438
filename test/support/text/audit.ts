/** An audit log in a test's own folder, the commands and clients to feed it, and its records read back and held against the schema. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { NOTHING_LEFT_OUT } from '../../../dist/audit/log/kinds.js';
import { Audit } from '../../../dist/audit/write/audit.js';
import type { Recorder } from '../../../dist/audit/write/recorder.js';
import type { AuditSettings } from '../../../dist/audit/write/settings.js';
import type { Peer } from '../../../dist/mux/ports/link.js';
import type { ClientView, CommandView } from '../../../dist/mux/ports/observer.js';
import { type Scope, scratch } from '../files/scratch.js';

/** A record as a test looks at it. */
export type LooseRecord = Readonly<Record<string, unknown>>;

const schema: object = JSON.parse(
  readFileSync(new URL('../../../dist/audit/record.schema.json', import.meta.url), 'utf8'),
);
const validate = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false, allErrors: true }).compile(
  schema,
);

/** Fails unless `record` matches the shipped schema. */
export function assertValid(record: unknown): void {
  assert.ok(
    validate(record),
    `${JSON.stringify(record)}: ${JSON.stringify(
      validate.errors?.filter((error) => error.keyword !== 'const'),
      null,
      1,
    )}`,
  );
}

export const DEFAULTS: AuditSettings = {
  destinations: [],
  sync: false,
  chain: false,
  onError: 'refuse',
  maxMessage: 0,
  leftOut: NOTHING_LEFT_OUT,
  redact: [],
};

export interface TestLog {
  readonly audit: Audit;
  readonly recorder: Recorder;
  readonly path: string;
  /** The lines of the daemon's own log, `level message`. */
  readonly reports: string[];
  /** Closes the log (once) and returns its lines' text. */
  close(): Promise<string>;
  /** Closes the log and returns its records, all of them valid. */
  records(): Promise<LooseRecord[]>;
}

/** Opens an audit log at `path` (default: a new file) and closes it with `scope`. */
export async function openTestLog(
  scope: Scope,
  settings: Partial<AuditSettings> = {},
  path?: string,
): Promise<TestLog> {
  const file = path ?? join(scratch(scope), 'audit.log');
  const reports: string[] = [];
  const audit = await Audit.open(
    { ...DEFAULTS, destinations: [{ kind: 'file', path: file }], ...settings },
    { version: '0.0.0', report: (level, message) => reports.push(`${level} ${message}`) },
  );
  let isOpen = true;
  const close = async () => {
    if (isOpen) await audit.close('the test is over');
    isOpen = false;
    return readFileSync(file, 'utf8');
  };
  scope.after(async () => {
    if (isOpen) await audit.close('the test is over');
  });
  return {
    audit,
    recorder: audit.recorder('vm1'),
    path: file,
    reports,
    close,
    records: async () => {
      const records = parseLines(await close());
      records.forEach(assertValid);
      return records;
    },
  };
}

/** @returns the records of a log's text. */
export function parseLines(text: string): LooseRecord[] {
  assert.ok(text === '' || text.endsWith('\n'), 'the log ends within a line');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): LooseRecord => JSON.parse(line));
}

/** @returns a client as the multiplexer shows it. */
export function testClient(
  number = 1,
  peer: Peer = { kind: 'unix', pid: 4711, uid: 1000, gid: 100, program: 'backup' },
): ClientView {
  // The brand is the multiplexer's to give; here there is none
  return { id: number as ClientView['id'], listener: 'unix:/run/vm.mux', peer, isConnected: true };
}

/** @returns a command as the multiplexer shows it. */
export function testCommand(
  client: ClientView,
  name: string,
  raw: string | Uint8Array,
  changes: Partial<CommandView> = {},
): CommandView {
  const now = performance.now() * 1000;
  return {
    client,
    name,
    oob: false,
    raw: typeof raw === 'string' ? Buffer.from(raw) : raw,
    id: null,
    upstreamId: 3 as CommandView['upstreamId'],
    receivedAt: now - 500,
    sentAt: now - 400,
    auditSeq: 0,
    ...changes,
  };
}

/** @returns QMP bytes as they come over the wire. */
export function wire(text: string): Uint8Array {
  return Buffer.from(`${text}\r\n`);
}
