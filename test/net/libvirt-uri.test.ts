import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultLibvirtUri, type LibvirtTarget, parseLibvirtUri } from '../../dist/net/libvirt-uri.js';

const environment = { XDG_RUNTIME_DIR: '/run/user/7', HOME: '/home/me' };

function reach(uri: string): LibvirtTarget['reach'] {
  const parsed = parseLibvirtUri(uri, environment);
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.problem);
  return parsed.target.reach;
}

test('a local URI leads to the sockets of the daemon for QEMU alone, then of the one for all', () => {
  const system = ['/run/libvirt/virtqemud-sock', '/run/libvirt/libvirt-sock'];
  assert.deepEqual(reach('qemu:///system'), { kind: 'unix', paths: system });
  assert.deepEqual(reach('qemu+unix:///system'), { kind: 'unix', paths: system });
  assert.deepEqual(reach('qemu:///system?mode=legacy'), { kind: 'unix', paths: ['/run/libvirt/libvirt-sock'] });
  assert.deepEqual(reach('qemu:///session?mode=direct'), {
    kind: 'unix',
    paths: ['/run/user/7/libvirt/virtqemud-sock'],
  });
  assert.deepEqual(reach('qemu:///system?socket=/run/a%20b'), { kind: 'unix', paths: ['/run/a b'] });
});

test('over ssh, the daemon is reached by virt-ssh-helper or by nc', () => {
  const ssh = ['ssh', '-T', '-e', 'none', '-o', 'BatchMode=yes'];
  const auto =
    'if command -v virt-ssh-helper >/dev/null 2>&1; then exec virt-ssh-helper qemu:///system; else exec nc -U /run/libvirt/libvirt-sock; fi';
  assert.deepEqual(reach('qemu+ssh://host/system'), {
    kind: 'ssh',
    command: [...ssh, '--', 'host', `sh -c '${auto}'`],
  });
  assert.deepEqual(reach('qemu+ssh://me@[::1]:22/session?keyfile=/k&no_verify=1'), {
    kind: 'ssh',
    command: [
      ...ssh,
      '-o',
      'StrictHostKeyChecking=no',
      '-p',
      '22',
      '-l',
      'me',
      '-i',
      '/k',
      '--',
      '::1',
      `sh -c 'exec virt-ssh-helper qemu:///session'`,
    ],
  });
  assert.deepEqual(reach('qemu+ssh://host/system?proxy=netcat&netcat=ncat&mode=direct&command=/bin/myssh'), {
    kind: 'ssh',
    command: ['/bin/myssh', ...ssh.slice(1), '--', 'host', `sh -c 'exec ncat -U /run/libvirt/virtqemud-sock'`],
  });
});

test('nothing of a URI means anything to the shell of the other host', () => {
  for (const evil of ["/a'b", '/a b', '/a;b', '/a$b', '/a`b', '/a\nb', '/a"b', '/a|b', '/a&b', '/a>b', '/a*b']) {
    const value = encodeURIComponent(evil);
    assert.ok(!parseLibvirtUri(`qemu+ssh://host/system?socket=${value}`).ok, evil);
    assert.ok(!parseLibvirtUri(`qemu+ssh://host/system?netcat=${value}`).ok, evil);
    assert.ok(!parseLibvirtUri(`qemu+ssh://host${evil.slice(1)}/system`).ok, evil);
  }
  assert.ok(!parseLibvirtUri('qemu+ssh://-oProxyCommand=x/system').ok);
});

for (const [uri, problem] of [
  ['web1', /no libvirt URI/],
  ['xen:///system', /"xen" is not QEMU's driver/],
  ['qemu:///embed?root=/x', /\/system or \/session/],
  ['qemu://host/system', /over TLS is not supported; write qemu\+ssh:\/\/host\/system/],
  ['qemu+tcp://host/system', /over tcp is not supported/],
  ['qemu+libssh2://host/system', /runs the program ssh/],
  ['qemu+carrier-pigeon://host/system', /no libvirt URI/],
  ['qemu+ext:///system', /transport "ext" is not supported/],
  ['qemu:///system?sockt=/x', /unknown parameter "sockt" \(known: socket/],
  ['qemu:///system?socket=x', /begins with \//],
  ['qemu:///system?socket=%zz', /bad %-sequence/],
  ['qemu:///system?mode=fast', /auto, direct or legacy/],
  ['qemu+ssh://host/session?proxy=netcat', /give its socket/],
  ['qemu+ssh:///system', /is no \[USER@\]HOST/],
] as const) {
  test(`${uri} is refused: ${problem.source}`, () => {
    const parsed = parseLibvirtUri(uri, environment);
    assert.ok(!parsed.ok);
    assert.match(parsed.problem, problem);
  });
}

test('without a URI, the one of virsh is meant', () => {
  assert.equal(defaultLibvirtUri({ LIBVIRT_DEFAULT_URI: 'qemu+ssh://a/system' }), 'qemu+ssh://a/system');
  assert.equal(defaultLibvirtUri({}), process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session');
});
