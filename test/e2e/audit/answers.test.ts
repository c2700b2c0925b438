/**
 * What QEMU tells of a secret that it was given: by every command whose answer can carry it, and none of it is in the audit log. Each QEMU's
 * own schema and its own `help info` say which commands there are.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Scope, scratch } from '../../support/files/scratch.js';
import { missing } from '../../support/qemu/qemu.js';
import { shareVm } from '../../support/qemu/shared-vm.js';
import { parseLines } from '../../support/text/audit.js';
import { RawClient } from '../../support/world/raw-client.js';

const SECRET = 'hush-hush-0123456789';
/** Sixty-four characters, as an applesmc wants. */
const OSK = 'hush-osk-'.padEnd(64, 'abcdefgh');
/** The secrets as they were given, and the first in base64. */
const FORMS = [SECRET, Buffer.from(SECRET).toString('base64').slice(0, -2), OSK];

/** An item of a schema, or of what `qom-list` lists. */
interface Entry {
  readonly name: string;
  readonly type?: string;
  readonly 'meta-type'?: string;
  readonly 'arg-type'?: string;
  readonly members?: readonly { readonly name?: string; readonly default?: null }[];
}

interface Asker {
  /** @returns the answer */
  (name: string, args?: object): Promise<string>;
}

async function asker(scope: Scope, target: string): Promise<Asker> {
  const client = await RawClient.negotiated(target);
  scope.after(() => client.close());
  let last = 0;
  return async (name, args = {}) => {
    const id = ++last;
    await client.write(JSON.stringify({ execute: name, arguments: args, id }));
    return (
      (await client.readLinesUntil((line) => line.endsWith(`"id": ${id}}`) || line.startsWith(`{"id": ${id},`))).at(
        -1,
      ) ?? ''
    );
  };
}

/** The value of `return`; nothing for an error. */
function returned(answer: string): unknown {
  const reply: { readonly return?: unknown } = JSON.parse(answer);
  return reply.return;
}

/** The items of a list that has some, whose shape is QEMU's promise. */
function listed(answer: string): readonly Entry[] {
  const items = returned(answer);
  return Array.isArray(items) ? (items as Entry[]) : [];
}

describe('the audit log', { skip: missing('qemu') }, () => {
  test('has no secret of an answer, whatever command tells it', async (t) => {
    const log = join(scratch(t), 'audit');
    const vm = await shareVm(t, {
      machine: 'q35',
      name: 'vm',
      extraArgs: ['-device', `isa-applesmc,osk=${OSK}`, '-object', `secret,id=s,data=${SECRET}`],
      flags: ['--audit', log],
    });
    const ask = await asker(t, vm.target);
    const telling = new Set<string>();
    const look = async (what: string, name: string, args?: object) => {
      const answer = await ask(name, args);
      if (FORMS.some((form) => answer.includes(form))) telling.add(what);
      return answer;
    };
    const base64 = Buffer.from(SECRET).toString('base64');
    const added = { 'qom-type': 'secret', id: 'added', data: base64, format: 'base64' };
    assert.match(await ask('object-add', added), /"return"/);

    // every property of what holds a secret, by its name and all at once
    const anonymous = listed(await ask('qom-list', { path: '/machine/peripheral-anon' })).find(
      ({ type }) => type?.includes('applesmc') === true,
    )?.name;
    const paths = ['/objects/s', '/objects/added', `/machine/peripheral-anon/${anonymous}`];
    for (const path of paths) {
      const properties = listed(await look('qom-list', 'qom-list', { path }));
      assert.ok(properties.length > 1, path);
      for (const { name: property } of properties) {
        await look('qom-get', 'qom-get', { path, property });
        await look('HMP qom-get', 'human-monitor-command', { 'command-line': `qom-get ${path} ${property}` });
      }
    }
    await look('qom-list-get', 'qom-list-get', { paths });
    await look('qom-list-properties', 'qom-list-properties', { typename: 'secret' });
    await look('device-list-properties', 'device-list-properties', { typename: 'isa-applesmc' });

    // everything that asks for nothing more than its name
    const schema = listed(await ask('query-qmp-schema'));
    const types = new Map(schema.map((entry) => [entry.name, entry]));
    const needsNothing = (entry: Entry) =>
      (types.get(entry['arg-type'] ?? '')?.members ?? []).every((member) => 'default' in member);
    const queries = schema.filter(
      (entry) =>
        entry['meta-type'] === 'command' && /^(x-)?(query|qom-list|info)/.test(entry.name) && needsNothing(entry),
    );
    assert.ok(queries.length > 40);
    for (const { name } of queries) await look(name, name);
    const help = String(returned(await ask('human-monitor-command', { 'command-line': 'help info' })));
    const subcommands = [...help.matchAll(/^info ([\w-]+)/gm)].map(([, name = '']) => name);
    assert.ok(subcommands.length > 30);
    for (const name of subcommands) {
      await look(`HMP info ${name}`, 'human-monitor-command', { 'command-line': `info ${name}` });
    }

    t.diagnostic(`QEMU ${vm.qemu.version} tells it by ${[...telling].join(', ')}`);
    // without these nothing was looked for
    for (const name of ['qom-get', 'HMP qom-get', 'HMP info qtree']) assert.ok(telling.has(name), name);
    if (schema.some(({ name }) => name === 'qom-list-get')) assert.ok(telling.has('qom-list-get'));

    await vm.daemon.stop();
    const records = parseLines(readFileSync(log, 'utf8'));
    assert.ok(records.length > 200);
    for (const record of records) {
      const text = JSON.stringify(record);
      const found = FORMS.find((form) => text.includes(form));
      assert.equal(found, undefined, text.slice(0, 500));
    }
  });
});
