/**
 * The human monitor as people use it: their programs show the same on a socket of qmpmux with `protocol=hmp` as on QEMU's own
 * `-monitor`, and what qmpmux adds (policy, audit log, many at a time) is there as well.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, type TestContext, test } from 'node:test';
import { type Program, startProgram } from '../../support/daemon/program.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../../support/qemu/shared-vm.js';
import { RawClient, type Target } from '../../support/world/raw-client.js';

const banner = "monitor - type 'help' for more information\r\n(qemu) ";
const prompt = '\r\n(qemu) ';

function hostAndPort(target: Target): [host: string, port: string] {
  const [, host = '', port = ''] = /^tcp:(.*):(\d+)$/.exec(target) ?? [];
  return [host, port];
}

describe('the human monitor for programs', { skip: missing('qemu') }, () => {
  const scope = suiteScope();
  const folder = scratch(scope);
  let vm: SharedVm;
  /** QEMU's own, and ours. */
  let unix: readonly string[];
  let tcp: readonly Target[];
  let telnet: readonly Target[];

  before(async () => {
    const chardev = 'socket,id=tel,host=127.0.0.1,port=0,server=on,wait=off,telnet=on';
    vm = await shareVm(scope, {
      name: 'programs',
      monitors: [{}, { hmp: true }, { hmp: true, kind: 'tcp' }],
      listen: [
        `unix:${folder}/hmp,protocol=hmp`,
        'tcp:127.0.0.1:0,protocol=hmp',
        'tcp:127.0.0.1:0,protocol=hmp,telnet=on',
      ],
      flags: ['--audit', `${folder}/audit`],
      extraArgs: ['-chardev', chardev, '-mon', 'chardev=tel,mode=readline'],
    });
    // query-chardev's answer has this shape (qapi/char.json)
    const devices = (await vm.qemu.execute('query-chardev')) as { label: string; filename: string }[];
    const filename = devices.find(({ label }) => label === 'tel')?.filename ?? '';
    unix = [vm.qemu.monitors[1] ?? '', `${folder}/hmp`];
    tcp = [vm.qemu.monitors[2] ?? '', vm.targets[2] ?? ''];
    telnet = [filename.replace(/^.*telnet:/, 'tcp:').replace(/,.*/, ''), vm.targets[3] ?? ''];
  });

  /** Has a dialogue with each, and compares what the program showed. */
  async function compare<T>(
    t: TestContext,
    targets: readonly T[],
    start: (target: T) => readonly [string, ...string[]],
    talk: (program: Program) => Promise<unknown>,
  ): Promise<string> {
    const shown: string[] = [];
    for (const target of targets) {
      const program = startProgram(t, ...start(target));
      await talk(program);
      shown.push(program.output.replaceAll(String(target), 'SOCKET'));
    }
    assert.equal(JSON.stringify(shown[1]), JSON.stringify(shown[0]));
    return shown[1] ?? '';
  }

  test('nc -U: someone types', { skip: missing('nc') }, async (t) => {
    await compare(
      t,
      unix,
      (path) => ['nc', '-U', path],
      async (nc) => {
        await nc.reads(banner);
        for (const piece of ['in', 'fo na', 'me\n']) await nc.type(piece);
        await nc.reads(`programs${prompt}`);
        await nc.type('info status\r\nfoo\n');
        await nc.reads(`VM status: paused (prelaunch)${prompt}\r\n(qemu) `);
        await nc.reads(`unknown command: 'foo'${prompt}`);
      },
    );
  });

  test('nc -N -U: all that is piped in is answered, then it ends', { skip: missing('nc') }, async (t) => {
    const nc = startProgram(t, 'nc', '-N', '-U', unix[1] ?? '');
    await nc.type(`${'info name\n'.repeat(30)}info status`);
    nc.endInput();
    assert.equal(await nc.exited, 0);
    assert.equal(nc.output.split('\r\nprograms\r\n(qemu) ').length, 31);
    assert.ok(nc.output.endsWith('info status\x1b[K'));
  });

  test('ncat -C -U: with CRLF line ends', { skip: missing('ncat') }, async (t) => {
    await compare(
      t,
      unix,
      (path) => ['ncat', '-C', '-U', path],
      async (ncat) => {
        await ncat.type('info name\n');
        await ncat.reads(`programs${prompt}\r\n(qemu) `);
      },
    );
  });

  test('socat: what is piped in is answered', { skip: missing('socat') }, async (t) => {
    await compare(
      t,
      unix,
      (path) => ['socat', '-t30', '-', `UNIX-CONNECT:${path}`],
      async (socat) => {
        await socat.type('info name\n');
        socat.endInput();
        assert.equal(await socat.exited, 0);
      },
    );
  });

  test('socat -,echo=0,icanon=0 in a terminal: someone edits, completes and recalls', {
    skip: missing('socat', 'script'),
  }, async (t) => {
    const line = (path: string) => `stty rows 50 cols 200; socat -,echo=0,icanon=0 unix-connect:${path}`;
    await compare(
      t,
      unix,
      (path) => ['script', '-qfec', line(path), '/dev/null'],
      async (socat) => {
        await socat.reads('(qemu) ');
        await socat.type('inx\x7ff\tnam');
        await socat.reads('info nam\x1b[K');
        await socat.type('e\r');
        await socat.reads('programs');
        await socat.reads('(qemu) ');
        await socat.type('\x1b[A\x1b[D\x1b[D\x1b[3~m\r');
        await socat.reads('programs');
        await socat.reads('(qemu) ');
        await socat.type('\x0c');
        await socat.reads('\x1b[2J\x1b[1;1H(qemu) ');
        await socat.type('info v\t');
        await socat.reads('vnc');
        await socat.reads('info v\x1b[K');
      },
    );
  });

  test('rlwrap nc -U in a terminal: someone recalls a line', { skip: missing('rlwrap', 'nc', 'script') }, async (t) => {
    const line = (path: string) => `stty rows 50 cols 200; rlwrap -C hmp -H /dev/null nc -U ${path}`;
    for (const path of unix) {
      const rlwrap = startProgram(t, 'script', '-qfec', line(path), '/dev/null');
      await rlwrap.reads('(qemu) ');
      await rlwrap.type('info nome\x7f\x7f\x7fame\r');
      await rlwrap.reads('programs');
      await rlwrap.type('\x10\r');
      await rlwrap.reads('programs');
    }
  });

  const inTerminal = (target: Target): readonly [string, ...string[]] => [
    'script',
    '-qfec',
    `stty rows 50 cols 200; telnet ${hostAndPort(target).join(' ')}`,
    '/dev/null',
  ];

  test('telnet in a terminal, on a plain socket: line by line', { skip: missing('telnet', 'script') }, async (t) => {
    await compare(t, tcp, inTerminal, async (program) => {
      await program.reads('(qemu) ');
      await program.type('info name\r');
      await program.reads('programs');
      await program.reads('(qemu) ');
      await program.reads('(qemu) ');
    });
  });

  test('telnet in a terminal, on a socket with telnet=on: key by key', {
    skip: missing('telnet', 'script'),
  }, async (t) => {
    await compare(t, telnet, inTerminal, async (program) => {
      await program.reads('(qemu) ');
      await program.type('inf\tnam');
      await program.reads('info nam\x1b[K');
      await program.type('e\r');
      await program.reads('programs');
      await program.reads('(qemu) ');
      await program.type('\x1b[A');
      await program.reads('info name\x1b[K');
    });
  });

  test('the negotiation of telnet is that of QEMU, and what is said of it is not typed', async () => {
    const heard: string[] = [];
    for (const target of telnet) {
      const client = await RawClient.connect(target);
      await client.write(Buffer.from('in\xff\xfd\x01fo\xff\xfb\x00 nam\xff\xfe\x22e\n', 'latin1'));
      await client.readUntil('programs\r\n(qemu) ');
      heard.push(client.received.toString('latin1'));
      await client.close();
    }
    assert.equal(heard[1], heard[0]);
    assert.ok(heard[1]?.startsWith('\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00QEMU '));
  });

  test('several people at a time, and a QMP client, each with their own line', async () => {
    const one = await RawClient.connect(unix[1] ?? '');
    const other = await RawClient.connect(unix[1] ?? '');
    const qmp = await RawClient.connect(vm.target);
    await one.write('info na');
    await other.write('info status\n');
    await qmp.write('{"execute":"qmp_capabilities"}{"execute":"query-name","id":1}');
    await other.readUntil('VM status: paused (prelaunch)\r\n(qemu) ');
    await one.write('me\n');
    await one.readUntil('programs\r\n(qemu) ');
    await qmp.readUntil('"id": 1}');
    for (const client of [one, other, qmp]) await client.close();
  });

  test('each line is in the audit log with who typed it, and passwords are not', async () => {
    const client = await RawClient.connect(unix[1] ?? '');
    await client.write('info uuid\nchange vnc password\n');
    await client.readUntil('Password: ');
    await client.write('sesame\nend-of-case\n');
    await client.readUntil("'end-of-case'\r\n(qemu) ");
    await client.close();
    const text = readFileSync(`${folder}/audit`, 'utf8');
    assert.match(text, /human-monitor-command.*"info uuid"/);
    assert.match(text, new RegExp(`"pid":${process.pid}\\b`));
    assert.equal(text.includes('sesame'), false);
  });
});

describe('the human monitor at the end', { skip: missing('qemu') }, () => {
  test('quit ends QEMU, and the connection without a further prompt, as on QEMU itself', async (t) => {
    const folder = scratch(t);
    const shared = await shareVm(t, { flags: ['--listen', `unix:${folder}/hmp,protocol=hmp`] });
    const direct = await startQemu(t, { monitors: [{ hmp: true }] });
    const heard: string[] = [];
    for (const target of [direct.monitor, `${folder}/hmp`]) {
      const client = await RawClient.connect(target);
      await client.write('quit\ninfo name\n');
      await client.readToEnd();
      heard.push(client.received.toString('latin1'));
    }
    assert.equal(heard[1], heard[0]);
    await shared.qemu.exited;
  });

  test('a policy judges the verbs', async (t) => {
    const folder = scratch(t);
    await shareVm(t, {
      name: 'vm',
      flags: ['--listen', `unix:${folder}/hmp,protocol=hmp,policy=./test/e2e/clients/hmp.rules`],
    });
    const client = await RawClient.connect(`${folder}/hmp`);
    await client.write('info name\nstop\n');
    await client.readUntil('vm\r\n(qemu) ');
    await client.readUntil(
      "\r\nError: Command 'stop' is not allowed here (policy ./test/e2e/clients/hmp.rules)\r\n(qemu) ",
    );
    await client.close();
  });
});
