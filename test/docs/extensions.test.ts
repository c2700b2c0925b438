import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { EXTENSION_COMMANDS } from '../../dist/mux/admin/extension.js';
import { MOST_LISTED, MOST_LISTED_OF_ONE } from '../../dist/mux/admin/extension-report.js';
import { MOST_EVENT_BYTES, MOST_EVENTS } from '../../dist/mux/events/ring.js';
import { World } from '../support/world/world.js';

const page = readFileSync('docs/reference/extensions.md', 'utf8');

/** A chapter of the page. */
function chapter(title: string): string {
  const [, text] = page.split(`\n### ${title}\n`);
  assert.ok(text !== undefined, title);
  return text.split('\n### ')[0] ?? '';
}

/** What a client of a world with a little of everything is told. */
function asked(name: string): unknown {
  const services = { version: '1', upstream: 'u', instance: 'i', listeners: () => [], reload: null };
  const world = World.running({ mux: { services } });
  const peer = { kind: 'unix', pid: 1, uid: 2, gid: 3, program: 'p' } as const;
  const busy = world.client('unix:/l', peer).negotiate();
  busy.send('{"execute":"first"}');
  world.qemu.returns();
  busy.send('{"execute":"a"}{"execute":"b"}{"execute":"c"}{"execute":"d"}');
  world.client('tcp:[::1]:1', { kind: 'tcp', address: '::1', port: 2, subject: 's' });
  const client = world.client('unix:/l', peer, { extensions: true }).negotiate();
  const [line = ''] = client.send(`{"execute":"__org.qmpmux_${name}"}`);
  return JSON.parse(line).return;
}

/** The names of all members, of those within them too. */
function names(value: unknown): Set<string> {
  if (Array.isArray(value)) return new Set(value.flatMap((item) => [...names(item)]));
  if (typeof value !== 'object' || value === null) return new Set();
  return new Set(Object.entries(value).flatMap(([name, inner]) => [name, ...names(inner)]));
}

describe('the page on extension commands', () => {
  it('has every command in its table, and no other', () => {
    const rows = [...page.matchAll(/^\| `(__org\.qmpmux_[\w-]+)` \|/gm)].map(([, name = '']) => name);
    assert.deepEqual(new Set(rows), new Set(EXTENSION_COMMANDS));
    assert.equal(rows.length, EXTENSION_COMMANDS.length);
  });

  for (const query of ['query-status', 'query-clients', 'query-queue', 'query-events']) {
    it(`has every member of what ${query} returns`, () => {
      // Peers are described once.
      const text = chapter(query) + (query === 'query-queue' ? chapter('query-clients') : '');
      const report = asked(query);
      // They are described as one.
      const groups = query === 'query-status' ? ['counters', 'traffic'] : [];
      const left = typeof report === 'object' && report !== null && !Array.isArray(report) ? { ...report } : report;
      for (const group of groups) if (typeof left === 'object' && left !== null) Reflect.set(left, group, null);
      for (const name of names(left))
        assert.ok(text.includes(`\`${name}\``) || text.includes(`"${name}"`), `${query}: ${name}`);
    });
  }

  it('tells the caps', () => {
    assert.ok(page.includes(`The latest ${MOST_EVENTS} are kept, ${MOST_EVENT_BYTES / 1024 ** 2} MiB`));
    assert.ok(page.includes(`up to ${MOST_LISTED_OF_ONE} of a client and ${MOST_LISTED} in all`));
  });
});
