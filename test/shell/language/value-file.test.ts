/** `exec` and the shell take secrets from files, which nobody sees in /proc. */
import assert from 'node:assert/strict';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { ShellLineReader } from '../../../dist/shell/language/command-syntax.js';
import { valueReader } from '../../../dist/shell/language/value-file.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';

describe('a value @FILE', () => {
  const read = (value: string, hasInput = true) => {
    const parsed = new ShellLineReader(null, valueReader(hasInput)).readWords(['object-add', `data=${value}`]);
    return parsed.kind === 'command' ? parsed.arguments['data'] : parsed.kind === 'malformed' ? parsed.message : null;
  };

  it('is the text in the file, always text, without the line feed at its end', (t) => {
    const file = join(scratch(t), 'key');
    for (const [content, value] of [
      ['s3cret', 's3cret'],
      ['s3cret\n', 's3cret'],
      ['s3cret\r\n', 's3cret'],
      ['two\nlines\n\n', 'two\nlines\n'],
      ['5', '5'],
      ['true', 'true'],
      ['{"a": 1}', '{"a": 1}'],
      ['"quoted" and = and @', '"quoted" and = and @'],
      ['', ''],
    ] as const) {
      writeFileSync(file, content);
      assert.equal(read(`@${file}`), value);
    }
  });

  it('begins with @@ where the text itself begins with an @', () => {
    assert.equal(read('@@home'), '@home');
    assert.equal(read('@@'), '@');
    assert.equal(read('a@b'), 'a@b');
  });

  it('names the fault of the file', (t) => {
    const folder = scratch(t);
    assert.match(JSON.stringify(read(`@${folder}/none`)), /^"data: ENOENT/);
    assert.match(JSON.stringify(read(`@${folder}`)), /^"data: EISDIR/);
    assert.match(JSON.stringify(read('@')), /^"data: a file name is missing/);
    assert.match(JSON.stringify(read('@-', false)), /^"data: standard input already holds the commands/);
    writeFileSync(join(folder, 'binary'), Buffer.from([0xff, 0xfe]));
    assert.match(JSON.stringify(read(`@${folder}/binary`)), /^"data: .* is not UTF-8/);
  });

  it('has a bound, also where the file has none', (t) => {
    const endless = join(scratch(t), 'endless');
    symlinkSync('/dev/zero', endless);
    assert.match(JSON.stringify(read(`@${endless}`)), /^"data: .* is longer than 1048576 bytes/);
  });

  it('is text like any other where nobody reads files', () => {
    const parsed = new ShellLineReader().readWords(['x', 'a=@b']);
    assert.deepEqual(parsed.kind === 'command' ? parsed.arguments : null, { a: '@b' });
  });
});

describe('exec', { skip: missing('qemu') }, () => {
  const scope = suiteScope();
  let monitor = '';
  before(async () => {
    monitor = (await startQemu(scope)).monitor;
  });

  it('makes a secret of the content of standard input or a file', async (t) => {
    const file = join(scratch(t), 'key');
    writeFileSync(file, 'from the file\n');
    for (const [value, input, expected] of [
      [`@${file}`, '', 'from the file'],
      ['@-', 'from standard input\n', 'from standard input'],
    ] as const) {
      const made = await runQmpmux(['exec', monitor, 'object-add', 'qom-type=secret', 'id=s0', `data=${value}`], {
        input,
      });
      assert.equal(made.code, 0, made.errors);
      const got = await runQmpmux(['exec', monitor, 'qom-get', 'path=/objects/s0', 'property=data', '--return-value']);
      assert.equal(got.output, `${JSON.stringify(expected)}\n`);
      await runQmpmux(['exec', monitor, 'object-del', 'id=s0']);
    }
  });
});
