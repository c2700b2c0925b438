import assert from 'node:assert/strict';
import { chmodSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { keyOfLog, keyPath, SecretMarks } from '../../../dist/audit/redact/secret-mark.js';
import { scratch } from '../../support/files/scratch.js';
import { openTestLog, parseLines, testClient, testCommand } from '../../support/text/audit.js';

function setPassword(password: string): string {
  return JSON.stringify({ execute: 'set_password', arguments: { protocol: 'vnc', password } });
}

describe('the mark of a secret', () => {
  test('has its length in bytes, and is the same for the same secret and key only', () => {
    const marks = new SecretMarks(Buffer.alloc(32, 1));
    assert.match(marks.mark('hüsh'), /^\[redacted 5 bytes #[0-9a-f]{8}\]$/);
    assert.match(marks.mark('x'), /^\[redacted 1 byte #[0-9a-f]{8}\]$/);
    assert.equal(marks.mark('hush'), marks.mark('hush'));
    assert.notEqual(marks.mark('hush'), marks.mark('husk'));
    assert.notEqual(marks.mark('hush'), new SecretMarks(Buffer.alloc(32, 2)).mark('hush'));
    assert.notEqual(new SecretMarks().mark('hush'), new SecretMarks().mark('hush'));
  });

  test('shows whether a password is that of last time, across a restart, however it was spelled', async (t) => {
    const path = join(scratch(t), 'vm.audit');
    const seen: string[] = [];
    let text = '';
    for (const raw of [
      setPassword('one'),
      setPassword('two'),
      `{'execute':'set_password','arguments':{'password':'\\u006fne','protocol':'vnc'}}`,
      '{"execute":"human-monitor-command","arguments":{"command-line":"set_password vnc one"}}',
    ]) {
      const log = await openTestLog(t, {}, path);
      const name = raw.includes('command-line') ? 'human-monitor-command' : 'set_password';
      log.recorder.command(testCommand(testClient(), name, raw));
      text = await log.close();
      seen.push(/\[redacted 3 bytes #[0-9a-f]{8}\]/.exec(text.slice(text.lastIndexOf('"kind":"command"')))?.[0] ?? '');
    }
    const [first, second, third, fourth] = seen;
    assert.notEqual(first, second);
    assert.equal(first, third);
    assert.equal(first, fourth);
    const starts = parseLines(text).filter((record) => record['action'] === 'start');
    assert.equal(starts.length, 4);
    assert.equal(new Set(starts.map((record) => record['key'])).size, 1);
  });
});

describe('the key of a log', () => {
  test('is made once, and for nobody else to read', (t) => {
    const path = join(scratch(t), 'vm.audit');
    const key = keyOfLog(path);
    assert.equal(key.length, 32);
    assert.equal(statSync(keyPath(path)).mode & 0o777, 0o600);
    assert.deepEqual(Buffer.from(keyOfLog(path)), Buffer.from(key));
    assert.deepEqual(readFileSync(keyPath(path)), Buffer.from(key));
  });

  test('is not taken from a link, a file of another length, or one that others can read', (t) => {
    const folder = scratch(t);
    const elsewhere = join(folder, 'elsewhere');
    writeFileSync(elsewhere, Buffer.alloc(32), { mode: 0o600 });
    const linked = join(folder, 'linked');
    symlinkSync(elsewhere, keyPath(linked));
    assert.throws(() => keyOfLog(linked), { code: 'ELOOP' });
    const short = join(folder, 'short');
    writeFileSync(keyPath(short), 'x', { mode: 0o600 });
    assert.throws(() => keyOfLog(short), /does not hold 32 bytes; remove it/);
    const open = join(folder, 'open');
    keyOfLog(open);
    chmodSync(keyPath(open), 0o644);
    assert.throws(() => keyOfLog(open), /can be read by others/);
  });

  test('that cannot be used is said, and the log is written with one of this start', async (t) => {
    const path = join(scratch(t), 'vm.audit');
    writeFileSync(keyPath(path), 'x', { mode: 0o600 });
    const log = await openTestLog(t, {}, path);
    log.recorder.command(testCommand(testClient(), 'set_password', setPassword('hush')));
    assert.match(log.reports.join('\n'), /warn cannot keep the key for redacted values beside the audit log/);
    const [start, command] = await log.records();
    assert.match(String(start?.['key']), /^[0-9a-f]{8}$/);
    assert.match(JSON.stringify(command?.['message']), /\[redacted 4 bytes #/);
  });
});
