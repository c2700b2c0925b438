import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { historyFile, MOST_LINES, ShellHistory } from '../../dist/cli/shell-history.js';
import { isSecret } from '../../dist/cli/shell-secrets.js';
import { scratch } from '../support/scratch.js';

describe('the history', () => {
  it('is kept from session to session, the newest first, for nobody else to read', (t) => {
    const file = join(scratch(t), 'state/qmpmux/history');
    const first = new ShellHistory(file);
    assert.deepEqual(first.lines, []);
    first.append('stop');
    new ShellHistory(file).append('cont');
    first.append('query-status');
    assert.deepEqual(new ShellHistory(file).lines, ['query-status', 'cont', 'stop']);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(join(file, '..')).mode & 0o777, 0o700);
  });

  it('is bounded', (t) => {
    const file = join(scratch(t), 'history');
    writeFileSync(file, Array.from({ length: MOST_LINES + 500 }, (_, index) => `line ${index}\n`).join(''), {
      mode: 0o644,
    });
    const { lines } = new ShellHistory(file);
    assert.equal(lines.length, MOST_LINES);
    assert.equal(lines[0], `line ${MOST_LINES + 499}`);
    assert.equal(readFileSync(file, 'utf8').split('\n').length, MOST_LINES + 1);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  it('that cannot be read or written is none', (t) => {
    const folder = join(scratch(t), 'folder');
    mkdirSync(folder);
    const history = new ShellHistory(folder);
    history.append('stop');
    assert.deepEqual(history.lines, []);
  });

  it('reads the end of a file that is longer than it should be, and no line that would act on a terminal', (t) => {
    const file = join(scratch(t), 'history');
    writeFileSync(file, `${`${'x'.repeat(1023)}\n`.repeat(4096)}a\u001b[8mb\nquery-status\n`);
    const { lines } = new ShellHistory(file);
    assert.equal(lines[0], 'query-status');
    assert.equal(lines[1], 'x'.repeat(1023));
    assert.ok(statSync(file).size <= 1024 * 1024);
  });

  it('that cannot be made says so once, and is not tried for ever', () => {
    for (const file of ['/proc/self/a/b/c/history', '/proc/1/history', null]) {
      const told: string[] = [];
      const history = new ShellHistory(file, (problem) => told.push(problem));
      history.append('stop');
      history.append('cont');
      assert.equal(told.length, 1, told.join());
    }
  });

  it('lies where XDG_STATE_HOME says, if that is an absolute path', (t) => {
    const before = process.env['XDG_STATE_HOME'];
    t.after(() => {
      if (before === undefined) delete process.env['XDG_STATE_HOME'];
      else process.env['XDG_STATE_HOME'] = before;
    });
    process.env['XDG_STATE_HOME'] = '/state';
    assert.equal(historyFile('history'), '/state/qmpmux/history');
    process.env['XDG_STATE_HOME'] = 'state';
    assert.match(historyFile('history') ?? '', /\/\.local\/state\/qmpmux\/history$/);
  });

  it('has no lines with secrets in them, also where they were mistyped', async () => {
    const password = '{"execute":"set_password","arguments":{"protocol":"vnc","password":"hunter2"}}';
    assert.equal(await isSecret({ name: 'set_password', json: password }, ''), true);
    assert.equal(await isSecret({ name: 'query-status', json: '{"execute":"query-status"}' }, 'query-status'), false);
    const hmp = '{"execute":"human-monitor-command","arguments":{"command-line":"set_password vnc hunter2"}}';
    assert.equal(await isSecret({ name: 'human-monitor-command', json: hmp }, ''), true);
    for (const line of ['qom-set/objects/s data hunter2', 'set_password "vnc"hunter2', 'set_pasword vnc hunter2']) {
      const json = JSON.stringify({ execute: 'human-monitor-command', arguments: { 'command-line': line } });
      assert.equal(await isSecret({ name: 'human-monitor-command', json }, ''), true, line);
      assert.equal(await isSecret(null, line), true, line);
      assert.equal(await isSecret(null, `.hmp ${line}`), true, line);
    }
    assert.equal(await isSecret(null, 'set_pasword protocol=vnc password=hunter2'), true);
    assert.equal(await isSecret(null, 'query-statu'), false);
    assert.equal(await isSecret(null, 'help block_resize'), false);
  });
});
