/** `qmpmux shell` as a person has it: in a terminal (tmux), on a real QEMU, directly and through qmpmux. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startDaemon } from '../../support/daemon/daemon.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { Terminal, type TerminalOptions } from '../../support/daemon/terminal.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { missing, type Qemu, startQemu } from '../../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../../support/qemu/shared-vm.js';
import { startScriptedMonitor } from '../../support/world/scripted-monitor.js';

const program = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));

interface ShellOptions extends TerminalOptions {
  readonly flags?: readonly string[];
}

async function startShell(t: TestContext, target: string, options: ShellOptions = {}): Promise<Terminal> {
  const environment = { XDG_STATE_HOME: scratch(t), PAGER: 'cat', ...options.environment };
  const words = [process.execPath, program, 'shell', ...(options.flags ?? []), target];
  const terminal = await Terminal.start(t, words, { ...options, environment });
  await terminal.shows(/^\((?:QEMU|qemu)\)$/m);
  return terminal;
}

const NAMED = ['-blockdev', 'null-co,node-name=disk0,size=1048576', '-device', 'virtio-scsi-pci,id=scsi0'];

describe('a shell in a terminal', { skip: missing('qemu', 'tmux') }, () => {
  const scope = suiteScope();
  let vm: SharedVm;
  before(async () => {
    vm = await shareVm(scope, { machine: 'q35', name: 'vm', extraArgs: NAMED });
  });

  test('says what it is connected to, and leaves at Ctrl-D with the terminal as it was', async (t) => {
    const line = `"${process.execPath}" "${program}" shell ${vm.target}; stty -a`;
    const terminal = await Terminal.start(t, ['sh', '-c', line], { environment: { XDG_STATE_HOME: scratch(t) } });
    assert.match(await terminal.shows(/^\(QEMU\)$/m), /^Connected to QEMU \d+\.\d+\.\d+.*\nTab completes, help lists/);
    await terminal.press('C-d');
    assert.equal(await terminal.exited(), 0);
    const screen = await terminal.screen();
    assert.match(screen, /(?<!-)\bicanon\b/);
    assert.match(screen, /(?<!-)\becho\b/);
  });

  test('completes commands, arguments, the words of an enum, QOM paths, devices and nodes', async (t) => {
    const terminal = await startShell(t, vm.target);
    const typed = [
      'query-statu',
      'set_link up=f',
      'qom-list path=/machine/peripheral-',
      'device_del id=s',
      'blockdev-del node-name=d',
    ];
    const completed = [
      'query-status',
      'set_link up=false',
      'qom-list path=/machine/peripheral-anon',
      'device_del id=scsi0',
      'blockdev-del node-name=disk0',
    ];
    for (const [index, text] of typed.entries()) {
      await terminal.type(text);
      await terminal.press('Tab');
      await terminal.shows(`(QEMU) ${completed[index]}`);
      await terminal.press('C-c');
      await terminal.shows('^C\n(QEMU)');
    }
    await terminal.type('block_resize node-');
    await terminal.press('Tab');
    await terminal.shows('(QEMU) block_resize node-name=');
    await terminal.press('Tab');
    await terminal.shows('(QEMU) block_resize node-name=disk0');
    await terminal.enter(' si\t512');
    await terminal.shows(/block_resize node-name=disk0 {2}size=512\n.+\n\(QEMU\)$/);
  });

  test('lists the candidates at a second Tab', async (t) => {
    const terminal = await startShell(t, vm.target);
    await terminal.type('query-st');
    await terminal.press('Tab', 'Tab', 'Tab');
    await terminal.shows(/query-stats +query-stats-schemas +query-status\n\n\(QEMU\) query-stat$/);
  });

  test('lays results out in colours, with every digit; without under NO_COLOR', async (t) => {
    for (const [environment, isColoured] of [
      [{}, true],
      [{ NO_COLOR: '1' }, false],
    ] as const) {
      const terminal = await startShell(t, vm.target, { environment, rows: 50 });
      await terminal.enter('migrate-set-parameters max-bandwidth=18446744073709551615');
      await terminal.enter('query-migrate-parameters');
      assert.match(await terminal.shows(/\n\}\n\(QEMU\)$/), /^ {2}"max-bandwidth": 18446744073709551615,$/m);
      assert.equal((await terminal.screen(true)).includes('\x1b['), isColoured);
    }
  });

  test('does not send what the schema refuses, and offers the nearest name', async (t) => {
    const terminal = await startShell(t, vm.target);
    await terminal.enter('query-statu');
    await terminal.shows('there is no command query-statu; did you mean "query-status"?\n(QEMU)');
    await terminal.enter('block_resize nod-name=a size=1');
    await terminal.shows('nod-name is unexpected; did you mean "node-name"?\n(QEMU)');
    await terminal.enter('device_del id=nothing');
    await terminal.shows("Device 'nothing' not found (DeviceNotFound)\n(QEMU)");
  });

  test('help tells the arguments of a command, from the schema', async (t) => {
    const terminal = await startShell(t, vm.target);
    await terminal.type('help block_res');
    await terminal.press('Tab', 'Enter');
    assert.match(
      await terminal.shows(/size +integer\n\(QEMU\)$/),
      /^block_resize \[device=STRING\] \[node-name=STRING\] size=INTEGER\n\n/m,
    );
  });

  test('Ctrl-R searches backwards through the history', async (t) => {
    const { target } = await shareVm(t, { name: 'vm' });
    const terminal = await startShell(t, target);
    for (const line of ['query-name', 'query-kvm', 'query-uuid']) {
      await terminal.enter(line);
      await terminal.shows(/\}\n\(QEMU\)$/);
    }
    await terminal.type('half');
    await terminal.press('C-r');
    await terminal.shows("\n(reverse-i-search)`': half");
    await terminal.type('query');
    await terminal.shows("\n(reverse-i-search)`query': query-uuid");
    await terminal.press('C-r');
    await terminal.shows("\n(reverse-i-search)`query': query-kvm");
    await terminal.type('x');
    await terminal.shows("\n(failed reverse-i-search)`queryx': query-kvm");
    await terminal.press('BSpace', 'C-r', 'C-r');
    await terminal.shows("\n(reverse-i-search)`query': query-name");
    // An event comes above it, and a resize leaves it in order.
    await runQmpmux(['exec', target, 'cont']);
    await terminal.shows(/RESUME\n\(reverse-i-search\)`query': query-name$/);
    await runQmpmux(['exec', target, 'stop']);
    await terminal.shows(/STOP\n\(reverse-i-search\)`query': query-name$/);
    await terminal.press('C-g');
    await terminal.shows(/STOP\n\(QEMU\) half$/);
    // Enter executes what was found; other keys edit it.
    await terminal.press('C-r');
    await terminal.type('nam');
    await terminal.press('Enter');
    await terminal.shows(/STOP\n\(QEMU\) query-name\n\{\n {2}"name": "vm"\n\}\n\(QEMU\)$/);
    await terminal.press('C-r');
    await terminal.type('kvm');
    await terminal.press('Left');
    await terminal.type('X');
    await terminal.shows('\n(QEMU) query-kvXm');
    await terminal.press('C-r');
    await terminal.type('uui');
    await terminal.press('C-c');
    await terminal.shows('\n(QEMU) query-uuid^C\n(QEMU)');
  });

  test('keeps the history from session to session, but not secrets and lines behind a blank', async (t) => {
    const environment = { XDG_STATE_HOME: scratch(t) };
    const first = await startShell(t, vm.target, { environment });
    for (const line of ['query-name', ' query-uuid', 'query-kvm', 'set_password protocol=vnc password=hunter2']) {
      await first.enter(line);
      await first.shows(/(?:\}|[a-z.'"]{3,}.*)\n\(QEMU\)$/);
    }
    await first.press('C-d');
    assert.equal(await first.exited(), 0);
    assert.equal(readFileSync(join(environment.XDG_STATE_HOME, 'qmpmux/history'), 'utf8'), 'query-name\nquery-kvm\n');
    const second = await startShell(t, vm.target, { environment });
    await second.press('Up');
    await second.shows('(QEMU) query-kvm');
    await second.press('Up');
    await second.shows('(QEMU) query-name');
    await second.press('Enter');
    await second.shows('{\n  "name": "vm"\n}\n(QEMU)');
    // What is typed is what the entries begin with.
    await second.type('query-k');
    await second.press('Up');
    await second.shows('(QEMU) query-kvm');
  });

  test('shows events as they come, without breaking the line that is typed', async (t) => {
    const terminal = await startShell(t, vm.target, { columns: 50 });
    await terminal.type('query-na');
    await terminal.shows('(QEMU) query-na');
    await vm.qemu.execute('system_powerdown');
    await terminal.shows(/\n\d\d:\d\d:\d\d\.\d{3} POWERDOWN\n\(QEMU\) query-na$/);
    await terminal.enter('me');
    await terminal.shows(/POWERDOWN\n\(QEMU\) query-name\n\{\n {2}"name": "vm"\n\}\n\(QEMU\)$/);
    // A line over two rows, with the cursor in the first of them.
    await terminal.type('block-dirty-bitmap-add node=disk0 name=a-rather-long-name-for-this');
    await terminal.press('Home');
    await terminal.shows(/for-this$/);
    await vm.qemu.execute('system_powerdown');
    await terminal.shows(
      /\n\}\n.*POWERDOWN\n\(QEMU\) block-dirty-bitmap-add node=disk0 name=a-ra\nther-long-name-for-this$/,
    );
    await terminal.type('x');
    await terminal.shows(/POWERDOWN\n\(QEMU\) xblock-dirty-bitmap-add node=disk0 name=a-r\nather-long-name-for-this$/);
    await terminal.press('C-c');
    await terminal.enter('.events off');
    await terminal.shows('(QEMU) .events off\n(QEMU)');
    await vm.qemu.execute('system_powerdown');
    await terminal.enter('query-name');
    assert.equal((await terminal.shows(/"vm"\n\}\n\(QEMU\)$/)).split('POWERDOWN').length, 3);
  });

  test('executes a paste of several lines one after the other, each answer behind its line', async (t) => {
    for (const marked of [true, false]) {
      const terminal = await startShell(t, vm.target, { rows: 40 });
      await terminal.paste('query-name\nquery-statu\nqom-list path=/machine/peripheral-anon\nquery-u', marked);
      const screen = await terminal.shows(/\(QEMU\) query-u$/);
      assert.equal(
        screen.slice(screen.indexOf('(QEMU)')),
        [
          '(QEMU) query-name',
          '{\n  "name": "vm"\n}',
          '(QEMU) query-statu',
          'there is no command query-statu; did you mean "query-status"?',
          '(QEMU) qom-list path=/machine/peripheral-anon',
          '[\n  {\n    "name": "type",\n    "type": "string"\n  }\n]',
          '(QEMU) query-u',
        ].join('\n'),
      );
    }
  });

  test('pastes where the cursor is', async (t) => {
    const terminal = await startShell(t, vm.target, { columns: 50 });
    await terminal.type('block-dirty-bitmap-add node=disk0 name=a-rather-long-name-for-this');
    await terminal.press('Home');
    await terminal.paste('x-long-prefix-', false);
    await terminal.shows(
      /ves\.\n\(QEMU\) x-long-prefix-block-dirty-bitmap-add node=d\nisk0 name=a-rather-long-name-for-this$/,
    );
    await terminal.type('y');
    await terminal.shows(
      /ves\.\n\(QEMU\) x-long-prefix-yblock-dirty-bitmap-add node=\ndisk0 name=a-rather-long-name-for-this$/,
    );
  });

  test('takes JSON over several lines, Tabs in it included, and keeps it as one line of the history', async (t) => {
    const terminal = await startShell(t, vm.target);
    await terminal.paste('{\n\t"execute": "query-name"\n}\n', true);
    await terminal.shows(/\(QEMU\) \{\n +> +"execute": "query-name"\n +> \}\n\{\n {2}"name": "vm"\n\}\n\(QEMU\)$/);
    await terminal.press('Up');
    await terminal.shows(/\(QEMU\) \{ +"execute": "query-name" \}$/);
  });

  test('says at once where JSON can never become whole, and takes the next line', async (t) => {
    const terminal = await startShell(t, vm.target);
    await terminal.enter('{"execute" "query-name"');
    await terminal.shows(/\(QEMU\) \{"execute" "query-name"\nthis is not JSON: : is expected, not "\n\(QEMU\)$/);
    await terminal.enter('query-name');
    await terminal.shows(/\{\n {2}"name": "vm"\n\}\n\(QEMU\)$/);
  });

  test('keeps the line in order when the terminal is resized', async (t) => {
    const terminal = await startShell(t, vm.target, { columns: 100 });
    await terminal.type('block-dirty-bitmap-add node=disk0 name=a-rather-long-name');
    await terminal.shows('(QEMU) block-dirty-bitmap-add node=disk0 name=a-rather-long-name');
    await terminal.resize(40);
    await terminal.shows(/leaves\.\n\(QEMU\) block-dirty-bitmap-add node=disk0\n ?name=a-rather-long-name$/);
    await terminal.type('r');
    await terminal.shows(/leaves\.\n\(QEMU\) block-dirty-bitmap-add node=disk0\n ?name=a-rather-long-namer$/);
    await terminal.resize(90);
    await terminal.shows(/leaves\.\n\(QEMU\) block-dirty-bitmap-add node=disk0 name=a-rather-long-namer$/);
    await terminal.press('BSpace');
    await terminal.press('Enter');
    await terminal.shows(/long-name\n\{\}\n\(QEMU\)$/);
  });

  test('has transactions as qmp-shell has, and sends none with a wrong action, which is told at once', async (t) => {
    const terminal = await startShell(t, vm.target);
    await terminal.enter('transaction(');
    await terminal.shows('\nTRANS>');
    await terminal.type('block-dirty-bitmap-a');
    await terminal.press('Tab');
    await terminal.shows('TRANS> block-dirty-bitmap-add');
    await terminal.type('node=d');
    await terminal.press('Tab');
    await terminal.enter('name=t0');
    await terminal.enter('block-dirty-bitmap-add nod=disk0 name=t1');
    await terminal.shows(/nod is unexpected; did you mean "node"\?\nTRANS>$/);
    await terminal.enter(')');
    await terminal.shows(/\nthe transaction was not sent[^]*\n\(QEMU\)$/);
    for (const line of ['transaction(', 'block-dirty-bitmap-add node=disk0 name=t0']) await terminal.enter(line);
    await terminal.enter('block-dirty-bitmap-add node=disk0 name=t1');
    await terminal.enter(')');
    await terminal.shows(/TRANS> \)\n\{\}\n\(QEMU\)$/);
    await terminal.type('block-dirty-bitmap-remove node=disk0 name=t');
    await terminal.press('Tab', 'Tab');
    await terminal.shows(/\nt0 +t1\n\n\(QEMU\) block-dirty-bitmap-remove node=disk0 name=t$/);
    await terminal.press('C-c');
    await terminal.enter('transaction( abort');
    await terminal.shows('\nTRANS>');
    await terminal.press('C-c');
    await terminal.shows('^C\n(QEMU)');
  });

  test('saves the last result to a file', async (t) => {
    const file = join(scratch(t), 'name.json');
    const terminal = await startShell(t, vm.target);
    await terminal.enter('query-name');
    await terminal.enter(`.save ${file}`);
    await terminal.shows(/\nsaved \d+ bytes to \S+\n\(QEMU\)$/);
    await terminal.enter('.hmp info status');
    await terminal.shows('VM status: paused (prelaunch)\n(QEMU)');
    assert.equal(readFileSync(file, 'utf8'), '{\n  "name": "vm"\n}\n');
  });

  test('-H speaks to the human monitor, with completion from its help and the VM', async (t) => {
    const terminal = await startShell(t, vm.target, { flags: ['-H'] });
    await terminal.type('info stat');
    await terminal.press('Tab', 'Tab');
    await terminal.shows(/stats +status\n\n\(qemu\) info stat$/);
    await terminal.enter('us');
    await terminal.shows('VM status: paused (prelaunch)\n(qemu)');
    await terminal.type('device_del s');
    await terminal.press('Tab');
    await terminal.shows('(qemu) device_del scsi0');
    await terminal.press('C-c');
    await terminal.type('qom-list /machine/peripheral-');
    await terminal.press('Tab', 'Enter');
    await terminal.shows('(qemu) qom-list /machine/peripheral-anon\ntype (string)\n(qemu)');
    await terminal.enter('cpu 7');
    await terminal.shows(/expects a CPU number\n\(qemu\)$/);
  });

  test('-v shows the wire', async (t) => {
    const terminal = await startShell(t, vm.target, { flags: ['-v'], columns: 120 });
    await terminal.enter('query-name');
    await terminal.shows(
      /-> \{"execute":"query-name","id":\d+\}\n<- \{"return": \{"name": "vm"\}, "id": \d+\}\n\{\n {2}"name": "vm"\n\}\n\(QEMU\)$/,
    );
  });

  test('Ctrl-C cancels a line, and the waiting for an answer', async (t) => {
    const monitor = await startScriptedMonitor(t, () => {});
    const terminal = await startShell(t, monitor.path);
    await terminal.type('query-na');
    await terminal.press('C-c');
    await terminal.shows('(QEMU) query-na^C\n(QEMU)');
    await terminal.enter('query-name');
    await terminal.press('C-c');
    await terminal.shows('\nStopped waiting; QEMU still finishes the command.\n(QEMU)');
    await terminal.press('C-d');
    assert.equal(await terminal.exited(), 0);
  });

  test('shows a long result in the pager, and goes on behind it', async (t) => {
    const terminal = await startShell(t, vm.target, { environment: { PAGER: 'less' } });
    await terminal.enter('query-qmp-schema');
    await terminal.shows(/^\[\n[^]*\n:$/);
    await vm.qemu.execute('system_powerdown');
    await terminal.press('q');
    await terminal.shows(/POWERDOWN\n\(QEMU\)$/);
    await terminal.enter('query-name');
    await terminal.shows('{\n  "name": "vm"\n}\n(QEMU)');
  });

  test('asks again before it ends the VM by quit', async (t) => {
    const qemu: Qemu = await startQemu(t);
    const terminal = await startShell(t, qemu.monitor, { columns: 120 });
    await terminal.enter('exit');
    await terminal.shows('there is no command exit: Ctrl-D leaves the shell, quit ends QEMU\n(QEMU)');
    await terminal.enter('quit');
    await terminal.shows(/type it again to do that[^]*\n\(QEMU\)$/);
    await terminal.enter('quit');
    await qemu.exited;
    await terminal.shows(/SHUTDOWN[^]*the server closed the connection; trying to reach it again\n\(QEMU\)$/);
  });

  test('connects again when qmpmux is restarted, and says so', async (t) => {
    const qemu = await startQemu(t, { name: 'again' });
    const listen = join(scratch(t), 'mux');
    const words = ['--upstream', qemu.monitor, '--listen', listen];
    const first = startDaemon(t, words);
    await first.ready();
    const terminal = await startShell(t, listen, { columns: 120 });
    await terminal.type('query-na');
    await first.stop();
    await terminal.shows(/the server closed the connection; trying to reach it again\n\(QEMU\) query-na$/);
    await terminal.enter('me');
    await terminal.shows(/not connected to unix:.*; the line was not sent[^]*\n\(QEMU\)$/);
    await startDaemon(t, words).ready();
    await terminal.shows(/Connected to QEMU .*, again\n\(QEMU\)$/);
    await terminal.enter('query-name');
    await terminal.shows('{\n  "name": "again"\n}\n(QEMU)');
  });

  test('says when the server is gone with QEMU, and goes on with the next QEMU at the same place', async (t) => {
    const socket = join(scratch(t), 'qmp');
    const mux = join(scratch(t), 'mux');
    const start = (name: string) =>
      startQemu(t, { name, extraArgs: ['-qmp', `unix:${socket},server=on,wait=off`], monitors: [] });
    const first = await start('first');
    const daemon = startDaemon(t, ['--upstream', socket, '--listen', mux]);
    await daemon.ready();
    const terminal = await startShell(t, mux, { columns: 120 });
    await terminal.type('query-na');
    await first.kill();
    await terminal.shows(/the server closed the connection; trying to reach it again\n\(QEMU\) query-na$/);
    await start('second');
    await terminal.shows(/Connected to QEMU .*, again\n\(QEMU\) query-na$/);
    await terminal.enter('me');
    await terminal.shows('{\n  "name": "second"\n}\n(QEMU)');
  });
});
