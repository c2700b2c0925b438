import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sink } from '../../../dist/audit/log/sink.js';
import { AuditLog } from '../../../dist/audit/write/audit-log.js';

test('the numbers of an audit log show the cost of its failures', async () => {
  let trouble: string | null = null;
  const sink: Sink = {
    name: 'a disk',
    write: () => trouble,
    retry: () => trouble,
    sync: () => null,
    reopen: () => ({ kind: 'same' }),
    close: () => undefined,
  };
  const log = new AuditLog({ sink });
  log.daemon('start');
  assert.equal(log.flush(), null);
  assert.deepEqual(log.figures, { records: 1, isFailing: false, failures: 0, refused: 0, lost: 0, transports: [] });
  trouble = 'no room';
  log.daemon('more');
  assert.match(log.flush() ?? '', /no room/);
  log.countRefused();
  const filler = { text: 'x'.repeat(1024 * 1024) };
  log.daemon('more', filler);
  log.daemon('lost', filler);
  log.daemon('lost', filler);
  assert.deepEqual(log.figures, { records: 3, isFailing: true, failures: 1, refused: 1, lost: 2, transports: [] });
  trouble = null;
  await log.close();
  assert.deepEqual(log.figures.lost, 2);
});
