import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { startProgram } from '../support/daemon/program.js';
import { runQmpmux } from '../support/daemon/run-qmpmux.js';
import { scratch, suiteScope } from '../support/files/scratch.js';
import { startFakeAgent } from '../support/qemu/fake-agent.js';
import { missing, type Qemu, startQemu, written } from '../support/qemu/qemu.js';
import { startScriptedMonitor } from '../support/world/scripted-monitor.js';

describe('shell without a terminal', { skip: missing('qemu') }, () => {
  const scope = suiteScope();
  let qemu: Qemu;
  const run = (input: string, ...flags: readonly string[]) => runQmpmux(['shell', ...flags, qemu.monitor], { input });
  before(async () => {
    qemu = await startQemu(scope, { machine: 'q35', name: 'vm' });
  });

  test('prints replies as QEMU wrote them, one a line, and nothing else', async () => {
    const input = '# a comment\nquery-name\n\n{"execute":\n "query-status"}\n';
    const status = `{"return": ${written(await qemu.execute('query-status'))}}`;
    assert.deepEqual(await run(input), { code: 0, output: `{"return": {"name": "vm"}}\n${status}\n`, errors: '' });
    assert.deepEqual(await run(''), { code: 0, output: '', errors: '' });
  });

  test('goes on after a mistake, reports its line, and ends with 1 where QEMU refused, 64 where a line was not sent', async () => {
    assert.deepEqual(await run('device_del id=nothing\nquery-name\n'), {
      code: 1,
      output: '{"return": {"name": "vm"}}\n',
      errors: "qmpmux: standard input, line 1: Device 'nothing' not found (DeviceNotFound)\n",
    });
    const { code, output, errors } = await run('query-name\nquery-statu\ndevice_del id=a\nquery-name\n');
    assert.equal(code, 64);
    assert.equal(output, '{"return": {"name": "vm"}}\n'.repeat(2));
    assert.match(
      errors,
      /^qmpmux: standard input, line 2: there is no command query-statu; did you mean "query-status"\?\n/,
    );
    assert.match(errors, /line 3: Device 'a' not found/);
  });

  test('takes a transaction over several lines, and reports one that is not closed', async () => {
    const node = 'blockdev-add driver=null-co node-name=t1 size=512\n';
    const actions = 'block-dirty-bitmap-add node=t1 name=x\nblock-dirty-bitmap-add node=t1 name=y\n';
    assert.deepEqual(await run(`${node}transaction(\n${actions})\n`), {
      code: 0,
      output: '{"return": {}}\n'.repeat(2),
      errors: '',
    });
    const { code, errors } = await run('transaction(\nabort\n');
    assert.equal(code, 64);
    assert.match(errors, /the transaction is not closed/);
  });

  test('-H speaks to the human monitor, -p lays out, and integers stay as they are', async () => {
    assert.deepEqual(await run('info status\ninfo name\n', '-H'), {
      code: 0,
      output: 'VM status: paused (prelaunch)\nvm\n',
      errors: '',
    });
    const input = 'migrate-set-parameters max-bandwidth=18446744073709551615\nquery-migrate-parameters\n';
    assert.match((await run(input, '-p')).output, /^ {4}"max-bandwidth": 18446744073709551615,$/m);
  });

  test('-v shows the wire on standard error, -l writes it to a file of the user’s own', async (t) => {
    const file = join(scratch(t), 'log');
    const { code, output, errors } = await run('query-name\n', '-v', '-l', file);
    assert.equal(code, 0);
    assert.equal(output, '{"return": {"name": "vm"}}\n');
    assert.match(errors, /^<- \{"QMP": .*\n-> \{"execute":"qmp_capabilities"/);
    assert.match(errors, /^-> \{"execute":"query-name","id":\d\}\n<- \{"return": \{"name": "vm"\}, "id": \d\}$/m);
    const log = readFileSync(file, 'utf8').split('\n');
    assert.match(log[0] ?? '', /^<- \{"QMP": /);
    assert.ok(log.some((line) => line.startsWith('<- {"return": [{"name": ') && line.length > 100_000));
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal((await run('', '-l', '/no/such/folder/log')).code, 64);
  });

  test('-N does not negotiate, and learns the commands once that is done by hand', async () => {
    const { code, output, errors } = await run('query-name\nqmp_capabilities\nquery-name\nquery-nam\n', '-N');
    assert.equal(code, 64);
    assert.equal(output, '{"return": {}}\n{"return": {"name": "vm"}}\n');
    assert.match(errors, /line 1: Expecting capabilities negotiation/);
    assert.match(errors, /line 4: there is no command query-nam; did you mean "query-name"\?/);
  });

  test('-N speaks to a guest agent, which sends no greeting', async (t) => {
    const agent = await startFakeAgent(t, { earlier: '{"execute":' });
    const { code, output, errors } = await runQmpmux(['shell', '-N', agent.path], {
      input: 'guest-ping\nguest-sync-delimited id=5\nhelp\nguest-pin\n',
    });
    assert.equal(code, 1);
    assert.equal(output, '{"return":{}}\n{"return":5}\nguest-ping\n');
    assert.match(errors, /line 4: The command guest-pin has not been found/);
  });

  test('help and the commands of the shell itself work', async (t) => {
    const file = join(scratch(t), 'status.json');
    const { code, output, errors } = await run(`help block_resize\nquery-status\n.save ${file}\n.hmp info status\n`);
    assert.deepEqual({ code, errors }, { code: 0, errors: '' });
    assert.match(output, /^block_resize \[device=STRING\]/);
    assert.match(output, /VM status: paused \(prelaunch\)\n$/);
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), await qemu.execute('query-status'));
    const wrong = await run(
      '.save\n.sav x\n.save /no/such/folder/x\nhelp block_resiz\nhelp\n.help\n.events on\nstop\n',
    );
    assert.equal(wrong.code, 64);
    assert.match(wrong.errors, /line 1: \.save: a file name is missing\n/);
    assert.match(wrong.errors, /line 2: there is no \.sav; did you mean "\.save"\?\n/);
    assert.match(wrong.errors, /line 4: there is no command block_resiz, and no event; did you mean "block_resize"\?/);
    assert.match(wrong.output, /^query-status$/m);
    assert.match(wrong.output, /^\.events on\|off\|GLOB… +show all events/m);
  });

  test('ends with 69 where nobody answers, or QEMU goes away', async (t) => {
    assert.equal((await runQmpmux(['shell', '/no/such/socket'])).code, 69);
    const mortal = await startQemu(t);
    const { code, output } = await runQmpmux(['shell', mortal.monitor], { input: 'quit\nquery-name\n' });
    assert.equal(code, 69);
    assert.equal(output, '{"return": {}}\n');
    // While it waits for a line.
    const monitor = await startScriptedMonitor(t, (socket) => {
      socket.write('{"error": {"class": "GenericError", "desc": "x"}}\r\n');
      setImmediate(() => socket.end());
    });
    const program = startProgram(t, process.execPath, 'bin/qmpmux.js', 'shell', monitor.path);
    assert.equal(await program.exited, 69);
    assert.match(program.errors, /the server closed the connection/);
  });

  test('reports a wrong command line', async () => {
    const cases: readonly (readonly [words: readonly string[], message: RegExp])[] = [
      [[], /the address is missing/],
      [['/a', 'query-status'], /"query-status" is unexpected here; for one command: qmpmux exec/],
      [['/a', '--prety'], /unknown option --prety; did you mean --pretty\?/],
    ];
    for (const [words, message] of cases) {
      const { code, errors } = await runQmpmux(['shell', ...words]);
      assert.equal(code, 64, words.join(' '));
      assert.match(errors, message);
    }
  });
});
