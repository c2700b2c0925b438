import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { QmpClient } from '../../../dist/index.js';
import { startDaemon } from '../../support/daemon/daemon.js';
import { startProgram } from '../../support/daemon/program.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import type { Scope } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { startScriptedMonitor } from '../../support/world/scripted-monitor.js';

const STOP = '{"timestamp": {"seconds": 1700000000, "microseconds": 12345}, "event": "STOP"}';
const JOB =
  '{"timestamp": {"seconds": 1700000001, "microseconds": 0}, "event": "JOB", "data": {"n": 18446744073709551615, "f": 1.0}}';

/** A qmpmux that answers each question with the next of these; what it is asked is kept. */
async function asked(scope: Scope, answers: readonly string[]) {
  const questions: string[] = [];
  const monitor = await startScriptedMonitor(scope, (socket, received) => {
    received((text) => {
      for (const line of text.split('\n').slice(0, -1)) {
        const { id, arguments: args }: { id: unknown; arguments: unknown } = JSON.parse(line);
        questions.push(JSON.stringify(args));
        socket.write(`{"return": ${answers[questions.length - 1] ?? answers.at(-1)}, "id": ${JSON.stringify(id)}}\r\n`);
      }
    });
  });
  return { questions, path: monitor.path };
}

function answer(last: number, items: readonly string[], restarted = false): string {
  return `{"instance": "i1", "last": ${last}, "restarted": ${restarted}, "events": [${items.join(', ')}]}`;
}

describe('events --since', () => {
  it('prints missed events with their numbers, gaps marked, and the number to go on from', async (t) => {
    const items = [
      '{"gap": {"first": 3, "last": 7}}',
      `{"seq": 8, "event": ${STOP}}`,
      '{"gap": {"first": 9, "last": 9}}',
      `{"seq": 10, "event": ${JOB}}`,
    ];
    const { path, questions } = await asked(t, [answer(11, items)]);
    assert.deepEqual(await runQmpmux(['events', path, '--since', '2@i1']), {
      code: 0,
      output:
        'gap: 5 events not kept, #3 to #7\n' +
        '#8 event STOP at 1700000000.012345\n' +
        'gap: 1 event not kept, #9\n' +
        '#10 event JOB at 1700000001.000000: {"n": 18446744073709551615, "f": 1.0}\n' +
        'events received: 2; continue with --since 11@i1\n',
      errors: '',
    });
    assert.deepEqual(questions, ['{"since":2,"instance":"i1"}']);
    const json = await runQmpmux(['events', path, '--since', '2', '--json']);
    assert.equal(json.output, `${items.join('\n')}\n`);
  });

  it('says that qmpmux was restarted meanwhile', async (t) => {
    const { path } = await asked(t, [answer(1, [`{"seq": 1, "event": ${STOP}}`], true)]);
    const { output } = await runQmpmux(['events', path, '--since', '40@i0']);
    assert.match(output, /^gap: event \d+ is not known here: qmpmux was restarted.*\n#1 event STOP/);
    const json = await runQmpmux(['events', path, '--since', '40@i0', '--json']);
    assert.equal(json.output.split('\n')[0], '{"restarted": "i1"}');
  });

  it('ends with 1 when nothing was missed, or nothing of that name', async (t) => {
    const { path } = await asked(t, [answer(5, [`{"seq": 5, "event": ${STOP}}`])]);
    const { code, output } = await runQmpmux(['events', path, '--since', '4', '--event', 'JOB']);
    assert.deepEqual([code, output], [1, 'events received: 0; continue with --since 5@i1\n']);
  });

  it('reports an invalid number, and a socket that has no numbers', async (t) => {
    for (const wrong of ['x', '-1', '1@', '1.5', '']) {
      const { code, errors } = await runQmpmux(['events', '/nowhere', `--since=${wrong}`]);
      assert.equal(code, 64, wrong);
      assert.match(errors, /--since/);
    }
    const monitor = await startScriptedMonitor(t, (socket, received) => {
      received((text) => {
        const id = /"id":(\d+)/.exec(text)?.[1] ?? '';
        socket.write(`{"id": ${id}, "error": {"class": "CommandNotFound", "desc": "no"}}\r\n`);
      });
    });
    const { code, errors } = await runQmpmux(['events', monitor.path, '--since', '0']);
    assert.equal(code, 69);
    assert.match(errors, /extensions=on/);
  });

  it('goes on with --loop, losing none and telling none twice', { skip: missing('qemu') }, async (t) => {
    const qemu = await startQemu(t);
    const socket = join(qemu.folder, 'control');
    await startDaemon(t, ['--upstream', qemu.monitor, '--listen', `unix:${socket},extensions=on`]).ready();
    const other = await QmpClient.connect({ path: socket });
    await other.execute('cont');
    const program = startProgram(
      t,
      process.execPath,
      'bin/qmpmux.js',
      'events',
      socket,
      '--since',
      '0',
      '--count',
      '41',
    );
    await program.reads('#1 event RESUME');
    for (let i = 0; i < 20; i++) {
      await other.execute('stop');
      await other.execute('cont');
    }
    assert.equal(await program.exited, 0);
    const numbers = program.output
      .split('\n')
      .slice(0, 41)
      .map((line) => /^#(\d+) event (STOP|RESUME) at/.exec(line)?.[1]);
    assert.deepEqual(
      numbers,
      Array.from({ length: 41 }, (_, at) => String(at + 1)),
    );
    other.destroy();
  });
});
