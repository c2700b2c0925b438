import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { commandHelp, commandList } from '../../../dist/shell/language/command-help.js';
import { recordedSchema } from '../../support/qemu/recorded-schema.js';

const schema = recordedSchema();

describe('help from the schema', () => {
  it('lists the arguments of a command with their types, and which may be left out', () => {
    assert.equal(
      commandHelp(schema, 'block_resize'),
      [
        'block_resize [device=STRING] [node-name=STRING] size=INTEGER',
        '',
        '  device     optional, string',
        '  node-name  optional, string',
        '  size       integer',
      ].join('\n'),
    );
  });

  it('describes the result, whether it may overtake, and deprecated members', () => {
    assert.match(commandHelp(schema, 'query-status') ?? '', /\n\nReturns:\n {2}running {5}boolean\n/);
    assert.match(commandHelp(schema, 'query-block') ?? '', /\n\nReturns a list of objects with:\n {2}device /);
    assert.match(commandHelp(schema, 'migrate-pause') ?? '', /out-of-band/);
    assert.match(commandHelp(schema, 'query-migrationthreads') ?? commandHelp(schema, 'x-query-irq') ?? '', /Unstable/);
  });

  it('lists members that depend on another when that is given', () => {
    const without = commandHelp(schema, 'blockdev-add') ?? '';
    assert.match(without, /There is more, depending on driver: help blockdev-add driver=blkdebug/);
    assert.doesNotMatch(without, /lazy-refcounts/);
    const qcow2 = commandHelp(schema, 'blockdev-add', { driver: 'qcow2', file: { driver: 'nbd' } }) ?? '';
    assert.match(qcow2, /^ {2}lazy-refcounts +optional, boolean$/m);
    assert.match(qcow2, /^ {2}file\.tls-creds +optional, string$/m);
    assert.match(qcow2, /^ {2}cache\.direct +optional, boolean$/m);
  });

  it('names the words of an enum, within the width', () => {
    const text = commandHelp(schema, 'blockdev-add', {}, 60) ?? '';
    assert.match(text, /one of blkdebug, blklogwrites/);
    for (const line of text.split('\n').slice(1)) assert.ok(line.length <= 60 || line.includes('help '), line);
  });

  it('has the data of events, and nothing for an unknown name', () => {
    assert.equal(commandHelp(schema, 'STOP'), 'event STOP');
    assert.match(
      commandHelp(schema, 'BLOCK_JOB_READY') ?? '',
      /^event BLOCK_JOB_READY\n\nData:\n {2}type {4}one of commit/,
    );
    assert.equal(commandHelp(schema, 'no-such'), null);
  });

  it('works for every command and event there is, and the list has them all', () => {
    for (const name of [...schema.commands.keys(), ...schema.events.keys()]) {
      const text = commandHelp(schema, name) ?? '';
      assert.ok(text.includes(name) && text.length < 20_000, name);
    }
    const lines = commandList(schema, 80).split('\n');
    assert.equal(lines.length, schema.commands.size);
    assert.ok(lines.every((line) => line.length <= 80));
    assert.ok(lines.includes('set_link name=STRING up=BOOLEAN'));
  });
});
