import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startProgram } from '../../support/daemon/program.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { type Scope, scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { shareVm } from '../../support/qemu/shared-vm.js';
import { startScriptedMonitor } from '../../support/world/scripted-monitor.js';

const STOP = '{"timestamp": {"seconds": 1700000000, "microseconds": 12345}, "event": "STOP"}';
const JOB =
  '{"timestamp": {"seconds": 1700000001, "microseconds": 0}, "event": "BLOCK_JOB_READY", "data": {"device": "d", "len": 18446744073709551615}}';
const RESUME = '{"timestamp": {"seconds": 1700000002, "microseconds": 999999}, "event": "RESUME"}';
const ALL = `${STOP}\r\n${JOB}\r\n${RESUME}\r\n`;

/** Runs `qmpmux events` on a monitor that sends these bytes. @param ends whether it closes the connection then */
async function run(scope: Scope, bytes: string, words: readonly string[], ends = false) {
  const monitor = await startScriptedMonitor(scope, (socket) => {
    if (ends) socket.end(bytes);
    else socket.write(bytes);
  });
  return runQmpmux(['events', monitor.path, ...words]);
}

describe('events', () => {
  test('waits for one, prints it, and ends with 0', async (t) => {
    const output = 'event STOP at 1700000000.012345\nevents received: 1\n';
    assert.deepEqual(await run(t, ALL, []), { code: 0, output, errors: '' });
  });

  test('--event takes names and wildcards, any number of times', async (t) => {
    const { output } = await run(t, ALL, ['--event', 'BLOCK_*']);
    assert.equal(
      output,
      'event BLOCK_JOB_READY at 1700000001.000000: {"device": "d", "len": 18446744073709551615}\nevents received: 1\n',
    );
    const two = await run(t, ALL, ['--event', 'STOP', '--event', 'RES?ME', '--count', '2']);
    assert.equal(
      two.output,
      'event STOP at 1700000000.012345\nevent RESUME at 1700000002.999999\nevents received: 2\n',
    );
  });

  test('--timeout ends it: with 1 when none came, with 0 when some did', async (t) => {
    assert.deepEqual(await run(t, ALL, ['--event', 'SHUTDOWN', '--timeout', '0.5']), {
      code: 1,
      output: 'no event within 0.5 s\nevents received: 0\n',
      errors: '',
    });
    const { code, output } = await run(t, ALL, ['--loop', '--timeout', '1']);
    assert.equal(code, 0);
    assert.match(output, /RESUME at .*\nended after .*\nevents received: 3\n$/);
  });

  test('--timestamp writes the time for people, --pretty lays the data out', async (t) => {
    const { output } = await run(t, ALL, ['--count', '2', '--timestamp', '--pretty']);
    assert.equal(
      output,
      '2023-11-14 22:13:20.012+0000: event STOP\n' +
        '2023-11-14 22:13:21.000+0000: event BLOCK_JOB_READY: {\n  "device": "d",\n  "len": 18446744073709551615\n}\n' +
        'events received: 2\n',
    );
  });

  test('--json prints the bytes of the events and nothing else', async (t) => {
    assert.equal((await run(t, ALL, ['--count', '3', '--json'])).output, ALL.replaceAll('\r', ''));
    const { code, output } = await run(t, '', ['--json', '--timeout', '0.3']);
    assert.deepEqual({ code, output }, { code: 1, output: '' });
  });

  test('ends with 69 when the server goes away, after its last events', async (t) => {
    const { code, output, errors } = await run(t, ALL, ['--loop'], true);
    assert.equal(code, 69);
    assert.match(output, /events received: 3\n$/);
    assert.match(errors, /the server closed the connection/);
  });

  test('Ctrl-C ends the loop with the events so far', async (t) => {
    const monitor = await startScriptedMonitor(t, (socket) => socket.write(`${STOP}\r\n`));
    const program = startProgram(t, process.execPath, 'bin/qmpmux.js', 'events', monitor.path, '--loop');
    await program.reads('event STOP at');
    program.kill('SIGINT');
    assert.equal(await program.exited, 0);
    assert.match(program.output, /\ninterrupted\nevents received: 1\n$/);
  });

  test('reports a wrong command line', async () => {
    const cases: readonly (readonly [words: readonly string[], message: RegExp])[] = [
      [[], /the address is missing/],
      [['/a', 'STOP'], /"STOP" is unexpected here/],
      [['/a', '--loop', '--count', '2'], /--loop and --count cannot be combined/],
      [['/a', '--count', '0'], /--count must be a number, not "0"/],
      [['/a', '--timeout', '-1'], /--timeout must be a time|unknown option -1/],
      [['/a', '--json', '--timestamp'], /--json and --timestamp cannot be combined/],
    ];
    for (const [words, message] of cases) {
      const { code, errors } = await runQmpmux(['events', ...words]);
      assert.equal(code, 64, words.join(' '));
      assert.match(errors, message);
    }
  });

  test('of a real QEMU come through qmpmux', { skip: missing('qemu') }, async (t) => {
    const vm = await shareVm(t, { machine: 'q35' });
    const waiting = runQmpmux(['events', vm.target, '--event', 'POWERDOWN']);
    const over = waiting.then(() => true);
    // It cannot be seen from outside when it listens.
    const pause = () => new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 50));
    while (!(await Promise.race([over, pause()]))) await vm.qemu.execute('system_powerdown');
    const { code, output } = await waiting;
    assert.equal(code, 0);
    assert.match(output, /^event POWERDOWN at \d+\.\d{6}\nevents received: 1\n$/);
  });
});

const LOST =
  '{"timestamp": {"seconds": 1700000001, "microseconds": 5}, "event": "__org.qmpmux_UPSTREAM_LOST", "data": {"reason": "x"}}';
const RESTORED =
  '{"timestamp": {"seconds": 1700000002, "microseconds": 5}, "event": "__org.qmpmux_UPSTREAM_RESTORED", "data": {"same": false}}';

describe('events of a QEMU that goes away behind serve --keep-clients', () => {
  for (const words of [[], ['--json'], ['--count', '2']]) {
    test(`are not waited for any more: ${['events', ...words].join(' ')} ends with 69`, async (t) => {
      const { code, errors } = await run(t, `${STOP}\r\n${LOST}\r\n`, [...words, '--event', 'BLOCK_*']);
      assert.equal(code, 69);
      assert.match(errors, /QEMU is gone; qmpmux waits for the next one/);
    });
  }

  test('are waited for with --loop, which says that it is gone', async (t) => {
    const bytes = `${LOST}\r\n${RESTORED}\r\n${JOB}\r\n`;
    const { code, output, errors } = await run(t, bytes, ['--loop', '--event', 'BLOCK_*', '--timeout', '1']);
    assert.equal(code, 0);
    assert.match(output, /^event BLOCK_JOB_READY .*\nended after 1 s\nevents received: 1\n$/);
    assert.match(errors, /QEMU is gone; waiting for the next one/);
  });

  test('do not end commands that wait for the next QEMU, or for any event', async (t) => {
    const bytes = `${LOST}\r\n${RESTORED}\r\n`;
    const back = await run(t, bytes, ['--event', '__org.qmpmux_UPSTREAM_RESTORED']);
    assert.equal(back.code, 0);
    assert.match(back.output, /^event __org\.qmpmux_UPSTREAM_RESTORED/);
    const any = await run(t, bytes, []);
    assert.equal(any.code, 0);
    assert.match(any.output, /^event __org\.qmpmux_UPSTREAM_LOST/);
  });

  test('are not waited for with --since either, unless it is back', { skip: missing('qemu') }, async (t) => {
    const listen = [`unix:${join(scratch(t), 'ctl')},extensions=on`];
    const { qemu, daemon, targets } = await shareVm(t, { flags: ['--keep-clients'], listen });
    const words = `events ${targets[1]} --since 0 --json --count 2 --event BLOCK_* --event RESUME`.split(' ');
    const program = startProgram(t, process.execPath, 'bin/qmpmux.js', ...words);
    await qemu.execute('cont');
    await program.reads('RESUME');
    await qemu.kill();
    assert.equal(await program.exited, 69);
    assert.match(program.errors, /QEMU is gone; qmpmux waits for the next one/);
    await daemon.logged(({ msg }) => msg.startsWith('lost QEMU'));
  });
});

describe('events of a name that the VM does not have', { skip: missing('qemu') }, () => {
  test('are refused, with the name that was meant', async (t) => {
    const { monitor } = await startQemu(t);
    const { code, errors } = await runQmpmux(['events', monitor, '--event', 'SHUTDOW']);
    assert.equal(code, 64);
    assert.match(errors, /^qmpmux: --event: there is no event SHUTDOW; did you mean "SHUTDOWN"\?/);
  });
});
