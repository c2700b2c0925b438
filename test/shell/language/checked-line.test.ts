import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readChecked } from '../../../dist/shell/language/checked-line.js';
import { ShellLineReader } from '../../../dist/shell/language/command-syntax.js';
import { recordedSchema } from '../../support/qemu/recorded-schema.js';

const schema = recordedSchema();

/** What is wrong with a line; none where it would be sent. */
function problems(line: string, reader = new ShellLineReader(schema)): readonly string[] {
  const checked = readChecked(reader, line);
  return checked.kind === 'refused' ? checked.problems : [];
}

function sent(line: string): string {
  const checked = readChecked(new ShellLineReader(schema), line);
  return checked.kind === 'command' ? checked.json : checked.kind;
}

describe('a line held against the schema', () => {
  it('becomes a command when there is nothing wrong', () => {
    assert.equal(sent('query-status'), '{"execute":"query-status"}');
    assert.equal(sent('balloon value=5'), '{"execute":"balloon","arguments":{"value":5}}');
    assert.equal(sent('  '), 'empty');
  });

  it('is not sent for an unknown command, argument or word, and the nearest is offered', () => {
    assert.deepEqual(problems('query-statu'), ['there is no command query-statu; did you mean "query-status"?']);
    assert.deepEqual(problems('block_resize devise=a size=1'), ['devise is unexpected; did you mean "device"?']);
    assert.deepEqual(problems('blockdev-add driver=qcow22 node-name=a'), [
      'driver cannot be "qcow22"; did you mean "qcow2"?',
    ]);
    assert.deepEqual(problems('balloon'), ['value is missing']);
    for (const [given, bytes] of [
      ['1G', '1073741824'],
      ['64k', '65536'],
      ['2MiB', '2097152'],
      ['100TB', '109951162777600'],
    ] as const) {
      assert.deepEqual(problems(`balloon value=${given}`), [
        `value must be an integer; QMP knows no units: ${given} is ${bytes} bytes`,
      ]);
    }
    assert.deepEqual(problems('balloon value=1X'), ['value must be an integer']);
    assert.deepEqual(problems('stop now'), ['arguments are written KEY=VALUE, but "now" has no =']);
  });

  it('shows people how to leave, and users of the human monitor where it is', () => {
    assert.match(problems('exit')[0] ?? '', /Ctrl-D leaves the shell, quit ends QEMU/);
    assert.match(problems('info block')[0] ?? '', /\.hmp info …/);
    assert.match(problems('STOP')[0] ?? '', /is an event/);
  });

  it('may be JSON, which QEMU is left to judge if it is JSON', () => {
    assert.equal(sent('{"execute": "no-such"}'), '{"execute": "no-such"}');
    assert.equal(sent("{'exec-oob': 'query-yank'}"), "{'exec-oob': 'query-yank'}");
    assert.deepEqual(problems('{"execute":}'), ['JSON parse error, expecting value']);
  });

  it('may have arguments the schema does not know: properties of devices, extensions of others', () => {
    assert.equal(
      sent('device_add driver=virtio-blk-pci id=5 drive=d0'),
      '{"execute":"device_add","arguments":{"driver":"virtio-blk-pci","id":"5","drive":"d0"}}',
    );
    assert.deepEqual(problems('device_add id=5'), ['driver is missing']);
    assert.equal(sent('__org.qmpmux_query-status'), '{"execute":"__org.qmpmux_query-status"}');
  });

  it('in a transaction is checked at once, and with an action that is wrong nothing of it is sent', () => {
    const reader = new ShellLineReader(schema);
    assert.equal(readChecked(reader, 'transaction(').kind, 'action');
    assert.deepEqual(problems('block-dirty-bitmap-add nod=d name=b', reader), [
      'data.node is missing',
      'data.nod is unexpected; did you mean "node"?',
    ]);
    assert.deepEqual(problems('bock-dirty-bitmap-add node=d name=b', reader), [
      'type cannot be "bock-dirty-bitmap-add"; did you mean "block-dirty-bitmap-add"?',
    ]);
    assert.equal(readChecked(reader, 'block-dirty-bitmap-add node=d name=b').kind, 'action');
    assert.match(problems(')', reader)[0] ?? '', /^the transaction was not sent/);
  });

  it('without a schema is taken as it is', () => {
    assert.deepEqual(problems('guest-ping', new ShellLineReader()), []);
  });
});

describe('a transaction with a wrong action', () => {
  const lines = (text: string) => {
    const reader = new ShellLineReader(schema);
    return text.split('\n').map((line) => readChecked(reader, line).kind);
  };

  it('is not sent, whatever is wrong, and wherever', () => {
    const right = 'blockdev-snapshot-sync device=d snapshot-file=/s';
    for (const wrong of ['foo', 'foo bar', 'blockdev-snapshot-sync dvice=d', 'blockdev-snapshot-sync x', 'a=b c']) {
      for (const text of [
        `transaction(\n${right}\n${wrong}\n)`,
        `transaction(\n${wrong}\n${right}\n)`,
        `transaction( ${wrong}\n${right}\n)`,
        `transaction(\n${right}\n${wrong} )`,
      ]) {
        assert.ok(!lines(text).includes('command'), text);
      }
    }
    assert.equal(lines(`transaction(\n${right}\n)`).at(-1), 'command');
  });

  it('costs nothing of the next one', () => {
    const right = 'blockdev-snapshot-sync device=d snapshot-file=/s';
    assert.equal(lines(`transaction(\nfoo bar\n)\ntransaction(\n${right}\n)`).at(-1), 'command');
  });
});
