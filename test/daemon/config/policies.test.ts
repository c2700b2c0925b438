import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ConfigError } from '../../../dist/daemon/config/config-error.js';
import { parsePolicyFile, policyFor, readPolicyFile } from '../../../dist/daemon/config/policies.js';
import type { ArgumentList } from '../../../dist/mux/policy/arguments.js';
import { scratch } from '../../support/files/scratch.js';
import { LogRecord } from '../../support/text/log-record.js';

// Rules without conditions look at no arguments.
const NO_ARGUMENTS: ArgumentList = Object.create(null);

describe('a file of rules', () => {
  it('has a rule in a line, comments, and a default', () => {
    const { rules, allowByDefault } = parsePolicyFile(
      '# for the backup\nallow query-*   # all of them\n\n  deny quit\r\ndefault allow\nallow x a=#1\n',
      'f',
    );
    assert.deepEqual(
      rules.map((rule) => rule.text),
      ['allow query-*', 'deny quit', 'allow x a=#1'],
    );
    assert.equal(allowByDefault, true);
  });

  it('denies by default', () => {
    assert.equal(parsePolicyFile('allow stop', 'f').allowByDefault, false);
  });

  it('with a fault is refused with the line', () => {
    assert.throws(() => parsePolicyFile('allow a\nallow hmp x y\n', 'f'), /^ConfigError: f:2: "allow hmp x y": /);
    assert.throws(() => parsePolicyFile('default maybe', 'f'), /f:1: default is allow or deny/);
    assert.throws(() => parsePolicyFile('default deny\ndefault deny', 'f'), /f:2: default is given twice/);
  });

  it('that cannot be read is refused', (context) => {
    assert.throws(() => readPolicyFile(join(scratch(context), 'none')), ConfigError);
  });
});

describe('the policy of a listener', () => {
  it('costs nothing when everything is allowed', () => {
    assert.equal(policyFor({ kind: 'full' }, new Map(), new LogRecord()), null);
  });

  it('is read from its file, or found by its name', (context) => {
    const file = join(scratch(context), 'rules');
    writeFileSync(file, 'allow stop\n');
    const fromFile = policyFor({ kind: 'file', file }, new Map(), new LogRecord());
    const named = policyFor({ kind: 'named', name: 'a' }, new Map([['a', readPolicyFile(file)]]), new LogRecord());
    for (const policy of [fromFile, named]) {
      assert.equal(policy?.judge('stop', NO_ARGUMENTS).allowed, true);
      assert.equal(policy?.judge('cont', NO_ARGUMENTS).allowed, false);
    }
    assert.throws(() => policyFor({ kind: 'named', name: 'b' }, new Map(), new LogRecord()), /no policy "b"/);
  });

  it('that learns logs each rule once, and goes on with the file of before', (context) => {
    const file = join(scratch(context), 'learnt');
    writeFileSync(file, 'allow stop\n');
    const log = new LogRecord();
    const policy = policyFor({ kind: 'learn', file }, new Map(), log);
    for (const name of ['stop', 'cont', 'query-status', 'cont']) {
      assert.equal(policy?.judge(name, NO_ARGUMENTS).allowed, true);
    }
    assert.equal(readFileSync(file, 'utf8'), 'allow stop\nallow cont\nallow query-status\n');
    assert.deepEqual(
      log.lines.map(({ fields }) => fields['rule']),
      ['allow cont', 'allow query-status'],
    );
    const { rules } = readPolicyFile(file);
    assert.equal(rules.length, 3);
  });

  it('that learns makes a file that only its owner can read', (context) => {
    const file = join(scratch(context), 'new');
    policyFor({ kind: 'learn', file }, new Map(), new LogRecord())?.judge('stop', NO_ARGUMENTS);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  it('that learns writes to no file but its own: no link is followed, and no second name of another', (context) => {
    const folder = scratch(context);
    const other = join(folder, 'precious');
    writeFileSync(other, 'precious');
    symlinkSync(other, join(folder, 'link'));
    linkSync(other, join(folder, 'name'));
    mkdirSync(join(folder, 'folder'));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    for (const name of ['link', 'name', 'folder', 'pipe']) {
      const learn = () => policyFor({ kind: 'learn', file: join(folder, name) }, new Map(), new LogRecord());
      assert.throws(learn, /cannot write what policy=learn learns/, name);
    }
    // Also when it is put there later.
    const log = new LogRecord();
    const file = join(folder, 'learnt');
    const policy = policyFor({ kind: 'learn', file }, new Map(), log);
    unlinkSync(file);
    symlinkSync(other, file);
    policy?.judge('stop', NO_ARGUMENTS);
    assert.equal(readFileSync(other, 'utf8'), 'precious');
  });

  it('that learns into a file that cannot be written is refused at the start', (context) => {
    assert.throws(
      () => policyFor({ kind: 'learn', file: join(scratch(context), 'none', 'x') }, new Map(), new LogRecord()),
      /cannot write what policy=learn learns/,
    );
  });
});
