/** A folder of config files: those that can be used are, whatever other files are there. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { ConfigError } from '../../../dist/daemon/config/config-error.js';
import { readConfig } from '../../../dist/daemon/config/config-file.js';
import { readConfigFolder } from '../../../dist/daemon/config/config-folder.js';
import { readTextFile } from '../../../dist/daemon/config/text-file.js';
import { scratch } from '../../support/files/scratch.js';

const vm = (name: string, more = '', listen = `/nowhere/${name}.mux`) =>
  `[monitor.${name}]\nupstream = "/nowhere/${name}.qmp"\nlisten = ["${listen}"]\n${more}`;

function folderOf(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = scratch(t);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

function read(folder: string): { readonly monitors: readonly string[]; readonly faults: readonly string[] } {
  const config = readConfigFolder(folder);
  return {
    monitors: config.monitors.map(({ name }) => name),
    faults: (config.folder?.faults ?? []).map(({ file, problem }) => {
      assert.ok(problem.startsWith(file), problem);
      return problem.slice(folder.length + 1);
    }),
  };
}

describe('a file that cannot be used is left out, and named: one', () => {
  const cases: readonly (readonly [what: string, content: string, problem: RegExp])[] = [
    ['that was cut', '[monitor.bad', /^bad\.toml:1:\d+: not TOML: /],
    ['that lacks something', '[monitor.bad]\n', /^bad\.toml:1: monitor\.bad\.upstream: is missing$/],
    ['of a monitor that is there already', vm('web'), /^web\.toml:1: monitor\.web: is in .*\/bad\.toml already$/],
    [
      'with a socket that is there already',
      vm('bad', '', '/nowhere/a.mux'),
      /^bad\.toml:3: monitor\.bad\.listen\[0\]: unix:\/nowhere\/a\.mux is a listener of a already$/,
    ],
    [
      'with a policy that there is not',
      vm('bad', '', '/nowhere/bad.mux,policy=none'),
      /^bad\.toml:3: monitor\.bad\.listen\[0\]: there is no policy "none"/,
    ],
    [
      'with a file of rules that is not there',
      vm('bad', '', '/nowhere/bad.mux,policy=/nowhere/rules'),
      /^bad\.toml:3: monitor\.bad\.listen\[0\]: \/nowhere\/rules: cannot read this policy: /,
    ],
    [
      'with TCP that lets anyone in',
      vm('bad', '', 'tcp:0.0.0.0:4444'),
      /^bad\.toml:3: monitor\.bad\.listen\[0\]: cannot listen on tcp:0\.0\.0\.0:4444: 0\.0\.0\.0 can be reached from other machines/,
    ],
    [
      'whose metrics let anyone in',
      vm('bad', '[metrics]\nlisten = "tcp:0.0.0.0:9177"\n'),
      /^bad\.toml:5: metrics\.listen: cannot listen on tcp:0\.0\.0\.0:9177/,
    ],
    [
      'with a user that there is not',
      vm('bad', '', '/nowhere/bad.mux,user=nobody-here'),
      /^bad\.toml:3: monitor\.bad\.listen\[0\]: .*there is no user "nobody-here"/,
    ],
    [
      'with certificates that there are not',
      vm('bad', '', 'tcp:0.0.0.0:4444,tls=/nowhere'),
      /^bad\.toml:3: monitor\.bad\.listen\[0\]: .*\/nowhere\/ca-cert\.pem/,
    ],
    [
      'with a QEMU that dials anywhere',
      '[monitor.bad]\nupstream = "tcp:0.0.0.0:1,server"\nlisten = ["/nowhere/bad.mux"]\n',
      /^bad\.toml:2: monitor\.bad\.upstream: .*can be reached from other machines/,
    ],
    [
      'with a path that is too long',
      vm('bad', '', `/${'m'.repeat(108)}`),
      /^bad\.toml:3: monitor\.bad\.listen\[0\]: address .*107/,
    ],
  ];
  for (const [what, content, problem] of cases) {
    test(what, (t) => {
      const { monitors, faults } = read(folderOf(t, { 'a.toml': vm('a'), 'bad.toml': content, 'web.toml': vm('web') }));
      // Of two with the same, the later one is left out.
      const isLate = faults[0]?.startsWith('web') === true;
      assert.deepEqual(monitors, ['a', 'web']);
      assert.equal(faults.length, 1);
      assert.match(faults[0] ?? '', isLate ? /^web\.toml/ : /^bad\.toml/);
      assert.match(faults[0] ?? '', problem);
    });
  }

  test('that is no file', (t) => {
    const folder = folderOf(t, { 'a.toml': vm('a') });
    mkdirSync(join(folder, 'folder.toml'));
    symlinkSync('/nowhere', join(folder, 'link.toml'));
    symlinkSync('/dev/zero', join(folder, 'zero.toml'));
    execFileSync('mkfifo', [join(folder, 'pipe.toml')]);
    assert.deepEqual(read(folder), {
      monitors: ['a'],
      faults: [
        'folder.toml: it is a folder, not a regular file',
        'link.toml: there is no such file',
        'pipe.toml: it is a named pipe, not a regular file',
        'zero.toml: it is a device, not a regular file',
      ],
    });
  });

  test('that is larger than any config', (t) => {
    const folder = folderOf(t, { 'a.toml': vm('a'), 'large.toml': '' });
    truncateSync(join(folder, 'large.toml'), 5e9);
    assert.deepEqual(read(folder), { monitors: ['a'], faults: ['large.toml: it has more than 16 MiB'] });
  });

  test('whose policies are in one that cannot be used', (t) => {
    const files = {
      'a.toml': vm('a'),
      'b.toml': vm('b', '', '/nowhere/b.mux,policy=p'),
      'c.toml': `${vm('c', '', '/nowhere/c.mux,policy=q')}[policy.p]\nrules = []\n`,
      'd.toml': '[policy.q]\nrules = ["permit"]\n',
    };
    const { monitors, faults } = read(folderOf(t, files));
    assert.deepEqual(monitors, ['a']);
    assert.deepEqual(
      faults.map((fault) => fault.slice(0, 6)),
      ['b.toml', 'c.toml', 'd.toml'],
    );
  });
});

test('a folder of which nothing can be used is refused, and one that is empty is not', (t) => {
  assert.throws(() => readConfigFolder(folderOf(t, { 'bad.toml': '[monitor.bad]' })), ConfigError);
  assert.throws(
    () => readConfigFolder(folderOf(t, { 'bad.toml': '[', 'policy.toml': '[policy.p]\nrules = []' })),
    ConfigError,
  );
  assert.deepEqual(read(folderOf(t, {})), { monitors: [], faults: [] });
  assert.deepEqual(read(folderOf(t, { 'policy.toml': '[policy.p]\nrules = []' })), { monitors: [], faults: [] });
  assert.throws(() => readConfigFolder('/nowhere'), /^QMPMUX_CONFIG|there is no such folder/);
});

test('a file with the audit log that cannot be used is refused with all others: nothing is served unrecorded', (t) => {
  for (const content of [
    '[audit]\nto = "/x"\nchian = true\n',
    'audit.to = "/x"\n[monitor.bad]\n',
    '  [ "audit" ]\nto = "/x\n',
    `${vm('a')}[audit]\nto = "/x"\n`,
  ]) {
    assert.throws(() => readConfigFolder(folderOf(t, { 'a.toml': vm('a'), 'b.toml': content })), ConfigError, content);
  }
  // Where the log is in another file, it is kept.
  const there = read(folderOf(t, { 'a.toml': `[audit]\nto = "/x"\n${vm('a')}`, 'b.toml': '[audit]\nto = "/y"\n' }));
  assert.deepEqual(there.monitors, ['a']);
  assert.match(there.faults[0] ?? '', /^b\.toml:1: audit: is in .*a\.toml already$/);
});

test('one file alone is used as a whole or not at all', (t) => {
  const folder = folderOf(t, { 'c.toml': `${vm('a')}${vm('b', '', 'tcp:0.0.0.0:1')}` });
  assert.throws(
    () => readConfig(join(folder, 'c.toml')),
    /c\.toml:6: monitor\.b\.listen\[0\]: .*can be reached from other machines/,
  );
  assert.equal(readConfig(join(folder, 'c.toml'), false).monitors.length, 2);
});

test('a file is read from a pipe, if it is named, and as far as it may be long', (t) => {
  const folder = scratch(t);
  const program = `import('${new URL('../../../dist/daemon/config/text-file.js', import.meta.url).href}').then(({ readTextFile }) => console.log(readTextFile('/dev/stdin', false).length))`;
  const length = (bytes: number) => {
    const command = `head -c ${bytes} /dev/zero | "$0" -e "$1"`;
    return execFileSync('sh', ['-c', command, process.execPath, program], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  };
  assert.equal(length(200_000).trim(), '200000');
  assert.throws(() => length(17 * 1024 * 1024));
  assert.throws(() => readTextFile('/dev/zero', false), /it has more than 16 MiB/);
  assert.throws(() => readTextFile(folder, true), /it is a folder/);
});
