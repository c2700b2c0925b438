/** The pages on policies: their examples are run, and their claims on what a rule lets through are tried. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startQmpmux } from '../support/daemon/daemon.js';
import { scratch } from '../support/files/scratch.js';
import { command, judge, policyOf } from '../support/text/policies.js';

const page = ['reference/policy.md', 'how-to/write-a-policy.md']
  .map((name) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8'))
  .join('\n');
const example = /```toml\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
const rules = [...example.matchAll(/^ {2}"([^"]+)"/gm)].map((match) => match[1] ?? '');

/** The examples at a prompt: what is typed, and what comes. */
const sessions = [...page.matchAll(/^ {4}\$ qmpmux (policy test .*)\n((?: {4}[^$ ].*\n)*)/gm)].map(
  ([, typed = '', shown = '']) => ({
    typed,
    shown: shown.replace(/^ {4}/gm, ''),
  }),
);

describe('the pages on policies', () => {
  it('has examples', () => {
    assert.ok(rules.length > 8, rules.join('\n'));
    assert.equal(sessions.length, 4);
  });

  for (const { typed, shown } of sessions) {
    it(`shows what "qmpmux ${typed}" says`, async (context) => {
      const folder = scratch(context);
      const monitor = '[monitor.vm]\nupstream = "/q"\nlisten = ["/m"]\n';
      writeFileSync(join(folder, 'qmpmux.toml'), `${monitor}${example}`);
      writeFileSync(join(folder, 'backup.rules'), `${rules.join('\n')}\n`);
      writeFileSync(join(folder, 'operator.rules'), 'default allow\ndeny drive-backup\n');
      const words = (typed.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replaceAll("'", ''));
      const placed = words.map((word) => word.replace(/^\/etc\/(?:qmpmux\/)?/, `${folder}/`));
      const started = startQmpmux(context, placed);
      await started.exited;
      // Notes go to standard error, below what is asked for.
      assert.equal(started.output + started.errors, shown);
    });
  }

  it('has a policy that does what is said beside it', () => {
    const backup = policyOf(rules);
    const cases: readonly (readonly [text: string, rule: string])[] = [
      [command('query-block'), 'allow @read-only'],
      [command('getfd', { fdname: 'x' }), 'deny @descriptors'],
      [command('object-add', { 'qom-type': 'monitor-qmp', id: 'm' }), 'deny @monitors'],
      [
        command('blockdev-add', { driver: 'file', filename: '/var/lib/vm/copy' }),
        'allow blockdev-add **.driver=file **.filename=/var/lib/vm/*',
      ],
      [command('blockdev-add', { driver: 'file', filename: '/etc/passwd' }), 'default deny'],
      [command('blockdev-add', { driver: 'qcow2', file: 'copy' }), 'allow blockdev-add **.driver=qcow2'],
      [
        command('blockdev-add', { driver: 'qcow2', file: 'copy', backing: { driver: 'vvfat', dir: '/etc' } }),
        'default deny',
      ],
      [
        command('blockdev-add', {
          driver: 'quorum',
          children: [
            { driver: 'file', filename: '/var/lib/vm/copy' },
            { driver: 'vvfat', dir: '/etc' },
          ],
        }),
        'default deny',
      ],
      [command('blockdev-add', { driver: 'file', filename: '/var/lib/vm/../../../etc/passwd' }), 'default deny'],
      [
        command('transaction', {
          actions: [
            { type: 'block-dirty-bitmap-add', data: {} },
            { type: 'blockdev-backup', data: {} },
          ],
        }),
        'allow transaction',
      ],
      [command('transaction', { actions: [{ type: 'drive-backup', data: {} }] }), 'default deny'],
      [command('migrate', { uri: 'tcp:10.0.0.9:4444' }), 'allow migrate uri=tcp:10.0.0.9:*'],
      [command('migrate', { uri: 'tcp:10.0.0.9.evil.example:4444' }), 'default deny'],
      [command('migrate', { uri: 'exec:true' }), 'default deny'],
    ];
    for (const [text, rule] of cases) assert.equal(judge(backup, text).rule, rule, text);
  });

  it('has reasons against the rules in its last column', () => {
    const passes = (rule: string, text: string) => judge(policyOf([rule], rule.startsWith('deny')), text).allowed;
    assert.ok(passes('allow migrate uri=tcp:10.0.0.*', command('migrate', { uri: 'tcp:10.0.0.9.evil.example:4444' })));
    assert.ok(passes('deny migrate uri=exec:*', command('migrate-set-parameters', { 'cpr-exec-command': ['sh'] })));
    assert.ok(passes('deny drive-backup', command('blockdev-backup')));
    // A link may be there, and lead anywhere.
    assert.ok(
      passes('deny blockdev-add **.filename=/etc/*', command('blockdev-add', { filename: '/srv/link/passwd' })),
    );
    for (const [, rule = ''] of page.matchAll(/`((?:allow|deny) [^`]+)`/g)) policyOf([rule]);
  });

  it('tells which names meet every rule over names of files', () => {
    const denied = (filename: string) =>
      !judge(policyOf(['deny blockdev-add filename=/etc/*'], true), command('blockdev-add', { filename })).allowed;
    for (const name of ['x', '/x/../y', '/proc/self/cwd/x', '/dev/fd/3', '/dev/fdset/1', '/./etc//x/', 'file:/etc/x'])
      assert.ok(denied(name), name);
    assert.ok(!denied('/var/lib/vm/disk'));
  });
});
