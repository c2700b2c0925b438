import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  formatAddress,
  formatPlace,
  type ListenAddress,
  type TcpAddress,
  type TcpListenAddress,
  type UnixListenAddress,
  type UpstreamAddress,
} from '../../../dist/net/address/address.js';
import { parseListener, parseUpstream } from '../../../dist/net/address/address-parser.js';
import { AddressError } from '../../../dist/net/address/address-text.js';

const upstreams: readonly (readonly [text: string, address: UpstreamAddress, canonical?: string])[] = [
  ['/run/vm.qmp', { kind: 'unix', path: '/run/vm.qmp' }, 'unix:/run/vm.qmp'],
  ['vm.qmp', { kind: 'unix', path: 'vm.qmp' }, 'unix:vm.qmp'],
  ['./odd:name', { kind: 'unix', path: './odd:name' }, 'unix:./odd:name'],
  ['unix:/run/vm.qmp', { kind: 'unix', path: '/run/vm.qmp' }],
  ['unix:/a,,b', { kind: 'unix', path: '/a,b' }],
  ['unix:/run/a b=c', { kind: 'unix', path: '/run/a b=c' }],
  ['UNIX-CONNECT:/run/vm.qmp', { kind: 'unix', path: '/run/vm.qmp' }, 'unix:/run/vm.qmp'],
  ['UNIX-CLIENT:/run/vm.qmp', { kind: 'unix', path: '/run/vm.qmp' }, 'unix:/run/vm.qmp'],
  ['unix:/q,server=on', { kind: 'server', listen: { kind: 'unix', path: '/q' } }],
  ['unix:/q,server', { kind: 'server', listen: { kind: 'unix', path: '/q' } }, 'unix:/q,server=on'],
  ['unix:/q,server=off', { kind: 'unix', path: '/q' }, 'unix:/q'],
  ['UNIX-LISTEN:/q', { kind: 'server', listen: { kind: 'unix', path: '/q' } }, 'unix:/q,server=on'],
  [
    'unix:/q,server,mode=660,group=kvm',
    { kind: 'server', listen: { kind: 'unix', path: '/q', mode: 0o660, group: 'kvm' } },
    'unix:/q,mode=0660,group=kvm,server=on',
  ],
  ['tcp:localhost:4444', { kind: 'tcp', host: 'localhost', port: 4444 }],
  ['tcp:[::1]:4444', { kind: 'tcp', host: '::1', port: 4444 }],
  ['tcp:[fe80::1%eth0]:4444', { kind: 'tcp', host: 'fe80::1%eth0', port: 4444 }],
  ['tcp::4444', { kind: 'tcp', host: 'localhost', port: 4444 }, 'tcp:localhost:4444'],
  ['TCP:host_1.example:1', { kind: 'tcp', host: 'host_1.example', port: 1 }, 'tcp:host_1.example:1'],
  ['TCP4:host:1', { kind: 'tcp', host: 'host', port: 1, family: 4 }, 'tcp:host:1,ipv4=on'],
  ['TCP6-CONNECT:[::1]:1', { kind: 'tcp', host: '::1', port: 1, family: 6 }, 'tcp:[::1]:1,ipv6=on'],
  ['tcp:host:1,ipv6', { kind: 'tcp', host: 'host', port: 1, family: 6 }, 'tcp:host:1,ipv6=on'],
  ['unix:/q,lines=on', { kind: 'unix', path: '/q', lines: true }],
  ['tcp:h:1,lines=off', { kind: 'tcp', host: 'h', port: 1, lines: false }],
  ['unix:/q,lines=auto', { kind: 'unix', path: '/q' }, 'unix:/q'],
  ['tcp:h:1,keepalive=1m', { kind: 'tcp', host: 'h', port: 1, keepAlive: 60_000 }, 'tcp:h:1,keepalive=60s'],
  ['tcp:h:1,keepalive=15500ms', { kind: 'tcp', host: 'h', port: 1, keepAlive: 15_500 }],
  ['tcp:h:1,keepalive=off', { kind: 'tcp', host: 'h', port: 1, keepAlive: 0 }],
  ['tcp:h:1,keepalive=0', { kind: 'tcp', host: 'h', port: 1, keepAlive: 0 }, 'tcp:h:1,keepalive=off'],
  ['tcp:h:1,keepalive', { kind: 'tcp', host: 'h', port: 1 }, 'tcp:h:1'],
  [
    'tcp:127.0.0.1:4444,server',
    { kind: 'server', listen: { kind: 'tcp', host: '127.0.0.1', port: 4444 } },
    'tcp:127.0.0.1:4444,server=on',
  ],
  [
    'exec:ssh host socat - UNIX:/run/vm.qmp,forever',
    { kind: 'exec', command: ['ssh', 'host', 'socat', '-', 'UNIX:/run/vm.qmp,forever'] },
  ],
  ['libvirt:web1', { kind: 'libvirt', domain: 'web1' }],
  ['libvirt:web1?uri=hail', { kind: 'libvirt', domain: 'web1', uri: 'hail' }],
  ['libvirt:a,b c', { kind: 'libvirt', domain: 'a,b c' }],
  [
    'libvirt:web1?uri=qemu+ssh://me@host/system?socket=/run/a,b',
    { kind: 'libvirt', domain: 'web1', uri: 'qemu+ssh://me@host/system?socket=/run/a,b' },
  ],
  [`exec:sh -c "a | b"`, { kind: 'exec', command: ['sh', '-c', 'a | b'] }, `exec:sh -c 'a | b'`],
];

for (const [text, address, canonical = text] of upstreams) {
  test(`as an upstream, ${text} is ${canonical}`, () => {
    assert.deepEqual(parseUpstream(text), address);
    assert.equal(formatAddress(address), canonical);
    assert.deepEqual(parseUpstream(canonical), address);
  });
}

const listeners: readonly (readonly [text: string, address: ListenAddress, canonical?: string])[] = [
  ['/run/vm.mux', { kind: 'unix', path: '/run/vm.mux' }, 'unix:/run/vm.mux'],
  ['/run/vm.mux,mode=0660', { kind: 'unix', path: '/run/vm.mux', mode: 0o660 }, 'unix:/run/vm.mux,mode=0660'],
  [
    'UNIX-LISTEN:/s,user=a,,b,group=7,mode=000',
    { kind: 'unix', path: '/s', user: 'a,b', group: '7', mode: 0 },
    'unix:/s,mode=0000,user=a,,b,group=7',
  ],
  ['tcp:[::1]:0', { kind: 'tcp', host: '::1', port: 0 }],
  ['tcp4:localhost:65535', { kind: 'tcp', host: 'localhost', port: 65535, family: 4 }, 'tcp:localhost:65535,ipv4=on'],
];

for (const [text, address, canonical = text] of listeners) {
  test(`as a listener, ${text} is ${canonical}`, () => {
    assert.deepEqual(parseListener(text), address);
    assert.equal(formatAddress(address), canonical);
  });
}

test('the place of an address has no options', () => {
  assert.equal(formatPlace({ kind: 'unix', path: '/a,b' }), 'unix:/a,,b');
  assert.equal(formatPlace({ kind: 'tcp', host: '::1', port: 1 }), 'tcp:[::1]:1');
});

const faults: readonly (readonly [role: 'upstream' | 'listener', text: string, column: number, message: RegExp])[] = [
  ['listener', 'unix:/m,lines=on', 9, /"lines" is for an upstream/],
  ['upstream', 'tcp:h:1,keepalive=5s', 19, /"keepalive" must be off, or a time from 15s to 1h/],
  ['listener', 'tcp:localhost:1,keepidle=3', 17, /write keepalive=30s/],
  ['upstream', '', 1, /empty; write unix:\/path/],
  ['upstream', 'unix:', 6, /path is empty/],
  ['upstream', 'tpc:host:1', 1, /unknown scheme "tpc"; did you mean "tcp"\?/],
  ['upstream', 'unxi:/a', 1, /did you mean "unix"/],
  ['upstream', 'ftp.example:/a', 1, /unknown scheme "ftp.example" \(known: unix, tcp, exec, libvirt\)/],
  ['listener', 'nonsense:/a', 1, /\(known: unix, tcp, fd\)/],
  ['upstream', 'localhost:4444', 1, /did you mean "tcp:localhost:4444"/],
  ['upstream', ':4444', 1, /did you mean "tcp:localhost:4444"/],
  ['listener', '4444', 1, /only a port; did you mean "tcp:localhost:4444"\? \(or \.\/4444, a path\)/],
  ['upstream', 'unix:4444', 6, /only a port/],
  ['listener', ':4444', 1, /did you mean "tcp:localhost:4444"/],
  ['upstream', '[::1]:4444', 1, /did you mean "tcp:\[::1\]:4444"/],
  ['upstream', 'tcp:::1:4444', 5, /in brackets: tcp:\[::1\]:4444/],
  ['upstream', 'tcp:[::1:4444', 5, /without "\]"/],
  ['upstream', 'tcp:[::g]:4444', 6, /"::g" is no IPv6 address/],
  ['upstream', 'tcp:[::1]', 10, /port is missing/],
  ['upstream', 'tcp:host', 5, /port is missing/],
  ['upstream', 'tcp:host:qmp', 10, /port must be a number up to 65535, not "qmp"/],
  ['upstream', 'tcp:host:65536', 10, /up to 65535/],
  ['upstream', 'tcp:host:', 10, /port must be/],
  ['upstream', 'tcp:host:0', 10, /port 0/],
  ['upstream', 'tcp:256.0.0.1:1', 5, /no IPv4 address/],
  ['upstream', 'tcp:ho st:1', 5, /"ho st" is no host name/],
  ['upstream', 'TCP6:127.0.0.1:1', 6, /no IPv6 address/],
  ['upstream', 'tcp4:host:1,ipv6', 13, /contradict/],
  ['listener', 'tcp::4444', 5, /write tcp:localhost:4444/],
  ['listener', 'tcp-listen:4444', 1, /write tcp:localhost:PORT/],
  ['listener', 'tcp:localhost:1,mode=0660', 17, /not an option of a tcp address/],
  ['listener', 'unix:/a,mdoe=0660', 9, /unknown option "mdoe"; did you mean "mode"\?/],
  ['listener', 'unix:/a,colour=red', 9, /known: mode, user, group/],
  ['listener', 'unix:/a,mode=rw', 14, /octal/],
  ['listener', 'unix:/a,mode=1777', 14, /octal/],
  ['listener', 'unix:/a,mode', 9, /needs a value/],
  ['listener', 'unix:/a,user=', 9, /needs a value/],
  ['listener', 'unix:/a,mode=0600,mode=0600', 19, /given twice/],
  ['listener', 'unix:/a,', 8, /option is missing/],
  ['listener', 'unix:/a,server', 9, /leave it out/],
  ['listener', 'unix:/a,tls=/etc/tls', 9, /not an option of a unix socket/],
  ['listener', 'unix:/a,policy=full', 9, /for the clients of a socket that qmpmux serves/],
  ['listener', 'fd:', 4, /takes a number or a name/],
  ['listener', 'fd:3,mode=0600', 6, /"mode" cannot be set on an inherited socket/],
  ['upstream', 'fd:3', 1, /is for a listener/],
  ['upstream', 'tcp:h:1,tls=/etc/tls', 9, /use exec: with socat/],
  ['listener', 'tcp:localhost:1,insecure=maybe', 26, /on or off/],
  ['listener', 'unix:/a,ipv4', 9, /not an option of a unix socket/],
  ['listener', 'unix:/a,fork', 9, /always serves many/],
  ['listener', 'unix:/a,perm=0660', 9, /write mode=/],
  ['listener', 'UNIX-CONNECT:/a', 1, /does not connect/],
  ['listener', 'TCP-CONNECT:localhost:1', 1, /does not connect/],
  ['listener', 'exec:cat', 1, /cannot be a command/],
  ['upstream', 'unix:/a,mode=0660', 9, /not for one it connects to/],
  ['upstream', 'unix:/a,server=on,wait=off', 19, /leave "server" out too if QEMU listens/],
  ['upstream', 'unix:/a,server=maybe', 16, /on or off/],
  ['upstream', 'UNIX-CONNECT:/a,server', 17, /contradicts/],
  ['upstream', 'unix:/a,reconnect=1', 9, /reconnects/],
  ['upstream', 'unix:name,abstract=on', 11, /use a path/],
  ['upstream', 'unix:@name', 6, /use a path/],
  ['upstream', 'ABSTRACT-CONNECT:name', 1, /use a path/],
  ['upstream', 'unix:~/vm.qmp', 6, /write the folder out/],
  ['upstream', 'unix:/a\nb', 8, /control character/],
  ['upstream', `/${'é'.repeat(54)}`, 1, /109 bytes, and a unix socket's at most 107/],
  ['listener', 'libvirt:web1', 1, /cannot be a VM/],
  ['upstream', 'libvirt:', 9, /the domain is missing/],
  ['upstream', 'libvirt:?uri=qemu:///system', 9, /the domain is missing/],
  ['upstream', 'libvirt:web1?uri=xen:///system', 18, /"xen" is not QEMU's driver/],
  ['upstream', 'libvirt:qemu:///system', 14, /a domain's name has no slash; write libvirt:DOMAIN\?uri=URI/],
  ['upstream', 'libvirt:a\nb', 10, /control character/],
  ['upstream', 'exec:', 6, /the command is missing/],
  ['upstream', 'exec:cat | cat', 10, /needs a shell/],
  ['upstream', 'SYSTEM:cat', 1, /exec:sh -c/],
];

/** Options of a socket's clients, which the address of one does not have. */
const SERVED = ['policy', 'events'];

for (const [role, text, column, message] of faults) {
  test(`as ${role === 'upstream' ? 'an upstream' : 'a listener'}, ${JSON.stringify(text)} is refused at column ${column}`, () => {
    assert.throws(
      () => (role === 'upstream' ? parseUpstream(text, SERVED) : parseListener(text, SERVED)),
      (error) => {
        assert.ok(error instanceof AddressError);
        assert.equal(error.code, 'QMPMUX_ADDRESS');
        assert.equal(error.text, text);
        assert.equal(error.column, column, error.message);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  });
}

test('a path of 107 bytes is taken', () => {
  const longest = `/${'x'.repeat(106)}`;
  assert.deepEqual(parseListener(longest), { kind: 'unix', path: longest });
});

const path = fc
  .oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
    fc.string({ unit: fc.constantFrom(...'/ab,:=@~ []'.split('')), minLength: 1, maxLength: 20 }),
  )
  .filter((text) => !/^[@~]|\p{Cc}/u.test(text) && Buffer.byteLength(text) <= 107);
const name = fc.string({ unit: fc.constantFrom(...'az09,=-:'.split('')), minLength: 1 });
const unixListen = fc.record<UnixListenAddress, 'kind' | 'path'>(
  { kind: fc.constant('unix'), path, mode: fc.integer({ min: 0, max: 0o777 }), user: name, group: name },
  { requiredKeys: ['kind', 'path'], noNullPrototype: true },
);
const tcp = fc
  .tuple(
    fc.oneof(
      fc.tuple(fc.ipV4(), fc.constantFrom(undefined, 4 as const)),
      fc.tuple(fc.ipV6(), fc.constantFrom(undefined, 6 as const)),
      fc.tuple(fc.domain(), fc.constantFrom(undefined, 4 as const, 6 as const)),
    ),
    fc.integer({ min: 1, max: 65535 }),
  )
  .map(([[host, family], port]): TcpAddress => {
    return { kind: 'tcp', host, port, ...(family === undefined ? {} : { family }) };
  });
const command = fc
  .tuple(fc.string({ minLength: 1 }), fc.array(fc.string({ unit: 'binary' })))
  .map(([program, args]): [string, ...string[]] => [program, ...args])
  .filter((words) => words.every((word) => !word.includes('\0')));
const tcpListen = fc
  .tuple(tcp, fc.option(name, { nil: undefined }), fc.boolean())
  .map(([address, tls, insecure]): TcpListenAddress => {
    return { ...address, ...(tls === undefined ? {} : { tls }), ...(insecure ? { insecure } : {}) };
  });
const handedOver = fc
  .oneof(fc.nat().map(String), fc.constantFrom('web1.socket', 'a_b-c@d'))
  .map((fd): ListenAddress => {
    return { kind: 'fd', name: fd };
  });
const listenAddress: fc.Arbitrary<ListenAddress> = fc.oneof(unixListen, tcpListen, handedOver);
const upstreamAddress: fc.Arbitrary<UpstreamAddress> = fc.oneof(
  path.map((p): UpstreamAddress => ({ kind: 'unix', path: p })),
  tcp,
  command.map((words): UpstreamAddress => ({ kind: 'exec', command: words })),
  fc.oneof(unixListen, tcp).map((listen): UpstreamAddress => ({ kind: 'server', listen })),
);

test('every address that is written out reads back the same', () => {
  fc.assert(
    fc.property(upstreamAddress, (address) => assert.deepEqual(parseUpstream(formatAddress(address)), address)),
  );
  fc.assert(fc.property(listenAddress, (address) => assert.deepEqual(parseListener(formatAddress(address)), address)));
});

test('any text is an address or an AddressError that points into it', () => {
  const pieces = fc
    .array(
      fc.oneof(
        fc.constantFrom('unix:', 'tcp:', 'exec:', 'TCP4:', 'UNIX-LISTEN:', '[::1]', ':', ',', ',,', '=', '/a', '80'),
        fc.constantFrom('server', 'mode=0660', 'user=a', 'ipv4', 'off', "'", '"', ' '),
        fc.string({ unit: 'binary', maxLength: 6 }),
      ),
    )
    .map((parts) => parts.join(''));
  let taken = 0;
  fc.assert(
    fc.property(fc.oneof(pieces, fc.string({ unit: 'binary' })), (text) => {
      for (const parse of [parseUpstream, parseListener]) {
        try {
          const address = parse(text);
          assert.deepEqual(parse(formatAddress(address)), address);
          taken++;
        } catch (error) {
          assert.ok(error instanceof AddressError, String(error));
          assert.ok(error.column >= 1 && error.column <= text.length + 1, error.message);
        }
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(taken > 0, 'not one of the texts was an address');
});
