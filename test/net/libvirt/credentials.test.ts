/** libvirt's auth.conf: which file it is, and what of it is taken. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { credentialsFile, exposedMode, readCredentials } from '../../../dist/net/libvirt/credentials.js';
import { scratch } from '../../support/files/scratch.js';

const SECRET = 's3cret';

function file(t: TestContext, ...lines: readonly string[]): string {
  const path = join(scratch(t), 'auth.conf');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

test('the file is that of the environment, of the URI, of the user, of the system, in this order', (t) => {
  const settings = scratch(t);
  const system = '/etc/libvirt/auth.conf';
  assert.equal(credentialsFile(null, { XDG_CONFIG_HOME: settings }), system);
  mkdirSync(join(settings, 'libvirt'));
  const own = join(settings, 'libvirt/auth.conf');
  writeFileSync(own, '');
  assert.equal(credentialsFile(null, { XDG_CONFIG_HOME: settings }), own);
  assert.equal(credentialsFile(null, { HOME: '/nowhere' }), system);
  assert.equal(credentialsFile('/uri', { XDG_CONFIG_HOME: settings }), '/uri');
  assert.equal(credentialsFile('/uri', { LIBVIRT_AUTH_FILE: '/env' }), '/env');
});

test('credentials are those of the host, else of the default', (t) => {
  const path = file(
    t,
    '# who we are',
    '  [auth-libvirt-a.example] ',
    'credentials = one',
    '[auth-libvirt-default]',
    'credentials=two',
    '[auth-ssh-a.example]',
    'credentials=three',
    '[credentials-one]',
    'authname = fred@example',
    'username=other',
    `password=${SECRET} =\\s\\\\x `,
    '[credentials-two]',
    'username=joe',
    'password=',
  );
  assert.deepEqual(readCredentials(path, 'a.example'), { name: 'fred@example', password: `${SECRET} = \\x ` });
  assert.deepEqual(readCredentials(path, 'b.example'), { name: 'joe', password: '' });
});

for (const [what, lines, problem] of [
  [
    'no group of the host',
    ['[auth-ssh-host]', 'credentials=x'],
    ' has no group [auth-libvirt-host] or [auth-libvirt-default]',
  ],
  ['no name of credentials', ['[auth-libvirt-host]'], ': [auth-libvirt-host] has no line credentials=NAME'],
  [
    'no credentials of that name',
    ['[auth-libvirt-host]', 'credentials=x'],
    ' has no group [credentials-x], which [auth-libvirt-host] names',
  ],
  [
    'no name of a user',
    ['[auth-libvirt-host]', 'credentials=x', '[credentials-x]', `password=${SECRET}`],
    ': [credentials-x] has no line authname=…',
  ],
  [
    'no password',
    ['[auth-libvirt-host]', 'credentials=x', '[credentials-x]', 'authname=a'],
    ': [credentials-x] has no line password=…',
  ],
  ['a line that means nothing', ['# x', '', `password: ${SECRET}`], ': line 3 is not [group], name=value or # comment'],
  ['a value outside of groups', [`password=${SECRET}`], ': line 1 is not [group], name=value or # comment'],
] as const) {
  test(`a file with ${what} is reported as such, without parts that may be secret`, (t) => {
    const path = file(t, ...lines);
    assert.equal(readCredentials(path, 'host'), `${path}${problem}`);
  });
}

test('a missing file, or a path that is not a file, is reported as such', (t) => {
  const folder = scratch(t);
  assert.equal(readCredentials(folder, 'host'), `${folder}: it is a folder`);
  assert.equal(readCredentials(`${folder}/x`, 'host'), `there is no ${folder}/x`);
});

test('a file that others have rights to is reported, with its mode', (t) => {
  const path = file(t, '# secrets');
  const { uid } = statSync(path);
  const [own, others] = [uid, uid + 1];
  for (const [mode, user, exposed] of [
    [0o600, own, null],
    [0o400, own, null],
    [0o640, own, '0640'],
    [0o644, own, '0644'],
    [0o604, own, '0604'],
    // Of root's, and readable by the group of the daemon.
    [0o640, others, null],
    [0o644, others, '0644'],
    [0o004, others, '0004'],
  ] as const) {
    chmodSync(path, mode);
    assert.equal(exposedMode(path, user), exposed, mode.toString(8));
  }
  chmodSync(path, 0o644);
  assert.equal(exposedMode(path), '0644');
  assert.equal(exposedMode('/nowhere'), null);
  assert.equal(exposedMode('/dev/null'), null);
});
