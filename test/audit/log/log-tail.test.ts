import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readPredecessor, readTail, type Tail } from '../../../dist/audit/log/log-tail.js';
import { missing } from '../../support/daemon/programs.js';
import { LogText } from '../../support/files/log-file.js';
import { scratch } from '../../support/files/scratch.js';
import { assertLinear } from '../../support/text/work.js';

function tailOf(path: string): Tail {
  const fd = openSync(path, 'r');
  try {
    return readTail(fd);
  } finally {
    closeSync(fd);
  }
}

function sample(): LogText {
  const log = new LogText(0, 1000, { isChained: true });
  log.start();
  log.reply(log.command('stop'));
  return log;
}

describe('the end of a log', () => {
  test('is its last record, however long that is', (t) => {
    const path = join(scratch(t), 'audit.log');
    for (const length of [1, 100_000, 3_000_000]) {
      const log = sample();
      log.command('large', { given: { filler: 'x'.repeat(length) } });
      writeFileSync(path, log.text);
      assert.deepEqual(
        tailOf(path),
        { head: { seq: 4, hash: log.hash }, torn: null, looksTorn: false },
        String(length),
      );
    }
  });

  test('is found before anything that is no record, and its number can be continued', (t) => {
    const path = join(scratch(t), 'audit.log');
    const log = sample();
    const head = { seq: 3, hash: log.hash };
    const strange = [
      '',
      'x',
      '{"v":1,"seq":1e999}',
      '{"v":1,"seq":-5}',
      '{"v":1,"seq":1.5}',
      '{"v":1,"seq":9007199254740993}',
      `{"v":1,"seq":7,${' '.repeat(2_000_000)}`,
    ];
    for (const line of strange) {
      writeFileSync(path, `${log.text}${line}\n`);
      assert.deepEqual(tailOf(path).head, head, line.slice(0, 50));
    }
  });

  test('costs work in proportion to the bytes after it', (t) => {
    const folder = scratch(t);
    assertLinear(200_000, (size) => {
      const path = join(folder, `lines${size}`);
      writeFileSync(path, sample().text + '\n'.repeat(size));
      return () => {
        assert.equal(tailOf(path).head?.seq, 3);
      };
    });
    assertLinear(2_000_000, (size) => {
      const path = join(folder, `line${size}`);
      writeFileSync(path, `${sample().text}${'x'.repeat(size)}\n`);
      return () => {
        assert.equal(tailOf(path).head?.seq, 3);
      };
    });
  });

  test('is found in a rotated file, whatever compressed that', { skip: missing('xz', 'zstd', 'gzip') }, async (t) => {
    for (const program of ['gzip', 'xz', 'zstd']) {
      const path = join(scratch(t), 'audit.log');
      const log = sample();
      writeFileSync(`${path}.1`, log.text);
      assert.equal(spawnSync(program, [...(program === 'zstd' ? ['--rm'] : []), '-q', `${path}.1`]).status, 0);
      assert.deepEqual(await readPredecessor(path), { seq: 3, hash: log.hash }, program);
    }
  });
});
