/** The programs people have on their machines, unchanged, against a real QEMU through the real daemon. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { startProgram } from '../../support/daemon/program.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { missing } from '../../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../../support/qemu/shared-vm.js';

const greeting = '"capabilities": ["oob"]}}\r\n';
const negotiation = '{"execute":"qmp_capabilities"}';

/** A command as someone would paste it from a manual. */
const overSeveralLines = `{ "execute": "qom-list",
  "arguments": {
    "path": "/nowhere"
  },
  "id": "pasted"
}
`;
const pastedAnswer =
  '{"id": "pasted", "error": {"class": "DeviceNotFound", "desc": "Device \'/nowhere\' not found"}}\r\n';

function nameAnswer(id: string): string {
  return `{"return": {"name": "programs"}, "id": ${id}}\r\n`;
}

describe('programs', { skip: missing('qemu') }, () => {
  const scope = suiteScope();
  let vm: SharedVm;
  /** The path of the Unix socket, and the host and port of the TCP one. */
  let path: string;
  /** Where the handshake may be left out. */
  let easy: string;
  let host: string;
  let port: string;

  before(async () => {
    easy = join(scratch(scope), 'easy');
    vm = await shareVm(scope, { name: 'programs', listen: ['tcp:127.0.0.1:0', `unix:${easy},negotiate=auto`] });
    path = vm.target.replace(/^unix:/, '');
    [, host = '', port = ''] = /^tcp:(.*):(\d+)$/.exec(vm.targets[1] ?? '') ?? [];
  });

  describe('nc', { skip: missing('nc') }, () => {
    test('-U: someone types a command in pieces', async (t) => {
      const nc = startProgram(t, 'nc', '-U', path);
      await nc.reads(greeting);
      await nc.type('{"execute":');
      await nc.type('"qmp_capa');
      await nc.type('bilities"}');
      await nc.reads('{"return": {}}\r\n');
      for (const piece of ['{"execute"', ': "query-name"', ',\n', '"id"', ':', '1', '}', '\n']) await nc.type(piece);
      await nc.reads(nameAnswer('1'));
      nc.kill('SIGINT');
      await nc.exited;
    });

    test('-U: someone pastes a command over several lines', async (t) => {
      const nc = startProgram(t, 'nc', '-U', path);
      await nc.type(`${negotiation}\n${overSeveralLines}`);
      await nc.reads(pastedAnswer);
    });

    test('-U -N: all that was piped in is answered, then it ends', async (t) => {
      const nc = startProgram(t, 'nc', '-N', '-U', path);
      const queries = Array.from({ length: 50 }, (_, index) => `{"execute":"query-name","id":${index}}`);
      await nc.type(`${negotiation}${queries.join('')}`);
      nc.endInput();
      assert.equal(await nc.exited, 0);
      const answers = Array.from({ length: 50 }, (_, index) => nameAnswer(String(index)));
      assert.equal(nc.output.replace(/^.*\r\n/, ''), `{"return": {}}\r\n${answers.join('')}`);
    });

    test('-U -N with nothing piped in: the greeting, then it ends', async (t) => {
      const nc = startProgram(t, 'nc', '-N', '-U', path);
      nc.endInput();
      assert.equal(await nc.exited, 0);
      assert.match(nc.output, /^\{"QMP": .*\}\r\n$/);
    });

    test('-U -N where negotiate=auto: a command alone is answered, events are spared', async (t) => {
      const nc = startProgram(t, 'nc', '-U', '-N', easy);
      const typing = '{"execute":"cont"}{"execute":"stop","id":1}{"execute":"query-name","id":2}\n';
      await nc.type(typing);
      nc.endInput();
      assert.equal(await nc.exited, 0);
      const [first = '', ...others] = nc.output.split('\r\n');
      assert.ok(`${first}\r\n`.endsWith(greeting));
      assert.deepEqual(others, ['{"return": {}}', '{"return": {}, "id": 1}', nameAnswer('2').trimEnd(), '']);
    });

    test('-U where negotiate=auto: who negotiates is answered as anywhere, and gets events', async (t) => {
      const nc = startProgram(t, 'nc', '-U', easy);
      await nc.type(`${negotiation}\n`);
      await nc.reads('{"return": {}}\r\n');
      await nc.type('{"execute":"cont"}{"execute":"stop","id":1}');
      await nc.reads('"event": "RESUME"}\r\n{"return": {}}\r\n');
      await nc.reads('"event": "STOP"}\r\n{"return": {}, "id": 1}\r\n');
    });

    test('over TCP', async (t) => {
      const nc = startProgram(t, 'nc', '-N', host, port);
      await nc.type(`${negotiation}{"execute":"query-name","id":1}`);
      nc.endInput();
      assert.equal(await nc.exited, 0);
      assert.ok(nc.output.endsWith(nameAnswer('1')));
    });
  });

  test('the shell with -N, where there is no guest agent: negotiate=auto answers it at once, others once it has negotiated', async () => {
    const lines = { [easy]: 'query-name\n', [path]: 'qmp_capabilities\nquery-name\n' };
    for (const [socket, input] of Object.entries(lines)) {
      const { code, output, errors } = await runQmpmux(['shell', '-N', socket], { input });
      assert.deepEqual({ code, errors }, { code: 0, errors: '' });
      assert.ok(output.endsWith('{"return": {"name": "programs"}}\n'), output);
    }
  });

  test('telnet: someone types', { skip: missing('telnet') }, async (t) => {
    // with its output no terminal, telnet shows CRLF as LF
    const telnet = startProgram(t, 'telnet', host, port);
    await telnet.reads(greeting.trimEnd());
    await telnet.type(`${negotiation}\n`);
    await telnet.reads('{"return": {}}\n');
    await telnet.type(`${overSeveralLines}{"execute":"query-name","id":1}\n`);
    await telnet.reads(pastedAnswer.trimEnd());
    await telnet.reads(nameAnswer('1').trimEnd());
  });

  test('telnet in a terminal: someone types, and quits with its escape character', {
    skip: missing('telnet', 'script'),
  }, async (t) => {
    const telnet = startProgram(t, 'script', '-qfec', `telnet ${host} ${port}`, '/dev/null');
    await telnet.reads('"capabilities": ["oob"]}}');
    await telnet.type(`${negotiation}\r`);
    await telnet.reads('{"return": {}}');
    await telnet.type('{"execute":"query-name","id":1}\r');
    await telnet.reads('{"return": {"name": "programs"}, "id": 1}');
    await telnet.type('\x1d');
    await telnet.reads('telnet> ');
    await telnet.type('quit\r');
    await telnet.exited;
  });

  describe('socat', { skip: missing('socat') }, () => {
    test('- UNIX-CONNECT: what is piped in is answered', async (t) => {
      const socat = startProgram(t, 'socat', '-t30', '-', `UNIX-CONNECT:${path}`);
      await socat.type(`${negotiation}\n{"execute":"query-name","id":1}\n`);
      socat.endInput();
      assert.equal(await socat.exited, 0);
      assert.ok(socat.output.endsWith(`{"return": {}}\r\n${nameAnswer('1')}`));
    });

    test('- UNIX-CONNECT: a dialogue', async (t) => {
      const socat = startProgram(t, 'socat', '-', `UNIX-CONNECT:${path}`);
      await socat.reads(greeting);
      await socat.type(`${negotiation}\n`);
      await socat.reads('{"return": {}}\r\n');
      await socat.type(overSeveralLines);
      await socat.reads(pastedAnswer);
    });

    test('under rlwrap in a terminal: someone edits a line and recalls it', {
      skip: missing('rlwrap', 'script'),
    }, async (t) => {
      const command = `stty rows 50 cols 200; rlwrap -C qmp -H /dev/null socat UNIX-CONNECT:${path} STDIO`;
      const rlwrap = startProgram(t, 'script', '-qfec', command, '/dev/null');
      await rlwrap.reads('"capabilities": ["oob"]}}');
      await rlwrap.type(`${negotiation}\r`);
      await rlwrap.reads('{"return": {}}');
      // a slip of the keyboard, taken back
      await rlwrap.type('{"execute":"query-nome\x7f\x7f\x7fame","id":1}\r');
      await rlwrap.reads('{"return": {"name": "programs"}, "id": 1}');
      // the line before, once more
      await rlwrap.type('\x10\r');
      await rlwrap.reads('{"return": {"name": "programs"}, "id": 1}');
      await rlwrap.type('\x04');
      await rlwrap.exited;
    });
  });

  describe('ncat', { skip: missing('ncat') }, () => {
    test('-U: a dialogue', async (t) => {
      const ncat = startProgram(t, 'ncat', '-U', path);
      await ncat.reads(greeting);
      await ncat.type(`${negotiation}\n`);
      await ncat.reads('{"return": {}}\r\n');
      await ncat.type(overSeveralLines);
      await ncat.reads(pastedAnswer);
    });

    test('-U: all that was piped in is answered, then it ends', async (t) => {
      const ncat = startProgram(t, 'ncat', '-U', path);
      await ncat.type(`${negotiation}\n{"execute":"query-name","id":1}\n`);
      ncat.endInput();
      assert.equal(await ncat.exited, 0);
      assert.ok(ncat.output.endsWith(nameAnswer('1')));
    });

    test('over TCP, with CRLF line ends', async (t) => {
      const ncat = startProgram(t, 'ncat', '-C', host, port);
      await ncat.reads(greeting);
      await ncat.type(`${negotiation}\n`);
      await ncat.reads('{"return": {}}\r\n');
      await ncat.type(overSeveralLines);
      await ncat.reads(pastedAnswer);
    });
  });
});
