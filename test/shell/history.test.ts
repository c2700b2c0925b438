import assert from 'node:assert/strict';
import {
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { historyFile, MOST_LINES, ShellHistory } from '../../dist/shell/history.js';
import { isSecret } from '../../dist/shell/secrets.js';
import { scratch } from '../support/files/scratch.js';

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

  it('of root is not kept in a home of another user, where a link could lead anywhere', (t) => {
    if (process.geteuid?.() !== 0) return t.skip('only root can give files away');
    const others = 4711;
    const folder = scratch(t);
    const victim = join(folder, 'victim');
    const bait = [
      ['the home is theirs', (home: string) => chownSync(home, others, others)],
      ['the folder is a link of theirs', (home: string) => theirLink(folder, join(home, 'state'))],
      ['the file is a link of theirs', (home: string) => theirLink(victim, join(home, 'history'), 'state')],
      ['the file is theirs', (home: string) => theirFile(join(home, 'state/history'))],
    ] as const;
    const theirLink = (target: string, path: string, below = '') => {
      const at = below === '' ? path : join(dirname(path), below, 'history');
      if (below !== '') mkdirSync(dirname(at));
      symlinkSync(target, at);
      lchownSync(at, others, others);
    };
    const theirFile = (path: string) => {
      mkdirSync(dirname(path));
      writeFileSync(path, 'secret\n', { mode: 0o644 });
      chownSync(path, others, others);
    };
    for (const [index, [what, lay]] of bait.entries()) {
      const home = join(folder, String(index));
      mkdirSync(home);
      lay(home);
      const told: string[] = [];
      const history = new ShellHistory(join(home, 'state/history'), (problem) => told.push(problem));
      history.append('stop');
      assert.deepEqual(history.lines, [], what);
      assert.match(told.join('\n'), /^no history is kept: .* belongs to the user with uid 4711/, what);
      assert.equal(existsSync(victim) || existsSync(join(folder, 'history')), false, what);
      if (what === 'the file is theirs') assert.equal(statSync(join(home, 'state/history')).mode & 0o777, 0o644);
    }
  });

  it('that is a link of one’s own is kept where that leads', (t) => {
    const folder = scratch(t);
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'history'));
    new ShellHistory(join(folder, 'history')).append('stop');
    assert.deepEqual(new ShellHistory(join(folder, 'elsewhere')).lines, ['stop']);
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
