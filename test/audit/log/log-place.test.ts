import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { openLogFile } from '../../../dist/audit/log/log-place.js';
import { AuditFile } from '../../../dist/audit/write/audit-file.js';
import { scratch } from '../../support/files/scratch.js';
import { startRacer } from '../../support/world/racer.js';

const OTHER = 12345;
const isRoot = process.geteuid?.() === 0;
const needsRoot = { skip: !isRoot && 'needs root' };

/** Opens it, and closes it again. @returns what it was warned of */
function warnings(path: string): string[] {
  const said: string[] = [];
  closeSync(openLogFile(path, (problem) => said.push(problem)));
  return said;
}

function folderOf(t: TestContext, mode: number, uid = -1, gid = -1): string {
  const folder = join(scratch(t), 'log');
  mkdirSync(folder);
  if (uid >= 0 || gid >= 0) chownSync(folder, uid, gid);
  chmodSync(folder, mode);
  return folder;
}

describe('an audit log', () => {
  it('is made for its owner alone, and taken again without a word', (t) => {
    const path = join(scratch(t), 'a');
    assert.deepEqual(warnings(path), []);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    for (const mode of [0o600, 0o640, 0o400]) {
      chmodSync(path, mode);
      assert.deepEqual(warnings(path), []);
    }
  });

  it('that others can read or change is said loudly', (t) => {
    const path = join(scratch(t), 'a');
    writeFileSync(path, '');
    for (const [mode, what] of [
      [0o644, 'read'],
      [0o604, 'read'],
      [0o660, 'change'],
      [0o666, 'change'],
      [0o602, 'change'],
    ] as const) {
      chmodSync(path, mode);
      const shown = `0${mode.toString(8)}`;
      assert.deepEqual(warnings(path), [
        `others can ${what} the audit log ${path} (mode ${shown}); chmod 0640 ${path}`,
      ]);
    }
  });

  it('is refused in a folder that anyone may write to, however far above, but for a sticky one', (t) => {
    const folder = folderOf(t, 0o777);
    mkdirSync(join(folder, 'below'));
    for (const path of [join(folder, 'a'), join(folder, 'below', 'a')]) {
      assert.throws(
        () => warnings(path),
        /anyone can write to the folder .*\/log, and replace the audit log; chmod o-w/,
      );
      assert.equal(lstatSync(path, { throwIfNoEntry: false }), undefined, 'nothing is made there');
    }
    assert.deepEqual(warnings(join(folderOf(t, 0o1777), 'a')), []);
  });

  it('is refused where it has a second name, or is a link', (t) => {
    const folder = scratch(t);
    const path = join(folder, 'a');
    writeFileSync(path, '', { mode: 0o600 });
    linkSync(path, join(folder, 'b'));
    assert.throws(
      () => warnings(path),
      /has another name \(a hard link\) through which it can be changed; move it away/,
    );
    symlinkSync('b', join(folder, 'c'));
    assert.throws(() => warnings(join(folder, 'c')));
    unlinkSync(join(folder, 'b'));
    assert.deepEqual(warnings(path), []);
  });

  it('of another user is refused', needsRoot, (t) => {
    const path = join(scratch(t), 'a');
    writeFileSync(path, '');
    chownSync(path, OTHER, OTHER);
    assert.throws(
      () => warnings(path),
      /a belongs to uid 12345, who can change its contents; move it away, or chown it/,
    );
  });

  it(
    'is refused to root in a folder of another user, and said loudly in one that a group may write to',
    needsRoot,
    (t) => {
      const folder = folderOf(t, 0o755, OTHER);
      assert.throws(
        () => warnings(join(folder, 'a')),
        /belongs to uid 12345, who can replace the audit log, and qmpmux runs as root/,
      );
      assert.equal(lstatSync(join(folder, 'a'), { throwIfNoEntry: false }), undefined);
      const path = join(folderOf(t, 0o775, -1, OTHER), 'a');
      assert.match(warnings(path).join('\n'), /^group 12345 can replace the audit log in .*\(mode 0775\); chmod g-w/);
    },
  );

  it('is checked again when it is reopened: it goes on in the old file where the new one is refused', (t) => {
    const folder = scratch(t);
    const path = join(folder, 'a');
    const said: string[] = [];
    const report = (_level: string, message: string) => {
      said.push(message);
    };
    const fd = openLogFile(path, () => undefined);
    const file = new AuditFile({ path, fd, sync: false, report, now: () => 0 });
    t.after(() => {
      file.close();
    });
    renameSync(path, join(folder, 'a.1'));
    writeFileSync(path, '');
    linkSync(path, join(folder, 'other'));
    const refused = file.reopen();
    assert.equal(refused.kind, 'failed');
    assert.equal(file.write(Buffer.from('one\n')), null);
    assert.equal(readFileSync(join(folder, 'a.1'), 'utf8'), 'one\n');
    unlinkSync(join(folder, 'other'));
    chmodSync(path, 0o666);
    assert.equal(file.reopen().kind, 'new');
    assert.match(said.join('\n'), /others can change the audit log/);
    assert.equal(file.write(Buffer.from('two\n')), null);
    assert.equal(readFileSync(path, 'utf8'), 'two\n');
  });

  for (const bait of ['link', 'name', 'both'] as const) {
    it(`is never another file, however the file behind its name is changed (${bait})`, async (t) => {
      const folder = scratch(t);
      const path = join(folder, 'd', 'a');
      mkdirSync(join(folder, 'd'));
      const target = join(folder, 'shadow');
      writeFileSync(target, 'secret', { mode: 0o600 });
      await startRacer(t, path, target, bait);
      for (let round = 0; round < 500; round++) {
        try {
          const fd = openLogFile(path, () => undefined);
          const file = new AuditFile({ path, fd, sync: false, report: () => undefined, now: () => 0 });
          file.write(Buffer.from('record\n'));
          file.reopen();
          file.write(Buffer.from('record\n'));
          file.close();
        } catch {
          // It is refused, which is right too.
        }
      }
      assert.equal(readFileSync(target, 'utf8'), 'secret');
      assert.equal(statSync(target).mode & 0o777, 0o600);
    });
  }
});
