/** The rows of options: their types read texts and TOML, and every row is one that a user can find and write. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AUDIT, DAEMON, LOG, METRICS } from '../../../dist/daemon/config/options/daemon.js';
import { LIMITS } from '../../../dist/daemon/config/options/limits.js';
import { LISTENER } from '../../../dist/daemon/config/options/listener.js';
import { MONITOR, MONITOR_PLACES, POLICY } from '../../../dist/daemon/config/options/monitor.js';
import { namesOf, type OptionType, type Rows } from '../../../dist/daemon/config/options/row.js';
import { count, duration, onOff, size } from '../../../dist/daemon/config/options/types.js';

const TABLES: Readonly<Record<string, Rows>> = {
  daemon: DAEMON,
  log: LOG,
  metrics: METRICS,
  audit: AUDIT,
  monitor: { ...MONITOR_PLACES, ...MONITOR },
  limits: LIMITS,
  listener: LISTENER,
  policy: POLICY,
};

function values<T>(type: OptionType<T>, texts: readonly string[]): unknown[] {
  return texts.map((text) => {
    const read = type.fromText(text);
    return 'value' in read ? read.value : null;
  });
}

describe('a value of an option', () => {
  it('is a size in the usual spellings', () => {
    const right = ['0', '100', '64k', '1M', '2GiB', '5 '];
    assert.deepEqual(values(size('no limit'), right), [0, 100, 65536, 1048576, 2147483648, 5]);
    assert.deepEqual(values(size('no limit'), ['', 'k', '1.5k', '-1', '1T']), [null, null, null, null, null]);
  });

  it('is a time in the usual spellings', () => {
    assert.deepEqual(values(duration('never'), ['0', '10', '500ms', '5m', '1h', 'soon']), [
      0,
      10_000,
      500,
      300_000,
      3_600_000,
      null,
    ]);
  });

  it('is 0 only if that means something', () => {
    assert.deepEqual(values(count('no limit'), ['0', '7']), [0, 7]);
    assert.deepEqual(count(null).fromText('0'), { problem: 'must be at least 1; this limit cannot be disabled' });
    assert.deepEqual(size(null).fromToml(0), { problem: 'must be at least 1; this limit cannot be disabled' });
  });

  it('is refused with the values it may have, and its present one', () => {
    assert.deepEqual(onOff.fromText('yes'), { problem: 'must be on or off, not "yes"' });
    assert.deepEqual(onOff.fromToml('yes'), { problem: 'must be true or false, not "yes"' });
    assert.deepEqual(duration('never').fromToml(['1s']), {
      problem: 'must be a time such as 10s, 500ms, 5m or 1h (0: never)',
    });
    const long = onOff.fromText('y'.repeat(100_000));
    assert.ok('problem' in long && long.problem.length < 300);
  });
});

describe('the rows', () => {
  for (const [name, rows] of Object.entries(TABLES)) {
    it(`of ${name} have names of their own, and defaults that are read as they are written`, () => {
      assert.equal(new Set(namesOf(rows)).size, Object.keys(rows).length);
      for (const row of Object.values(rows)) {
        assert.match(row.name, /^[a-z]+(-[a-z]+)*$/);
        assert.match(row.what, /[^.]$/, row.name);
        if (row.default === undefined || row.defaultText !== undefined || Array.isArray(row.default)) continue;
        assert.deepEqual(row.type.fromText(row.type.toText(row.default)), { value: row.default }, row.name);
      }
    });
  }

  it('have flags that only one of them has', () => {
    const flags = Object.values(TABLES).flatMap((rows) => Object.values(rows).flatMap(({ flag }) => flag ?? []));
    assert.deepEqual([...new Set(flags)], flags);
    assert.ok(flags.length > 20);
  });
});
