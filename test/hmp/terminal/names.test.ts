import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HmpQuestion } from '../../../dist/hmp/terminal/completion.js';
import { type Answer, HmpNames } from '../../../dist/hmp/terminal/names.js';
import { quote } from '../../../dist/qmp/json/unicode.js';

const DEVICES: Answer = {
  returned: ['fixed', 'loose', 'lo"ose', 'broken', 'é'].map((name) => ({ name, type: 'child<device>' })),
};

/** Names that are asked of a QEMU with these answers; `asked` has the questions. */
function names(answers: Readonly<Record<string, Answer>>) {
  const asked: string[] = [];
  const answer = (question: string): Answer => {
    asked.push(question);
    return answers[question] ?? { error: 'no' };
  };
  const all = new HmpNames({
    ask: (command, args, then) => {
      then(answer(command + args));
    },
    run: (line, then) => {
      then(answer(line));
    },
  });
  const find = (question: HmpQuestion) => {
    let found: readonly string[] = [];
    all.find(question, (list) => {
      found = list;
    });
    return found;
  };
  return { find, asked };
}

describe('the names for completions', () => {
  it('of devices to unplug are those that say that they can be, whatever they are called', () => {
    const loose = (path: string) => `qom-get{"path":"/machine/peripheral/${path}","property":"hotpluggable"}`;
    const { find } = names({
      'qom-list{"path":"/machine/peripheral"}': DEVICES,
      [loose('fixed')]: { returned: false },
      [loose('loose')]: { returned: true },
      [loose('lo\\"ose')]: { returned: true },
      [loose(quote('é').slice(1, -1))]: { returned: true },
    });
    assert.deepEqual(find({ kind: 'unpluggable' }), ['loose', 'lo"ose', '\u00c3\u00a9']);
    assert.deepEqual(names({}).find({ kind: 'unpluggable' }), []);
  });

  it('are asked once if they cannot change, and again if QEMU refused', () => {
    const schema: HmpQuestion = { kind: 'schema', command: 'stop', argument: ['x'] };
    const help: HmpQuestion = { kind: 'help', line: 'help' };
    const { find, asked } = names({ help: { returned: 'stop  -- stop emulation\r\n' } });
    for (let i = 0; i < 2; i++) {
      assert.deepEqual(find(schema), []);
      assert.deepEqual(find(help), ['stop']);
    }
    assert.deepEqual(asked, ['query-qmp-schema', 'help', 'query-qmp-schema']);
    const denied = names({});
    for (let i = 0; i < 2; i++) assert.deepEqual(denied.find(help), []);
    assert.equal(denied.asked.length, 2);
    assert.deepEqual(denied.find({ kind: 'query', command: 'query-block', args: '', list: 'block' }), []);
  });
});
