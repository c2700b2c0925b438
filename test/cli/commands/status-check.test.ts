import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checked, verdictLine } from '../../../dist/cli/commands/inspect/status-check.js';
import { Report } from '../../../dist/cli/screen/json-view.js';
import { percentile } from '../../../dist/cli/screen/latency.js';

const STATUS = {
  monitor: 'vm',
  upstream: { state: 'running', version: '7.2.22', for: 5 },
  clients: 2,
  waiting: 0,
  'in-flight': 0,
  commands: 12,
  errors: 1,
};
const LIMITS = { warning: 10, critical: 60 };

function line(changes: object): string {
  const { code, line: text } = checked(new Report({ ...STATUS, ...changes }), LIMITS);
  return `${code} ${text}`;
}

describe('status --check', () => {
  it('is OK while QEMU is there and answers', () => {
    const figures = 'clients=2 waiting=0 in_flight=0 oldest=0s;10;60;0 commands=12c errors=1c';
    assert.equal(line({}), `0 QMPMUX OK - vm: QEMU 7.2.22, 2 clients | ${figures}`);
    assert.match(line({ 'in-flight': 1, oldest: 9.9 }), /^0 QMPMUX OK/);
  });

  it('warns of a command that has no answer for a while, and more so later', () => {
    assert.match(
      line({ oldest: 10, waiting: 3 }),
      /^1 QMPMUX WARNING - vm: a command has no answer for 10s, 3 waiting behind \|/,
    );
    assert.match(line({ oldest: 60 }), /^2 QMPMUX CRITICAL - vm: a command has no answer for 1m00s/);
  });

  it('warns of a QEMU that gives no sign, and more so later, though nobody waits; not of one that is busy with nothing of theirs', () => {
    const upstream = (health: string, since: number) => ({ ...STATUS.upstream, health, 'health-for': since });
    assert.match(
      line({ upstream: upstream('silent', 30) }),
      /^1 QMPMUX WARNING - vm: no sign of QEMU for 30s, 0 waiting/,
    );
    assert.match(
      line({ upstream: upstream('silent', 60), waiting: 2, 'in-flight': 1, oldest: 12 }),
      /^2 QMPMUX CRITICAL - vm: no sign of QEMU for 1m00s, 3 waiting/,
    );
    assert.match(line({ upstream: upstream('busy', 600) }), /^0 QMPMUX OK/);
    assert.match(line({ upstream: upstream('busy', 600), oldest: 60 }), /^2 .*a command has no answer for 1m00s/);
  });

  it('is CRITICAL while QEMU is not there', () => {
    const upstream = { state: 'lost', reason: 'closed | by QEMU\nitself', for: 3 };
    assert.match(
      line({ upstream }),
      /^2 QMPMUX CRITICAL - vm: no QEMU for 3\.0s \(closed \/ by QEMU\\u000aitself\) \| clients/,
    );
    assert.match(line({ upstream: { state: 'connecting', for: 1 } }), /no QEMU for 1\.0s \(connecting\)/);
  });

  it('stays in its one line', () => {
    assert.deepEqual(verdictLine(3, 'a|b\nc'), { code: 3, line: 'QMPMUX UNKNOWN - a/b c' });
  });
});

describe('a percentile', () => {
  const classes = (...counts: number[]) => counts.map((count, at) => new Report({ below: 2 ** at, count }));

  it('lies within its class as far as the share does', () => {
    assert.equal(percentile(classes(100), 0.5), 0.5);
    assert.equal(percentile(classes(98, 1, 0, 1), 0.49), 0.5);
    assert.equal(percentile(classes(98, 1, 0, 1), 0.99), 2);
    assert.equal(percentile(classes(98, 1, 0, 1), 1), 8);
    assert.equal(percentile(classes(0, 0, 10), 0.5), 3);
    assert.equal(percentile([], 0.5), 0);
  });

  it('does not contradict a mean of its class', () => {
    assert.equal(percentile(classes(0, 0, 10), 0.5, [], 2.1), 2.1);
    assert.equal(percentile(classes(0, 0, 10, 1), 0.5, [], 4.5), 3.1);
  });

  it('covers the time since an earlier look', () => {
    assert.equal(percentile(classes(100, 0, 1), 1, classes(100)), 4);
    assert.equal(percentile(classes(1), 0.5, classes(1)), 0);
  });
});
