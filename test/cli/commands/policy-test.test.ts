import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startQmpmux } from '../../support/daemon/daemon.js';
import { scratch } from '../../support/files/scratch.js';

async function run(context: TestContext, ...words: readonly string[]) {
  const started = startQmpmux(context, ['policy', 'test', ...words]);
  const { code } = await started.exited;
  return { code, output: started.output, errors: started.errors };
}

describe('qmpmux policy test', () => {
  it('says which rule of a file decides, and shows the verdict by its exit code', async (context) => {
    const file = join(scratch(context), 'rules');
    writeFileSync(file, '# backups\ndeny migrate uri=exec:*\nallow migrate\nallow hmp info block\n');
    const cases: readonly (readonly [words: string[], code: number, output: string])[] = [
      [['migrate', 'uri=tcp:h:1'], 0, 'allowed by: allow migrate\n'],
      [['migrate', 'uri=exec:cat'], 1, 'denied by: deny migrate uri=exec:*\n'],
      [['{"execute":"\\u006digrate","arguments":{"uri":"exec:x"}}'], 1, 'denied by: deny migrate uri=exec:*\n'],
      [['stop'], 1, 'denied: no rule matches (default deny)\n'],
      [['--hmp', ' info  block -v'], 0, 'allowed by: allow hmp info block\n'],
      [['--hmp', 'info', 'status'], 1, 'denied: no hmp rule matches\n'],
      [['-q', 'stop'], 1, ''],
    ];
    for (const [words, code, output] of cases) {
      assert.deepEqual(await run(context, file, ...words), { code, output, errors: '' }, words.join(' '));
    }
  });

  it('names the action of a transaction that is denied, and notes questions a rule leaves open', async (context) => {
    const file = join(scratch(context), 'rules');
    writeFileSync(file, 'default allow\ndeny drive-backup\n');
    const actions = '{"execute":"transaction","arguments":{"actions":[{"type":"drive-backup","data":{}}]}}';
    const note =
      'qmpmux: note: "deny drive-backup" leaves blockdev-backup, which may do the same, open; add "deny blockdev-backup"\n';
    assert.deepEqual(await run(context, file, actions), {
      code: 1,
      output: 'denied by: deny drive-backup, for action "drive-backup" of the transaction\n',
      errors: note,
    });
    assert.equal((await run(context, '-q', file, actions)).errors, '');
    writeFileSync(file, 'default allow\ndeny drive-backup\ndeny blockdev-backup\n');
    assert.equal((await run(context, file, 'stop')).errors, '');
  });

  it('notes the same as config check does of a config, for each policy of it', async (context) => {
    const folder = scratch(context);
    const [file, rules] = [join(folder, 'config.toml'), join(folder, 'rules')];
    writeFileSync(rules, 'default allow\ndeny migrate uri=exec:*\ndeny migrate-incoming uri=exec:*\n');
    writeFileSync(
      file,
      `[monitor.vm]\nupstream = "/q"\nlisten = [{ address = "/m", policy = "a" }, { address = "/n", policy = "${rules}" }]\n` +
        '[policy.a]\nrules = ["allow migrate uri=tcp:10.0.0.*"]\n',
    );
    const started = startQmpmux(context, ['config', 'check', file]);
    assert.equal((await started.exited).code, 0);
    assert.match(
      started.errors,
      /^qmpmux: note: policy a: "allow migrate uri=tcp:10\.0\.0\.\*" also takes a host such as 10\.0\.0\.9\.evil\.example/,
    );
    assert.ok(
      started.errors.includes(
        `note: policy ${rules}: "deny migrate uri=exec:*" leaves the same by migrate-recover open`,
      ),
    );
    assert.doesNotMatch(started.output, /note/);
    const quiet = startQmpmux(context, ['config', 'check', '-q', file]);
    await quiet.exited;
    assert.equal(quiet.errors + quiet.output, '');
  });

  it('takes a policy of a config file, and the one that is built in', async (context) => {
    const file = join(scratch(context), 'config.toml');
    const monitor = '[monitor.vm]\nupstream = "/q"\nlisten = ["/m"]\n';
    writeFileSync(file, `${monitor}[policy.a]\nrules = ["allow stop"]\n[policy.b]\ndefault = "allow"\nrules = []\n`);
    assert.equal((await run(context, file, '--policy', 'a', 'stop')).output, 'allowed by: allow stop\n');
    assert.equal(
      (await run(context, file, '--policy', 'b', 'quit')).output,
      'allowed: no rule matches (default allow)\n',
    );
    assert.match((await run(context, file, 'stop')).errors, /^qmpmux: choose one with --policy: a, b/);
    assert.match((await run(context, file, '--policy', 'c', 'stop')).errors, /has no policy "c" \(known: a, b\)/);
    assert.deepEqual(await run(context, 'read-only', 'query-status'), {
      code: 0,
      output: 'allowed by: allow @read-only\n',
      errors: '',
    });
    assert.equal((await run(context, 'read-only', 'qom-get', 'path=/', 'property=x')).code, 1);
  });

  it('refuses an invalid policy or command', async (context) => {
    const folder = scratch(context);
    const file = join(folder, 'rules');
    writeFileSync(file, 'allow a\npermit b\n');
    assert.deepEqual(await run(context, file, 'stop'), {
      code: 78,
      output: '',
      errors: `qmpmux: ${file}:2: "permit b": a rule begins with allow or deny\n`,
    });
    assert.equal((await run(context, join(folder, 'none'), 'stop')).code, 78);
    assert.equal((await run(context, 'read-only')).code, 64);
    assert.match((await run(context, 'read-only', '{"execute":1}')).errors, /must be a string/);
  });
});
