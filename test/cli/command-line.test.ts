import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startDaemon, startQmpmux } from '../support/daemon/daemon.js';
import { scratch } from '../support/files/scratch.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

describe('a wrong command line', () => {
  const cases: readonly (readonly [line: string, code: number, message: RegExp])[] = [
    ['srve', 64, /^unknown command "srve"; did you mean "serve"\? \(see qmpmux --help\)$/],
    ['xyzzy --upstream a', 64, /^unknown command "xyzzy" \(known: .*serve/],
    ['help exe', 64, /^unknown command "exe"; did you mean "exec"\? \(see qmpmux --help\)$/],
    ['exe --help', 64, /^unknown command "exe"; did you mean "exec"\?/],
    ['help audit shw', 64, /^unknown command "shw"; did you mean "show"\?/],
    ['help xyzzy', 64, /^unknown command "xyzzy" \(known: serve, /],
    ['audit', 64, /^name a command: show, verify, stats, replay \(see/],
    ['toString', 64, /^unknown command "toString" \(known: serve, /],
    ['--verison', 64, /^unknown option --verison; did you mean --version\?/],
    ['serve', 64, /^QEMU's monitor is missing: --upstream ADDRESS \(or --config FILE\) \(see qmpmux serve --help\)$/],
    ['serve --upstream /a', 64, /^a socket for clients is missing: --listen ADDRESS/],
    ['serve --upstream', 64, /^--upstream needs a value \(see qmpmux serve --help\)$/],
    ['serve --upstream --listen /b', 64, /^--upstream needs a value/],
    ['serve --upstream /a --lisen /b', 64, /^unknown option --lisen; did you mean --listen\?/],
    ['serve --upstream /a --listen /b --zzz=1', 64, /^unknown option --zzz \(see/],
    ['serve --upstream /a --listen /b -q', 64, /^unknown option -q \(see/],
    ['exec --pretty=no /a stop', 64, /^--pretty takes no value \(see qmpmux exec --help\)$/],
    ['exec --no-pretty /a stop', 64, /^unknown option --no-pretty/],
    ['exec --time 5s /a stop', 64, /^unknown option --time; did you mean --timeout\?/],
    ['shell -Hq /a', 64, /^unknown option -q in -Hq \(see/],
    ['audit show --slow soon /a', 64, /^--slow: a number is expected, not "soon"/],
    ['serve --upstream /a --listen /b /c', 64, /^"\/c" is unexpected here/],
    ['serve --upstream /a --upstream /b --listen /c', 64, /^--upstream is given more than once/],
    ['serve --upstream= --listen /b', 64, /^--upstream: address "", column 1: the address is empty/],
    ['serve --upstream tpc:h:1 --listen /b', 64, /^--upstream: address "tpc:h:1", column 1: .* did you mean "tcp"\?/],
    [
      'serve --upstream /a --listen tcp:localhost:http',
      64,
      /^--listen: address .* column 15: the port must be a number/,
    ],
    ['serve --upstream /a --listen /b,mdoe=0660', 64, /^--listen: .* unknown option "mdoe"; did you mean "mode"\?/],
    ['serve --upstream /a --listen 4444', 64, /^--listen: .* did you mean "tcp:localhost:4444"\?/],
    ['serve --upstream /a --listen /b --audit /b', 64, /^unix:\/b is the audit log already/],
    ['serve --upstream /a --listen /a', 64, /^unix:\/a is the upstream of a already/],
    ['serve --upstream /a --listen /b --name a/b', 64, /^the name "a\/b" cannot be used: a name has letters/],
    [
      'serve --upstream /a --listen /b --log-level loud',
      64,
      /^--log-level: must be one of trace, .*, not "loud" \(see/,
    ],
    [
      'serve --upstream /a --listen /b --log-format jsn',
      64,
      /^--log-format: must be one of pretty, json, auto, not "jsn"; did you mean "json"\?/,
    ],
    ['serve --config /a --listen /b', 64, /^--config and --listen cannot be combined/],
    ['serve --config /a --no-cache', 64, /^--config and --no-cache cannot be combined/],
    ['serve --config /no/such.toml', 78, /^\/no\/such\.toml: there is no such file$/],
    ['serve --upstream /a --listen /no/such/folder/mux', 69, /^cannot listen on unix:.*: the folder .* does not exist/],
    ['serve --upstream /a --listen /dev/null', 69, /^cannot listen on unix:\/dev\/null: a device is there/],
    ['serve --upstream /a --listen tcp:0.0.0.0:4444', 69, /^cannot listen on tcp:0\.0\.0\.0:4444: .*other machines/],
    ['serve --upstream /no/such/folder/qmp,server --listen /tmp/x', 69, /^cannot listen on unix:\/no\/such/],
  ];
  for (const [line, code, message] of cases) {
    test(`is answered in one line: qmpmux ${line}`, async (t) => {
      const run = startQmpmux(
        t,
        line.split(' ').filter((word) => word !== ''),
      );
      const exit = await run.exited;
      assert.equal(run.output, '');
      assert.match(run.errors, /^qmpmux: [^\n]*\n$/);
      assert.match(run.errors.slice('qmpmux: '.length, -1), message);
      assert.deepEqual(exit, { code, signal: null });
    });
  }

  test('nothing at all gets the help', async (t) => {
    const run = startQmpmux(t, []);
    assert.deepEqual(await run.exited, { code: 64, signal: null });
    assert.match(run.output, /^Usage: qmpmux COMMAND\n[^]*\n {2}qmpmux serve /);
    assert.equal(run.errors, '');
  });

  test('a wrong config is answered in one line with its place', async (t) => {
    const file = join(scratch(t), 'q.toml');
    writeFileSync(file, '[monitor.vm]\nupstream = "/a"\nlisten = ["/b"]\nlsten = 1\n');
    const run = startDaemon(t, ['--config', file]);
    assert.deepEqual(await run.exited, { code: 78, signal: null });
    assert.equal(run.errors, `qmpmux: ${file}:4: monitor.vm.lsten: unknown key; did you mean "listen"?\n`);
  });

  test('a port in use is answered in one line', async (t) => {
    const server = createServer().listen(0, '127.0.0.1');
    t.after(() => server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const where = server.address();
    assert.ok(typeof where === 'object' && where !== null);
    const run = startDaemon(t, ['--upstream', '/a', '--listen', `tcp:127.0.0.1:${where.port}`]);
    assert.deepEqual(await run.exited, { code: 69, signal: null });
    assert.match(
      run.errors,
      /^qmpmux: cannot listen on tcp:127\.0\.0\.1:\d+: port \d+ is in use by another program;[^\n]*\n$/,
    );
  });
});

describe('help', () => {
  test('lists the commands', async (t) => {
    const run = startQmpmux(t, ['--help']);
    assert.deepEqual(await run.exited, { code: 0, signal: null });
    assert.equal(run.errors, '');
    assert.match(run.output, /^Usage: qmpmux COMMAND\n/);
    assert.match(run.output, /^ {2}qmpmux serve {2,}share /m);
  });

  test('of help, and of a group of commands, lists the commands', async (t) => {
    for (const words of [['help'], ['help', 'help']]) {
      const run = startQmpmux(t, words);
      assert.deepEqual(await run.exited, { code: 0, signal: null });
      assert.match(run.output, /^ {2}qmpmux serve {2,}share /m);
    }
    const run = startQmpmux(t, ['help', 'audit']);
    assert.deepEqual(await run.exited, { code: 0, signal: null });
    assert.match(run.output, /^ {2}qmpmux audit show {2,}/m);
  });

  test('of a command lists every option, and has examples', async (t) => {
    for (const words of [
      ['serve', '--help'],
      ['serve', '-h'],
      ['help', 'serve'],
    ]) {
      const run = startQmpmux(t, words);
      assert.deepEqual(await run.exited, { code: 0, signal: null });
      for (const option of [
        'upstream',
        'listen',
        'name',
        'config',
        'no-cache',
        'no-merge',
        'no-oob',
        'log-level',
        'log-format',
        'help',
        'version',
      ]) {
        assert.match(run.output, new RegExp(`--${option} `), option);
      }
      assert.match(run.output, /^Examples:$/m);
      assert.match(run.output, /qmpmux serve --config \/etc\/qmpmux\.toml/);
    }
  });

  test('and version are the ones of the package', async (t) => {
    const run = startQmpmux(t, ['--version']);
    assert.deepEqual(await run.exited, { code: 0, signal: null });
    const { version }: { version: string } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    assert.equal(run.output, `qmpmux ${version}\n`);
  });

  test('loads only the modules its command needs', async (t) => {
    const always = [
      'compile-cache',
      'framework/command-line',
      'framework/command-tree',
      'framework/exit-code',
      'framework/help',
      'framework/output',
      'framework/subcommand',
      'main',
      'main-bundle',
      'program',
      'screen/screen-text',
      'subcommands',
    ];
    assert.deepEqual(await loadedBy(t, ['--help']), always);
    assert.deepEqual(
      await loadedBy(t, ['serve', '--help']),
      [...always, 'commands/serve/serve', 'commands/serve/serve-config', 'commands/serve/serve-flags'].sort(),
    );
  });
});

/** @returns the names of the modules of src/cli that a command line loads. */
async function loadedBy(t: TestContext, words: readonly string[]): Promise<readonly string[]> {
  const folder = scratch(t);
  // The coverage that V8 keeps lists every module.
  const run = startQmpmux(t, words, { NODE_V8_COVERAGE: folder });
  assert.equal((await run.exited).code, 0);
  const modules = new Set<string>();
  for (const file of readdirSync(folder)) {
    const coverage = readFileSync(join(folder, file), 'utf8');
    for (const match of coverage.matchAll(/"url":"[^"]*\/dist\/cli\/([^"]+)\.js"/g)) modules.add(match[1] ?? '');
  }
  return [...modules].sort();
}

describe('the log', () => {
  test('is JSON lines where standard error is no terminal', async (t) => {
    const run = startDaemon(t, ['--upstream', join(scratch(t), 'qmp'), '--listen', join(scratch(t), 'mux')]);
    const line = await run.logged((logged) => logged.msg === 'waiting for QEMU');
    assert.equal(line.level, 40);
    assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT/);
    await run.stop();
    assert.equal(run.log.length, run.errors.split('\n').length - 1, 'every line is one');
  });

  test('is pretty on request, without colour where there is no terminal', async (t) => {
    const args = ['--upstream', join(scratch(t), 'qmp'), '--listen', join(scratch(t), 'mux'), '--log-format', 'pretty'];
    const run = startDaemon(t, args);
    while (!run.errors.includes('\n')) await new Promise(setImmediate);
    await run.stop();
    const lines = run.errors.trimEnd().split('\n');
    assert.equal(lines.length, 2);
    assert.match(lines[0] ?? '', /^\[.*\] WARN: waiting for QEMU \{.*"reason":"there is no such file"\}$/);
    assert.match(lines[1] ?? '', /INFO: ending \{"signal":"SIGTERM"\}$/);
  });

  test('is as detailed as asked for', async (t) => {
    const args = ['--upstream', join(scratch(t), 'qmp'), '--listen', join(scratch(t), 'mux')];
    const debug = startDaemon(t, [...args, '--log-level', 'debug']);
    for (let attempts = 0; attempts < 3; attempts++) {
      await debug.logged((line) => line.msg === 'still waiting for QEMU');
    }
    const dialled = join(scratch(t), 'qmp');
    const silent = startDaemon(t, ['--upstream', `${dialled},server`, ...args.slice(2), '--log-level', 'silent']);
    while (!existsSync(dialled)) await new Promise(setImmediate);
    assert.deepEqual(await silent.stop(), { code: 0, signal: null });
    assert.equal(silent.errors, '');
  });
});
