import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type LibvirtTarget, parseLibvirtUri } from '../../../dist/net/address/libvirt-uri.js';
import { tlsPlaces } from '../../../dist/net/libvirt/tls.js';
import { scratch } from '../../support/files/scratch.js';

const environment = { XDG_RUNTIME_DIR: '/run/user/7', HOME: '/home/me' };

function target(uri: string): LibvirtTarget {
  const parsed = parseLibvirtUri(uri, environment);
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.problem);
  return parsed.target;
}

function reach(uri: string): LibvirtTarget['reach'] {
  return target(uri).reach;
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
    kind: 'command',
    command: [...ssh, '--', 'host', `sh -c '${auto}'`],
  });
  assert.deepEqual(reach('qemu+ssh://me@[::1]:22/session?keyfile=/k&no_verify=1'), {
    kind: 'command',
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
    kind: 'command',
    command: ['/bin/myssh', ...ssh.slice(1), '--', 'host', `sh -c 'exec ncat -U /run/libvirt/virtqemud-sock'`],
  });
});

test('the libraries of ssh mean the program, with their own parameters', () => {
  const ssh = reach('qemu+ssh://me@host/system');
  assert.deepEqual(reach('qemu+libssh://me@host/system'), ssh);
  assert.deepEqual(reach('qemu+libssh2://me@host/system'), ssh);
  const { command } = reach('qemu+libssh://host/system?known_hosts=/k/hosts&known_hosts_verify=auto') as {
    readonly command: readonly string[];
  };
  assert.deepEqual(command.slice(6, 10), [
    '-o',
    'StrictHostKeyChecking=accept-new',
    '-o',
    'UserKnownHostsFile=/k/hosts',
  ]);
});

test('over TCP and TLS, the ports are libvirt’s own unless given; a host alone means TLS', () => {
  assert.deepEqual(reach('qemu+tcp://host/system'), { kind: 'tcp', host: 'host', port: 16509 });
  assert.deepEqual(reach('qemu+tcp://[::1]:7/session'), { kind: 'tcp', host: '::1', port: 7 });
  assert.deepEqual(reach('qemu+tcp:///system'), { kind: 'tcp', host: 'localhost', port: 16509 });
  const tls = { kind: 'tls', host: 'host', port: 16514, pki: null, verifies: true };
  assert.deepEqual(reach('qemu://host/system'), tls);
  assert.deepEqual(reach('qemu+tls://host/system?no_verify=0&no_sanity=1&no_tty=1'), tls);
  assert.deepEqual(reach('qemu+tls://host/system?known_hosts_verify=ignore'), tls);
  assert.deepEqual(reach('qemu+tls://host:8/system?pkipath=/p&no_verify=1'), {
    ...tls,
    port: 8,
    pki: '/p',
    verifies: false,
  });
});

test('whether others may read along, or impersonate the daemon, depends on the transport and its checks', () => {
  for (const [uri, wire] of [
    ['qemu:///system?no_verify=1', 'private'],
    ['qemu+tls://host/system', 'private'],
    ['qemu+tls://host/system?no_verify=1', 'unverified'],
    ['qemu+tls://host/system?known_hosts_verify=ignore', 'private'],
    ['qemu+ssh://host/system', 'private'],
    ['qemu+ssh://host/system?no_verify=1', 'unverified'],
    ['qemu+libssh://host/system?known_hosts_verify=ignore', 'unverified'],
    ['qemu+tcp://host/system', 'clear'],
  ] as const) {
    assert.equal(target(uri).logIn.wire, wire, uri);
  }
});

test('"ext" runs a program', () => {
  assert.deepEqual(reach('qemu+ext:///system?command=/bin/x%20y'), { kind: 'command', command: ['/bin/x y'] });
});

test('the daemon is asked to open the rest of the URI, or its "name"', () => {
  for (const [uri, name] of [
    ['qemu+tls://host:8/session', 'qemu:///session'],
    ['qemu+ext:///system?command=/x&name=qemu:///session', 'qemu:///session'],
  ] as const) {
    const parsed = parseLibvirtUri(uri, environment);
    assert.equal(parsed.ok && parsed.target.name, name);
  }
});

test('certificates are looked for where libvirt’s clients look', (t) => {
  const system = {
    ca: '/etc/pki/CA/cacert.pem',
    crl: '/etc/pki/CA/cacrl.pem',
    cert: '/etc/pki/libvirt/clientcert.pem',
    key: '/etc/pki/libvirt/private/clientkey.pem',
  };
  const home = scratch(t);
  assert.deepEqual(tlsPlaces(null, null), system);
  assert.deepEqual(tlsPlaces(null, home), system);
  const own = join(home, '.pki/libvirt');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'cacert.pem'), '');
  assert.deepEqual(tlsPlaces(null, home), { ...system, ca: `${own}/cacert.pem` });
  writeFileSync(join(own, 'clientkey.pem'), '');
  const [cert, key] = [`${own}/clientcert.pem`, `${own}/clientkey.pem`];
  assert.deepEqual(tlsPlaces(null, home), { ...system, ca: `${own}/cacert.pem`, cert, key });
  assert.deepEqual(tlsPlaces('/p', home), {
    ca: '/p/cacert.pem',
    crl: '/p/cacrl.pem',
    cert: '/p/clientcert.pem',
    key: '/p/clientkey.pem',
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
  ['web1', /not a libvirt URI/],
  ['xen:///system', /"xen" is not QEMU's driver/],
  ['qemu:///embed?root=/x', /\/system or \/session/],
  ['qemu+tcp://me@host/system', /a user works only with ssh/],
  ['qemu+tls://host:0/system', /the port must be 1 to 65535/],
  ['qemu+tls://ho st/system', /not HOST\[:PORT\]/],
  ['qemu+tls://host/system?tls_priority=NORMAL', /this is for GnuTLS/],
  ['qemu+libssh://host/system?known_hosts_verify=maybe', /normal, auto or ignore/],
  ['qemu+libssh://host/system?known_hosts=/a b', /"known_hosts" is a path of letters/],
  ['qemu+libssh2://host/system?sshauth=agent', /~\/\.ssh\/config/],
  ['qemu+ext:///system', /takes a program, as command=/],
  ['qemu+tls://host/system?name=xen:///system', /"name" is qemu/],
  ['qemu+carrier-pigeon://host/system', /not a libvirt URI/],
  ['qemu+vsock:///system', /transport "vsock" is not supported/],
  ['qemu:///system?sockt=/x', /unknown parameter "sockt" \(known: socket/],
  ['qemu:///system?socket=x', /begins with \//],
  ['qemu:///system?socket=%zz', /bad %-sequence/],
  ['qemu:///system?socket=/a%00b', /bad %-sequence/],
  ['qemu+ext:///system?command=/a%00b', /bad %-sequence/],
  ['qemu+tls://host/system?no_verify=no', /"no_verify" is 0 or 1, not "no"/],
  ['qemu+tls://host/system?no_verify=', /"no_verify" is 0 or 1, not ""/],
  ['qemu+tls://host/system?no_verify', /"no_verify" is 0 or 1, not ""/],
  ['qemu+ssh://host/system?no_verify=false', /"no_verify" is 0 or 1, not "false"/],
  ['qemu:///system?mode=fast', /auto, direct or legacy/],
  ['qemu+ssh://host/session?proxy=netcat', /add socket=/],
  ['qemu+ssh:///system', /is not \[USER@\]HOST/],
] as const) {
  test(`${uri} is refused: ${problem.source}`, () => {
    const parsed = parseLibvirtUri(uri, environment);
    assert.ok(!parsed.ok);
    assert.match(parsed.problem, problem);
  });
}
