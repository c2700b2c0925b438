import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { faultText } from '../../../dist/client/fault-text.js';
import type { JsonObject } from '../../../dist/qmp/json/value.js';
import { ShellLineReader } from '../../../dist/shell/language/command-syntax.js';
import { type Completion, complete } from '../../../dist/shell/language/completion.js';
import { recordedSchema } from '../../support/qemu/recorded-schema.js';

const schema = recordedSchema();

/** `|` is the cursor. */
function at(marked: string, actions: readonly JsonObject[] | null = null): Completion {
  const cursor = marked.indexOf('|');
  return complete(schema, marked.replace('|', ''), cursor, actions);
}

/** What the line would be with each of the candidates, up to the cursor. */
function offers(marked: string, actions: readonly JsonObject[] | null = null): string[] {
  const { from, candidates } = at(marked, actions);
  return candidates.map(({ text }) => marked.slice(0, from) + text);
}

describe('completion', () => {
  it('offers commands', () => {
    assert.deepEqual(offers('query-st|'), ['query-stats', 'query-stats-schemas', 'query-status']);
    assert.deepEqual(offers('tran|'), ['transaction', 'transaction(']);
    assert.deepEqual(offers('  query-statu| foo'), ['  query-status']);
    assert.ok(offers('|').length > 200);
    assert.deepEqual(offers('zzz|'), []);
    assert.deepEqual(offers('{"execute|'), []);
  });

  it('offers arguments that are not there yet', () => {
    assert.deepEqual(offers('set_link |'), ['set_link name=', 'set_link up=']);
    assert.deepEqual(offers('set_link name=x u|'), ['set_link name=x up=']);
    assert.deepEqual(offers('set_link name=x n|'), []);
    assert.ok(at('set_link |').candidates.every(({ goesOn }) => goesOn));
    assert.deepEqual(offers('query-status |'), []);
  });

  it('offers required arguments first, and marks them', () => {
    assert.deepEqual(offers('block_resize |'), [
      'block_resize size=',
      'block_resize device=',
      'block_resize node-name=',
    ]);
    assert.deepEqual(
      at('block_resize |').candidates.map(({ isRequired = false }) => isRequired),
      [true, false, false],
    );
    const [first = '', ...others] = offers('blockdev-add |');
    assert.equal(first, 'blockdev-add driver=');
    assert.ok(
      others.includes('blockdev-add node-name=') && !others.some((line) => line.endsWith(' file=')),
      others.join(),
    );
    // What depends on the driver is offered to those who begin to type it.
    assert.ok(offers('blockdev-add fil|').includes('blockdev-add file='));
    assert.equal(offers('blockdev-add driver=qcow2 file.|')[0], 'blockdev-add driver=qcow2 file.driver=');
    assert.equal(offers('blockdev-add driver=qcow2 |')[0], 'blockdev-add driver=qcow2 file.');
  });

  it('offers nothing for a command that is not there', () => {
    assert.deepEqual(offers('no-such |'), []);
  });

  it('offers members at a dotted path, by the variants that were chosen', () => {
    assert.deepEqual(offers('blockdev-add driver=file fi|'), ['blockdev-add driver=file filename=']);
    assert.deepEqual(offers('blockdev-add driver=qcow2 fil|'), [
      'blockdev-add driver=qcow2 file.',
      'blockdev-add driver=qcow2 file=',
    ]);
    assert.deepEqual(offers('blockdev-add driver=qcow2 file.driver=file file.filen|'), [
      'blockdev-add driver=qcow2 file.driver=file file.filename=',
    ]);
    assert.deepEqual(offers('blockdev-add driver=nbd server.type=unix server.p|'), [
      'blockdev-add driver=nbd server.type=unix server.path=',
    ]);
    assert.deepEqual(offers('blockdev-add driver=null-co cache.d|'), ['blockdev-add driver=null-co cache.direct=']);
    assert.deepEqual(offers('blockdev-add nowhere.d|'), []);
  });

  it('offers the words that a value can be', () => {
    assert.deepEqual(offers('blockdev-add driver=qc|'), ['blockdev-add driver=qcow', 'blockdev-add driver=qcow2']);
    assert.deepEqual(offers('set_link name=x up=|'), ['set_link name=x up=true', 'set_link name=x up=false']);
    assert.deepEqual(offers('blockdev-add driver=qcow2 file.driver=fil|'), [
      'blockdev-add driver=qcow2 file.driver=file',
    ]);
    assert.deepEqual(offers('qom-list path=/ma|'), []);
  });

  it('reports the kind of word being typed where only the VM knows the words', () => {
    assert.deepEqual(at('qom-list path=/ma|').context, {
      kind: 'value',
      command: 'qom-list',
      path: ['path'],
      type: { kind: 'scalar', scalar: 'string' },
      text: '/ma',
      arguments: {},
    });
    assert.deepEqual(at('a "|').context, { kind: 'nothing' });
    assert.equal(at('no-such x=|').context.kind, 'value');
  });

  it('knows the actions of a transaction', () => {
    assert.deepEqual(offers('transaction( blockdev-s|'), [
      'transaction( blockdev-snapshot',
      'transaction( blockdev-snapshot-internal-sync',
      'transaction( blockdev-snapshot-sync',
    ]);
    const reader = new ShellLineReader(schema);
    reader.readLine('transaction( abort');
    assert.ok(offers('|', reader.actions).includes(')'));
    assert.deepEqual(offers('block-dirty-bitmap-add no|', reader.actions), ['block-dirty-bitmap-add node=']);
    assert.deepEqual(offers('block-dirty-bitmap-add persistent=t|', reader.actions), [
      'block-dirty-bitmap-add persistent=true',
    ]);
  });
});

describe('a fault in words', () => {
  function faults(line: string): string[] {
    const parsed = new ShellLineReader(schema).readLine(line);
    const command = parsed.kind === 'command' ? schema.commands.get(parsed.name) : undefined;
    assert.ok(parsed.kind === 'command' && command !== undefined);
    return schema.check(command, parsed.arguments).map((fault) => faultText(fault, line.split(' ')[0]));
  }

  it('names the place, the fault, and the probable intention', () => {
    assert.deepEqual(faults('qom-list pth=/'), ['path is missing', 'pth is unexpected; did you mean "path"?']);
    assert.deepEqual(faults('set_link name=x up=yes zzzzz=1'), [
      'up must be a boolean',
      'zzzzz is unexpected (known: name, up)',
    ]);
    assert.deepEqual(faults('query-status x=1'), ['query-status takes no arguments']);
    assert.deepEqual(faults('blockdev-add driver=qcow2x'), ['driver cannot be "qcow2x"; did you mean "qcow2"?']);
    assert.deepEqual(faults('blockdev-add driver=qcow2 file.driver=file file.filenam=/d'), [
      'file.filename is missing',
      'file.filenam is unexpected; did you mean "filename"?',
    ]);
    assert.deepEqual(faults('balloon value=1k'), ['value must be an integer']); // checked-line.ts adds what 1k is
    assert.deepEqual(faults("send-key keys=[{'type':'qcode','data':'ctlr'},5]"), [
      'keys[0].data cannot be "ctlr"; did you mean "ctrl"?',
      'keys[1] must be an object',
    ]);
    assert.deepEqual(faults('blockdev-add driver=qcow2 file=[1]'), ['file is of the wrong type']);
  });
});
