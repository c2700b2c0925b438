import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LONGEST_PROGRAM, programName } from '../../../dist/net/listen/program-name.js';

/** @param line a command line, its words behind blanks */
function nameOf(comm: string | null, line: string, exe: string | null = null): string | null {
  return programName({ comm, words: line === '' ? [] : line.split(' '), exe });
}

describe('a program is called', () => {
  test('by its own name', () => {
    assert.equal(nameOf('nc', 'nc -U /run/vm.mux', '/usr/bin/nc.openbsd'), 'nc');
    assert.equal(nameOf('socat', ''), 'socat');
    assert.equal(nameOf('systemd', '/sbin/init splash', '/usr/lib/systemd/systemd'), 'systemd');
    assert.equal(nameOf('qemu-system-x86', '/usr/bin/qemu-system-x86_64 -S'), 'qemu-system-x86_64');
    assert.equal(nameOf('bash', '-bash', '/usr/bin/bash'), 'bash');
    assert.equal(nameOf(null, '', null), null);
  });

  test('by its script where another program runs that, whatever its main thread is called', () => {
    for (const comm of ['node', 'MainThread']) {
      assert.equal(nameOf(comm, '/usr/bin/node /opt/exporter.js --port 1'), 'exporter.js');
      assert.equal(nameOf(comm, 'node --import ./hook.js -r x --no-warnings app.mjs'), 'app.mjs');
    }
    assert.equal(nameOf('python3', '/usr/bin/python3.11 -u -W ignore /opt/poll.py exec'), 'poll.py');
    assert.equal(nameOf('python3', 'python3 -m qmp.shell x'), 'qmp.shell');
    assert.equal(nameOf('poll', '/usr/bin/python3 /usr/bin/poll', '/usr/bin/python3.11'), 'poll');
    assert.equal(nameOf('perl', 'perl -I lib -w check.pl'), 'check.pl');
    assert.equal(nameOf('sh', 'sh -e -- ./backup.sh'), 'sh');
    assert.equal(nameOf('sh', 'sh -- ./backup.sh'), 'backup.sh');
    // By the kernel's word it is Python, whatever it calls itself.
    assert.equal(nameOf('nc', 'nc poll.py', '/usr/bin/python3.11'), 'poll.py');
  });

  test('by the interpreter where that runs no script', () => {
    assert.equal(nameOf('python3', 'python3 -c print("/etc/x")'), 'python3');
    assert.equal(nameOf('MainThread', 'node -e 1'), 'node');
    assert.equal(nameOf('MainThread', 'node'), 'node');
    assert.equal(nameOf('perl', 'perl -ne print /x'), 'perl');
  });

  test('qmpmux with its subcommand, and no other program with its arguments', () => {
    assert.equal(nameOf('MainThread', 'node /usr/bin/qmpmux exec /run/vm.mux query-status'), 'qmpmux exec');
    assert.equal(nameOf('node', 'node /usr/lib/qmpmux/bin/qmpmux.js shell'), 'qmpmux shell');
    assert.equal(nameOf('node', 'node qmpmux.js --help'), 'qmpmux');
    assert.equal(nameOf('node', `node qmpmux.js ${'x'.repeat(40)}`), 'qmpmux');
    assert.equal(nameOf('node', 'node tool.js secret'), 'tool.js');
  });

  test('by the title that it has given itself', () => {
    for (const exe of ['/usr/bin/node', null]) {
      assert.equal(programName({ comm: 'qmpmux clients', words: ['qmpmux clients', '', ''], exe }), 'qmpmux clients');
      assert.equal(
        programName({ comm: 'qmpmux audit sh', words: ['qmpmux audit show', ''], exe }),
        'qmpmux audit show',
      );
    }
  });

  test('by a bounded name', () => {
    assert.equal(nameOf('node', `node ${'x'.repeat(4000)}`)?.length, LONGEST_PROGRAM);
  });
});
