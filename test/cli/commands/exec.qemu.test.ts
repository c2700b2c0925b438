import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { missing, type Qemu, startQemu, written } from '../../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../../support/qemu/shared-vm.js';

async function statusOf(qemu: Qemu): Promise<string> {
  return written(await qemu.execute('query-status'));
}

describe('exec', { skip: missing('qemu', 'socat') }, () => {
  const scope = suiteScope();
  let vm: SharedVm;
  const run = (...words: readonly string[]) => runQmpmux(['exec', vm.target, ...words]);
  before(async () => {
    vm = await shareVm(scope, { name: 'vm', listen: ['tcp:127.0.0.1:0'], monitors: [{}, { kind: 'tcp' }] });
  });

  test('prints the reply as QEMU wrote it, and ends with 0', async () => {
    assert.deepEqual(await run('query-status'), {
      code: 0,
      output: `{"return": ${await statusOf(vm.qemu)}}\n`,
      errors: '',
    });
  });

  test('works over every kind of address, against qmpmux and against QEMU itself', async () => {
    const [, tcp = ''] = vm.targets;
    const addresses = [
      vm.target.replace('unix:', ''),
      vm.target,
      tcp,
      `exec:socat - UNIX:${vm.target.replace('unix:', '')}`,
      vm.qemu.monitors[1] ?? '',
    ];
    for (const address of addresses) {
      const finished = await runQmpmux(['exec', address, 'query-name']);
      assert.deepEqual(finished, { code: 0, output: '{"return": {"name": "vm"}}\n', errors: '' }, address);
    }
  });

  test('takes the address from QMPMUX_SOCKET, unless one is given that cannot be a command', async () => {
    const environment = { QMPMUX_SOCKET: vm.target };
    const name = { code: 0, output: '{"return": {"name": "vm"}}\n', errors: '' };
    assert.deepEqual(await runQmpmux(['exec', 'query-name'], { environment }), name);
    const elsewhere = { QMPMUX_SOCKET: '/no/such/socket' };
    assert.deepEqual(await runQmpmux(['exec', vm.target, 'query-name'], { environment: elsewhere }), name);
    assert.equal((await runQmpmux(['exec', 'query-name'], { environment: elsewhere })).code, 69);
  });

  test('ends with 1 where QEMU answers with an error, and reports it on standard error with the nearest name', async () => {
    assert.deepEqual(await run('query-staatus'), {
      code: 1,
      output: '{"error": {"class": "CommandNotFound", "desc": "The command query-staatus has not been found"}}\n',
      errors: 'qmpmux: The command query-staatus has not been found (CommandNotFound); did you mean "query-status"?\n',
    });
    assert.deepEqual(await run('device_del', 'id=nothing', '--return-value'), {
      code: 1,
      output: '',
      errors: "qmpmux: Device 'nothing' not found (DeviceNotFound)\n",
    });
    assert.equal((await run('stop', 'now=true')).errors, "qmpmux: Parameter 'now' is unexpected\n");
  });

  test('sends JSON as it is, whatever its quotes and its id', async () => {
    const words = ["{'execute': 'query-name', 'id': {\"a\": [18446744073709551615, 1.0]}}"];
    assert.equal((await run(...words)).output, '{"return": {"name": "vm"}, "id": {"a": [18446744073709551615, 1]}}\n');
  });

  test("reads qmp-shell's syntax: dotted keys, objects, quotes, numbers, booleans", async () => {
    const words = ['driver=null-co', 'node-name=d1', 'size=1048576', 'cache.direct=true', 'read-zeroes=true'];
    assert.equal((await run('blockdev-add', ...words)).output, '{"return": {}}\n');
    const nested = ["cache={'no-flush': True}", 'driver=raw', 'file.driver=null-co', 'file.size=512', 'node-name="d2"'];
    assert.equal((await run('blockdev-add', ...nested)).output, '{"return": {}}\n');
    const actions = ['transaction(', 'block-dirty-bitmap-add', 'node=d1', 'name=b1', ')'];
    assert.equal((await run(...actions)).output, '{"return": {}}\n');
    const { output } = await run('query-named-block-nodes', '--fields', 'node-name,drv,cache.direct,cache.no-flush');
    assert.match(output, /^d2\traw\tfalse\ttrue\n/);
    assert.match(output, /^d1\tnull-co\ttrue\tfalse$/m);
  });

  test('--pretty keeps every number as QEMU wrote it', async () => {
    await run('migrate-set-parameters', 'max-bandwidth=18446744073709551615', 'downtime-limit=300');
    const { output } = await run('query-migrate-parameters', '--pretty');
    assert.match(output, /^\{\n {2}"return": \{\n/);
    assert.match(output, /^ {4}"max-bandwidth": 18446744073709551615,$/m);
    assert.ok(output.endsWith('\n  }\n}\n'));
  });

  test('--return-value prints the value of "return", --fields its members', async () => {
    assert.equal((await run('query-name', '--return-value')).output, '{"name": "vm"}\n');
    assert.equal((await run('query-name', '--return-value', '--pretty')).output, '{\n  "name": "vm"\n}\n');
    assert.equal((await run('query-status', '--fields', 'status,running')).output, 'prelaunch\tfalse\n');
    assert.deepEqual(await run('query-status', '--fields', 'stats'), {
      code: 1,
      output: '\n',
      errors: 'qmpmux: no field stats; did you mean status?\n',
    });
  });

  test('--fields fails for members QEMU never returns, and leaves optional ones empty', async () => {
    const status = await run('query-status', '--fields', 'status,stats');
    assert.deepEqual([status.code, status.output], [1, 'prelaunch\t\n']);
    const nodes = ['query-named-block-nodes', '--fields'];
    await run('blockdev-add', 'driver=null-co', 'node-name=optional', 'size=512');
    const empty = await run(...nodes, 'bps_max,backing_file,image.encrypted,image.backing-image.filename');
    assert.deepEqual([empty.code, empty.errors], [0, '']);
    assert.match(empty.output, /^(?:(?:false)?\t\t\t\n)+$/);
    const wrong = await run(...nodes, 'image.backing-image.filenam,image.0');
    assert.deepEqual(
      [wrong.code, wrong.errors],
      [1, 'qmpmux: no field image.backing-image.filenam\nqmpmux: no field image.0\n'],
    );
    // An empty list has no row that could lack anything.
    assert.deepEqual(await run('query-jobs', '--fields', 'id,error'), { code: 0, output: '', errors: '' });
    // What says nothing of its members in the schema.
    const anything = ['qom-get', 'path=/machine', 'property=type', '--fields', 'a'];
    assert.deepEqual(await run(...anything), { code: 1, output: '\n', errors: 'qmpmux: no field a\n' });
    const input = '{"execute":"query-status"}\n{"execute": "query-\\u006eame"}';
    const stream = await runQmpmux(['exec', vm.target, '-', '--fields', 'guest,name'], { input });
    assert.deepEqual([stream.code, stream.output], [1, '\t\n\tvm\n']);
    assert.equal(stream.errors, 'qmpmux: no field guest\nqmpmux: no field name\nqmpmux: no field guest\n');
  });

  test('--hmp prints the text of the human monitor', async () => {
    assert.deepEqual(await run('--hmp', 'info', 'status'), {
      code: 0,
      output: 'VM status: paused (prelaunch)\n',
      errors: '',
    });
  });

  test('--oob overtakes, where the command may', async () => {
    assert.deepEqual(await run('--oob', 'query-yank', '--return-value').then(({ code }) => code), 0);
    assert.deepEqual(await run('--oob', 'query-name'), {
      code: 1,
      output: '{"error": {"class": "GenericError", "desc": "The command query-name does not support OOB"}}\n',
      errors: 'qmpmux: The command query-name does not support OOB\n',
    });
    assert.equal((await run('{"exec-oob": "query-yank"}')).code, 0);
  });

  test('ends with 64 for a command that cannot be sent, before it connects', async () => {
    const cases: readonly (readonly [words: readonly string[], message: RegExp])[] = [
      [[], /^the command is missing/],
      [[''], /^the name of the command is empty/],
      [[' ', 'id=x'], /^the name of the command is empty/],
      [['transaction(', '', ')'], /^the name of the command is empty/],
      [['--hmp', ''], /^the command is empty/],
      [['{"execute":"stop"'], /^the JSON is incomplete: a \} is missing/],
      [['{"execute":}'], /^JSON parse error, expecting value/],
      [['info', 'block'], /^info is a command of the human monitor: qmpmux hmp/],
      [['stop', 'now'], /^arguments are written KEY=VALUE, but "now" has no =/],
      [['transaction(', 'x'], /^the transaction is not closed/],
      [['stop', '--timeout', 'soon'], /^--timeout must be a time such as 5s, 500ms or 2m, not "soon"/],
      [['stop', '--fields', 'a,'], /^--fields: a name is missing in "a,"/],
      [['stop', '--pretty', '--hmp'], /^--pretty and --hmp cannot be combined/],
      [['stop', '--fields=a', '--return-value'], /^--fields and --return-value cannot be combined/],
      [['--oob', '{"execute":"stop"}'], /^--oob contradicts "execute"/],
      [['stop', '--prety'], /^unknown option --prety; did you mean --pretty\?/],
    ];
    for (const [words, message] of cases) {
      const { code, output, errors } = await runQmpmux(['exec', '/no/such/socket', ...words]);
      assert.equal(code, 64, words.join(' '));
      assert.equal(output, '');
      assert.match(errors, /^qmpmux: [^\n]* \(see qmpmux exec --help\)\n$/);
      assert.match(errors.slice('qmpmux: '.length), message);
    }
  });

  test('ends with 69 where nobody answers: no socket, no QMP, no greeting, no answer to the handshake in time', async (t) => {
    assert.deepEqual(await runQmpmux(['exec', '/no/such/socket', 'stop']), {
      code: 69,
      output: '',
      errors: 'qmpmux: unix:/no/such/socket: no such socket\n',
    });
    const servers = { silent: '', web: 'HTTP/1.1 400 Bad Request\r\n\r\n', mute: '{"QMP": {"capabilities": []}}\r\n' };
    const messages = {
      silent: /no greeting within 0\.3 s; if it is QEMU/,
      web: /this is not a QMP server/,
      mute: /mute: no answer to qmp_capabilities within 0\.3 s; QEMU hangs or is stopped, and no command was sent\n$/,
    };
    for (const kind of ['silent', 'web', 'mute'] as const) {
      const path = join(scratch(t), kind);
      const server = createServer((socket) => {
        socket.on('error', () => {}).write(servers[kind]);
        // So that its end is seen.
        socket.resume();
        if (kind === 'web') socket.end();
        t.after(() => socket.destroy());
      }).listen(path);
      t.after(() => server.close());
      await new Promise((resolve) => server.once('listening', resolve));
      const { code, errors } = await runQmpmux(['exec', path, 'stop', '--timeout', '0.3']);
      assert.equal(code, 69, kind);
      assert.match(errors, messages[kind]);
    }
  });
});

describe('exec -', { skip: missing('qemu') }, () => {
  const scope = suiteScope();
  let qemu: Qemu;
  const run = (input: string, ...words: readonly string[]) =>
    runQmpmux(['exec', qemu.monitor, '-', ...words], { input });
  before(async () => {
    qemu = await startQemu(scope, { name: 'vm' });
  });

  test('answers commands of standard input in their order, lines and objects alike', async () => {
    const input =
      'query-name\n\n# a comment\n{"execute":\n "query-status", "id": 7} {"execute": "query-name"}\n  query-kvm';
    const { code, output } = await run(input);
    assert.equal(code, 0);
    assert.deepEqual(output.split('\n').slice(0, 3), [
      '{"return": {"name": "vm"}}',
      `{"return": ${await statusOf(qemu)}, "id": 7}`,
      '{"return": {"name": "vm"}}',
    ]);
    assert.match(output.split('\n')[3] ?? '', /"present": true/);
  });

  test('goes on after an error, reports its line, and ends with 1', async () => {
    const { code, output, errors } = await run('query-name\n\nfoo\nquery-name\n', '--return-value');
    assert.equal(code, 1);
    assert.equal(output, '{"name": "vm"}\n{"name": "vm"}\n');
    assert.equal(errors, 'qmpmux: standard input, line 3: The command foo has not been found (CommandNotFound)\n');
  });

  test('stops at a command that cannot be read, when those before it are answered', async () => {
    for (const wrong of ['stop now', '{"execute": }', "a b='c"]) {
      const { code, output, errors } = await run(`query-name\n${wrong}\nquery-name\n`);
      assert.equal(code, 64, wrong);
      assert.equal(output, '{"return": {"name": "vm"}}\n');
      assert.match(errors, /^qmpmux: standard input, line 2: /);
    }
    assert.equal((await run('transaction(\n')).code, 64);
  });

  test('takes a transaction over several lines', async () => {
    const input =
      'blockdev-add driver=null-co node-name=n1 size=512\ntransaction(\nblock-dirty-bitmap-add node=n1 name=x\nblock-dirty-bitmap-add node=n1 name=y\n)\n';
    assert.deepEqual(await run(input), { code: 0, output: '{"return": {}}\n{"return": {}}\n', errors: '' });
  });

  test('sends thousands, and loses none', async () => {
    const count = 3000;
    const commands = Array.from({ length: count }, (_, id) => `{"execute":"query-name","id":${id}}`).join('\n');
    const { code, output } = await run(commands);
    assert.equal(code, 0);
    const expected = Array.from({ length: count }, (_, id) => `{"return": {"name": "vm"}, "id": ${id}}`);
    assert.deepEqual(output.trimEnd().split('\n'), expected);
  });

  test('--hmp takes lines of the human monitor', async () => {
    const { code, output } = await run('info status\nfoo\n', '--hmp');
    assert.equal(code, 0);
    assert.equal(output, "VM status: paused (prelaunch)\nunknown command: 'foo'\n");
  });

  test('ends with 69 where QEMU goes away', async (t) => {
    const mortal = await startQemu(t);
    const { code, output, errors } = await runQmpmux(['exec', mortal.monitor, '-'], { input: 'quit\nquery-name\n' });
    assert.equal(code, 69);
    assert.equal(output, '{"return": {}}\n');
    assert.match(errors, /the server closed the connection/);
  });
});

describe('hmp', { skip: missing('qemu') }, () => {
  const scope = suiteScope();
  let qemu: Qemu;
  const run = (...words: readonly string[]) => runQmpmux(['hmp', ...words]);
  before(async () => {
    qemu = await startQemu(scope, { machine: 'q35', extraArgs: ['-smp', '2'] });
  });

  test('prints the text of a command, with line feeds', async () => {
    const done = { code: 0, output: 'VM status: paused (prelaunch)\n', errors: '' };
    assert.deepEqual(await run(qemu.monitor, 'info', 'status'), done);
    assert.deepEqual(await run(qemu.monitor, 'info status'), done);
  });

  test('leaves the options of the command to it', async () => {
    const { code, output } = await run(qemu.monitor, 'info', 'registers', '-a');
    assert.equal(code, 0);
    assert.match(output, /CPU#0[^]*CPU#1/);
    assert.match((await run(qemu.monitor, 'info', 'block', '--timeout')).output, /^Device|^$/m);
    const environment = { QMPMUX_SOCKET: qemu.monitor };
    const memory = await runQmpmux(['hmp', 'x/1xb', '0', '-1'], { environment });
    assert.equal(memory.code, 0);
    assert.match((await runQmpmux(['hmp', '--cpu', '1', 'info', 'cpus'], { environment })).output, /^\* CPU #1:/m);
  });

  test('ends with 1 where QEMU refuses, 64 for a wrong line, 69 where nobody answers', async () => {
    assert.deepEqual(await run('--cpu', '7', qemu.monitor, 'info', 'registers'), {
      code: 1,
      output: '',
      errors: "qmpmux: Parameter 'cpu-index' expects a CPU number\n",
    });
    assert.match((await run(qemu.monitor)).errors, /^qmpmux: the command is missing, such as info status/);
    assert.equal((await run(qemu.monitor)).code, 64);
    assert.equal((await run(qemu.monitor, '')).code, 64);
    assert.equal((await run('--cpu', 'one', qemu.monitor, 'stop')).code, 64);
    assert.equal((await run('/no/such/socket', 'stop')).code, 69);
  });
});
