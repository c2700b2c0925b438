/**
 * The read-only list against the commands of three QEMUs, by name: harmless-looking commands that are denied are denied on
 * purpose, for a reason given in src/mux/policy/read-only.ts; a command nobody has looked at fails here until somebody has.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { ArgumentList } from '../../../dist/mux/policy/arguments.js';
import { readOnlyPolicy } from '../../../dist/mux/policy/policy.js';
import { isReadOnly, readOnlyCommands } from '../../../dist/mux/policy/read-only.js';
import { QEMU_VERSIONS, recordedCommands } from '../../support/qemu/recorded-commands.js';

const root = new URL('../../../', import.meta.url);
const NO_ARGUMENTS: ArgumentList = Object.create(null);

/** The commands of a QEMU, without the actions of transactions. */
function commandsOf(version: (typeof QEMU_VERSIONS)[number]): string[] {
  return [...recordedCommands(version).keys()].filter((name) => !name.includes('/'));
}

/** Looked at, and left out. */
const DENIED_ON_PURPOSE: ReadonlySet<string> = new Set([
  'qom-get',
  'qom-list-get',
  'qom-list-properties',
  'device-list-properties',
  'query-rx-filter',
  'query-sev-attestation-report',
  'query-sev-capabilities',
  'query-sgx-capabilities',
  'query-gic-capabilities',
  'query-firmware-log',
  'ringbuf-read',
  'trace-event-get-state',
  'xen-event-list',
]);

for (const version of QEMU_VERSIONS) {
  const commands = commandsOf(version);
  describe(`the read-only policy on the commands of QEMU ${version}`, () => {
    it('lets only names of queries and lists through', () => {
      const allowed = commands.filter(isReadOnly);
      assert.ok(allowed.length > 60, `${allowed.length} of ${commands.length}`);
      for (const name of allowed) assert.match(name, /^(query-|qom-list)/);
    });

    it('denies harmless-looking names only if they were left out on purpose, and all unstable ones', () => {
      const denied = commands.filter((name) => !isReadOnly(name));
      const likeReading = denied.filter(
        (name) => /(^|-)(query|list|get|read)(-|$)/.test(name) && !name.startsWith('x-'),
      );
      for (const name of likeReading) assert.ok(DENIED_ON_PURPOSE.has(name), `${name}: nobody has looked at it`);
      for (const name of commands) if (name.startsWith('x-')) assert.ok(!isReadOnly(name), name);
    });
  });
}

describe('the read-only policy', () => {
  it('has been checked for the additions of QEMU 11.1 to 10.0', () => {
    const before = new Set(commandsOf('10.0'));
    const added = commandsOf('11.1').filter((name) => !before.has(name));
    assert.deepEqual(added.filter(isReadOnly), [
      'query-accelerators',
      'query-cpu-model-baseline',
      'query-cpu-model-comparison',
      'query-s390x-cpu-polarization',
    ]);
    assert.deepEqual(
      added.filter((name) => !isReadOnly(name)),
      [
        'dump-skeys',
        'inject-ghes-v2-error',
        'qom-list-get',
        'query-firmware-log',
        'query-gic-capabilities',
        'set-cpu-topology',
        'x-accel-stats',
      ],
    );
  });

  it('denies unknown names: of no QEMU, of a later one, and other spellings of those on the list', () => {
    const policy = readOnlyPolicy();
    const judged = (name: string) => policy.judge(name, NO_ARGUMENTS).allowed;
    assert.ok(readOnlyCommands().every(judged));
    for (const name of ['query-', 'query-secrets-of-2030', 'QUERY-STATUS', 'query_status', 'query-status ', '', '*']) {
      assert.equal(judged(name), false, name);
    }
  });

  it('gives in its source the reason for each command that was left out', () => {
    const source = readFileSync(new URL('src/mux/policy/read-only.ts', root), 'utf8');
    for (const name of DENIED_ON_PURPOSE) assert.ok(source.includes(`\`${name}\``), name);
  });
});
