import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { helpNames, listedNames, schemaNames, wordToComplete } from '../../../dist/hmp/terminal/completion.js';
import { splitHmpWords } from '../../../dist/hmp/words.js';
import { recordedSchema } from '../../support/qemu/recorded-schema.js';

describe('the words of a line of the human monitor', () => {
  it('are split as QEMU splits them', () => {
    assert.deepEqual(splitHmpWords('  info  block '), ['info', 'block', '']);
    assert.deepEqual(splitHmpWords('a "b c\\"\\n\\\\"d'), ['a', 'b c"\n\\', 'd']);
    assert.deepEqual(splitHmpWords(''), []);
    assert.deepEqual(
      splitHmpWords(`x${'y'.repeat(2000)}`)?.map(({ length }) => length),
      [1023],
    );
  });

  it('are not known if QEMU gives up', () => {
    for (const line of ['"a', '"a\\', '"a\\x"', 'a '.repeat(17), 'a '.repeat(16)])
      assert.equal(splitHmpWords(line), null);
  });
});

describe('the word to complete', () => {
  const question = (line: string) => wordToComplete(line)?.question;

  it('is a command, a topic of info, and either after help', () => {
    assert.deepEqual(wordToComplete('inf'), { start: 'inf', question: { kind: 'help', line: 'help' } });
    assert.deepEqual(wordToComplete('info s'), { start: 's', question: { kind: 'help', line: 'help info' } });
    assert.deepEqual(question('help '), { kind: 'help', line: 'help' });
    assert.deepEqual(question('? info '), { kind: 'help', line: 'help info' });
    assert.deepEqual(question('help help i'), { kind: 'help', line: 'help' });
  });

  it('is a name that a query lists', () => {
    const device = { kind: 'query', command: 'query-block', args: '', list: 'block' };
    assert.deepEqual(question('eject -f d'), device);
    assert.deepEqual(question('commit d x '), device);
    assert.equal(question('block_resize d '), undefined);
    assert.equal(question('object_del a b'), undefined);
    assert.equal(question('nothing '), undefined);
    assert.deepEqual(wordToComplete('migrate_set_capability x o'), {
      start: 'o',
      question: { kind: 'words', words: ['on', 'off'] },
    });
  });

  it('is a type of device, a key or a word that the schema has', () => {
    assert.deepEqual(question('device_add v'), { kind: 'help', line: 'device_add help' });
    assert.equal(question('device_add virtio-blk-pci '), undefined);
    assert.deepEqual(question('device_del p'), { kind: 'unpluggable' });
    const keys = { kind: 'schema', command: 'send-key', argument: ['keys', 0, 'data'] };
    assert.deepEqual(wordToComplete('sendkey ctrl-alt-de'), { start: 'de', question: keys });
    assert.equal(question('sendkey a '), undefined);
    assert.deepEqual(question('set_link n '), { kind: 'words', words: ['on', 'off'] });
    const help = 'Storage devices:\r\nname "ide-hd", bus IDE\r\nname "lsi", alias "name "x"\r\n';
    assert.deepEqual(helpNames(help, 'device_add help'), ['ide-hd', 'lsi']);
    const schema = recordedSchema();
    const words = schemaNames(schema, 'send-key', ['keys', 0, 'data']);
    assert.ok(words.includes('ctrl') && words.length > 100);
    assert.deepEqual(schemaNames(schema, 'send-key', null), ['keys', 'hold-time']);
    assert.deepEqual(schemaNames(schema, 'send-key', ['nothing']), []);
    assert.deepEqual(schemaNames(schema, 'no-such-command', null), []);
    assert.deepEqual(schemaNames(null, 'send-key', null), []);
  });

  it('is read from answers of any shape', () => {
    assert.deepEqual(listedNames('block', [{ device: 'a' }, { device: '' }, {}, 7, null]), ['a']);
    assert.deepEqual(listedNames('block', { device: 'a' }), []);
    const devices = [
      { label: 'a', filename: 'null' },
      { label: 'b', filename: 'ringbuf' },
    ];
    assert.deepEqual(listedNames('chardev', devices), ['a', 'b']);
    assert.deepEqual(listedNames('ringbuf', devices), ['b']);
    const members = [
      { name: 'type', type: 'string' },
      { name: 'rng0', type: 'child<rng-builtin>' },
    ];
    assert.deepEqual(listedNames('object', members), ['rng0']);
    assert.deepEqual(listedNames('name', [{ name: 'b' }, {}, { name: 'a' }]), ['a', 'b']);
    assert.deepEqual(listedNames('capability', [{ capability: 'xbzrle', state: false }]), ['xbzrle']);
  });
});
