import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JsonObject, JsonValue } from '../../dist/qmp/json/value.js';
import { type Fault, Schema, type SchemaCommand, type SchemaType } from '../../dist/qmp/schema.js';
import { recordedSchema } from '../support/qemu/recorded-schema.js';

function read(entities: JsonValue): Schema {
  const schema = Schema.read(entities);
  assert.ok(schema !== null);
  return schema;
}

const schema = recordedSchema();

function command(name: string): SchemaCommand {
  const found = schema.commands.get(name);
  assert.ok(found !== undefined, name);
  return found;
}

/** Faults in one line each: `keys[0].data type integer`. */
function faults(name: string, args: JsonObject): string[] {
  return schema.check(command(name), args).map((fault: Fault) => {
    const detail = fault.kind === 'type' ? ` ${fault.expected}` : fault.kind === 'value' ? ` ${fault.value}` : '';
    return `${fault.path.join('.')} ${fault.kind}${detail}`;
  });
}

function typeAt(name: string, path: (string | number)[], args: JsonObject = {}): SchemaType | null {
  return schema.typeAt(command(name), path, args);
}

function names(type: SchemaType | null, value: JsonObject = {}): string[] {
  assert.ok(type !== null);
  return schema.members(type, value).map(({ name }) => name);
}

describe('the schema', () => {
  it('knows commands, their return types, which may overtake, and which are deprecated', () => {
    assert.ok(schema.commands.size > 200);
    assert.deepEqual(
      [...schema.commands.values()]
        .filter(({ allowsOob }) => allowsOob)
        .map(({ name }) => name)
        .sort(),
      ['migrate-pause', 'migrate-recover', 'query-yank', 'yank'],
    );
    assert.deepEqual(names(schema.type(command('query-status').returns)), ['running', 'singlestep', 'status']);
    assert.equal(schema.describe(schema.type(command('query-cpus-fast').returns)), '[object]');
    const deprecated = [...schema.commands.values()].filter(({ features }) => features.includes('deprecated'));
    assert.ok(deprecated.length > 0);
    assert.equal(schema.commands.get('no-such'), undefined);
  });

  it('knows events and their data', () => {
    const shutdown = schema.events.get('SHUTDOWN');
    assert.ok(shutdown !== undefined);
    assert.deepEqual(names(schema.type(shutdown.data)), ['guest', 'reason']);
    const reason = schema.members(schema.type(shutdown.data), {}).find(({ name }) => name === 'reason');
    assert.ok(schema.words(schema.type(reason?.type ?? '')).includes('host-qmp-quit'));
  });

  it('distinguishes required members from optional ones, and deprecated ones', () => {
    const members = schema.members(schema.type(command('block_set_io_throttle').arguments), {});
    assert.deepEqual(
      members.filter(({ optional }) => !optional).map(({ name }) => name),
      ['bps', 'bps_rd', 'bps_wr', 'iops', 'iops_rd', 'iops_wr'],
    );
    assert.deepEqual(members.find(({ name }) => name === 'device')?.features, ['deprecated']);
  });

  it('describes types in a few words', () => {
    const members = new Map(
      schema
        .members(schema.type(command('migrate-set-parameters').arguments), {})
        .map(({ name, type }) => [name, schema.describe(schema.type(type))]),
    );
    assert.equal(members.get('max-bandwidth'), 'integer');
    assert.equal(members.get('tls-creds'), 'string | null');
    assert.equal(members.get('block-bitmap-mapping'), '[object]');
    assert.equal(members.get('multifd-compression'), 'enum');
    assert.equal(schema.describe(typeAt('qom-set', ['value']) ?? { kind: 'any' }), 'any');
  });
});

describe('checking arguments against the schema', () => {
  it('passes values that QEMU takes', () => {
    assert.deepEqual(faults('query-status', {}), []);
    assert.deepEqual(
      faults('blockdev-add', {
        driver: 'qcow2',
        'node-name': 'd',
        file: { driver: 'file', filename: '/d', cache: { direct: true } },
      }),
      [],
    );
    assert.deepEqual(faults('blockdev-add', { driver: 'qcow2', file: 'node', backing: null }), []);
    assert.deepEqual(
      faults('send-key', {
        keys: [
          { type: 'qcode', data: 'ctrl' },
          { type: 'number', data: 5 },
        ],
      }),
      [],
    );
    assert.deepEqual(
      faults('migrate-set-parameters', { 'max-bandwidth': 18446744073709551615n, 'tls-creds': null }),
      [],
    );
    assert.deepEqual(faults('qom-set', { path: '/', property: 'x', value: { any: ['thing', null] } }), []);
  });

  it('names the member that is wrong, and how, however deep it lies', () => {
    assert.deepEqual(faults('qom-list', {}), ['path missing']);
    assert.deepEqual(faults('qom-list', { path: 1, x: 2 }), ['path type string', 'x unexpected']);
    assert.deepEqual(faults('query-status', { x: 2 }), ['x unexpected']);
    assert.deepEqual(faults('set_link', { name: 'n', up: 'yes' }), ['up type boolean']);
    assert.deepEqual(
      faults('send-key', { keys: [{ type: 'qcode', data: 'zz' }, 5, { type: 'number', data: 1.5, y: 1 }] }),
      ['keys.0.data value zz', 'keys.1 type object', 'keys.2.data type integer', 'keys.2.y unexpected'],
    );
    assert.deepEqual(faults('blockdev-add', { driver: 'qcow2', file: { driver: 'file', filename: 1 } }), [
      'file.filename type string',
    ]);
    assert.deepEqual(faults('blockdev-add', { driver: 'qcow2', file: 5 }), ['file type alternate']);
    assert.deepEqual(faults('balloon', { value: 2n ** 64n }), ['value type integer']);
    assert.deepEqual(faults('migrate-set-capabilities', { capabilities: {} }), ['capabilities type array']);
  });

  it('says nothing of a variant while its tag is wrong', () => {
    assert.deepEqual(faults('blockdev-add', { driver: 'zzz', filename: 1 }), ['driver value zzz']);
    assert.deepEqual(faults('blockdev-add', { filename: 1 }), ['driver missing']);
  });

  it('offers known words in place of unknown ones', () => {
    const [unexpected] = schema.check(command('qom-list'), { path: '/', pth: 1 });
    assert.deepEqual(unexpected?.kind === 'unexpected' ? unexpected.known : null, ['path']);
    const [value] = schema.check(command('blockdev-add'), { driver: 'qcow3' });
    assert.ok(value?.kind === 'value' && value.known.includes('qcow2'));
  });

  it('is not fooled by names that every JavaScript object has', () => {
    assert.deepEqual(faults('qom-list', { path: '/', constructor: 1, ['__proto__']: 2 }).sort(), [
      '__proto__ unexpected',
      'constructor unexpected',
    ]);
    assert.deepEqual(faults('blockdev-add', { driver: 'toString' }), ['driver value toString']);
  });
});

describe('completing arguments from the schema', () => {
  it('finds the type at a path, by the tags that are there already', () => {
    assert.ok(names(typeAt('blockdev-add', [])).includes('filename'));
    const args = { driver: 'qcow2', file: { driver: 'nbd' } };
    assert.ok(!names(typeAt('blockdev-add', [], args), args).includes('filename'));
    assert.ok(names(typeAt('blockdev-add', ['file'], args), args.file).includes('export'));
    assert.deepEqual(names(typeAt('blockdev-add', ['file', 'server'], args), { type: 'unix' }), [
      'type',
      'path',
      'abstract',
      'tight',
    ]);
    assert.deepEqual(schema.words(typeAt('blockdev-add', ['file', 'server', 'type'], args) ?? { kind: 'any' }), [
      'inet',
      'unix',
      'vsock',
      'fd',
    ]);
    assert.ok(
      schema
        .words(typeAt('send-key', ['keys', 0, 'data'], { keys: [{ type: 'qcode' }] }) ?? { kind: 'any' })
        .includes('ctrl'),
    );
    assert.deepEqual(schema.words(typeAt('set_link', ['up']) ?? { kind: 'any' }), ['true', 'false']);
  });

  it('finds nothing if a path leads out of the schema', () => {
    assert.equal(typeAt('qom-list', ['nothing']), null);
    assert.equal(typeAt('qom-list', ['path', 'deeper']), null);
    assert.equal(typeAt('send-key', ['keys', 'zero']), null);
    assert.deepEqual(typeAt('qom-set', ['value', 'whatever', 3]), { kind: 'any' });
  });
});

describe('reading a schema', () => {
  it('refuses a value that is none', () => {
    for (const value of [null, 1, {}, [], [1], [{ name: 5 }]]) assert.equal(Schema.read(value), null);
  });

  it('takes unknown parts for anything', () => {
    const odd = read([
      { name: 'c', 'meta-type': 'command', 'arg-type': '1', 'ret-type': 'gone' },
      {
        name: '1',
        'meta-type': 'object',
        members: [
          { name: 'a', type: 'new' },
          { name: 'b', type: 'gone' },
          { name: 'c', type: 'float' },
        ],
      },
      { name: 'new', 'meta-type': 'from the future' },
      { name: 'float', 'meta-type': 'builtin', 'json-type': 'complex' },
    ]);
    const found = odd.commands.get('c');
    assert.ok(found !== undefined);
    assert.deepEqual(odd.check(found, { a: 1, b: [], c: {} }), []);
  });

  it('reads enums of QEMUs before 6.2, which have values only', () => {
    assert.deepEqual(read([{ name: 'e', 'meta-type': 'enum', values: ['a', 'b'] }]).type('e'), {
      kind: 'enum',
      values: [
        { name: 'a', features: [] },
        { name: 'b', features: [] },
      ],
    });
  });

  it('ends even if types go round in circles', () => {
    const circle = read([
      { name: 'c', 'meta-type': 'command', 'arg-type': '1', 'ret-type': '1' },
      {
        name: '1',
        'meta-type': 'object',
        members: [{ name: 't', type: 'e' }],
        tag: 't',
        variants: [{ case: 'x', type: '1' }],
      },
      { name: 'e', 'meta-type': 'enum', members: [{ name: 'x' }] },
    ]);
    const found = circle.commands.get('c');
    assert.ok(found !== undefined);
    assert.deepEqual(circle.check(found, { t: 'x' }), []);
  });
});
