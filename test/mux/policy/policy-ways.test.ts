/** Rules that deny hold however the same thing is written: inside of a transaction, by another argument, under another name of a file. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { canAddMonitors } from '../../../dist/mux/policy/monitor-commands.js';
import { LearningPolicy, mayAddMonitors, readOnlyPolicy } from '../../../dist/mux/policy/policy.js';
import { command, hmpCommand, judge, policyOf } from '../../support/text/policies.js';
import { assertLinear } from '../../support/text/work.js';

function allows(rules: readonly string[], text: string, allowByDefault = true): boolean {
  return judge(policyOf(rules, allowByDefault), text).allowed;
}

function transaction(...actions: readonly (readonly [type: string, data?: unknown])[]): string {
  return command('transaction', { actions: actions.map(([type, data = {}]) => ({ type, data })) });
}

describe('an action of a transaction', () => {
  it('is judged as the command that it is, and the denial names it', () => {
    const judged = policyOf(['deny drive-backup'], true);
    const { allowed, rule, action } = judge(judged, transaction(['block-dirty-bitmap-add'], ['drive-backup']));
    assert.deepEqual([allowed, rule, action], [false, 'deny drive-backup', 'drive-backup']);
    assert.equal(judge(judged, transaction(['block-dirty-bitmap-add'], ['blockdev-backup'])).allowed, true);
  });

  it('has its data for arguments, written in whatever way', () => {
    const rules = ['deny blockdev-snapshot-sync snapshot-file=/etc/*'];
    const snapshot = (file: string) => transaction(['abort'], ['blockdev-snapshot-sync', { 'snapshot-file': file }]);
    assert.equal(allows(rules, snapshot('/etc/x')), false);
    assert.equal(allows(rules, snapshot('json:{"driver":"file","filename":"/etc/x"}')), false);
    assert.equal(allows(rules, snapshot('/vm/x')), true);
    const escaped =
      '{"execute":"transaction","arguments":{"\\u0061ctions":[{"data":{},"t\\u0079pe":"drive\\u002dbackup"}]}}';
    assert.equal(allows(['deny drive-backup'], escaped), false);
  });

  it('must be allowed by a separate rule if the default denies, and so must the transaction', () => {
    const rules = ['allow transaction', 'allow blockdev-snapshot*'];
    assert.equal(allows(rules, transaction(['blockdev-snapshot'], ['blockdev-snapshot-sync']), false), true);
    assert.equal(allows(rules, transaction(['blockdev-snapshot'], ['drive-backup']), false), false);
    assert.equal(allows(['allow blockdev-snapshot*'], transaction(['blockdev-snapshot']), false), false);
    assert.equal(allows(['deny transaction'], transaction(['blockdev-snapshot'])), false);
  });

  it('that only makes the others fail is allowed, unless a rule names it', () => {
    assert.equal(allows(['allow transaction'], transaction(['abort']), false), true);
    assert.equal(allows(['deny abort'], transaction(['abort'])), false);
  });

  it('named by the rule that allows the transaction needs no other, but a rule against it counts', () => {
    const rules = ['allow transaction actions.*.type=block-dirty-bitmap-*'];
    assert.equal(allows(rules, transaction(['block-dirty-bitmap-add']), false), true);
    assert.equal(
      allows(['deny block-dirty-bitmap-remove', ...rules], transaction(['block-dirty-bitmap-remove']), false),
      false,
    );
    assert.equal(
      allows(
        ['allow transaction actions.0.type=block-dirty-bitmap-add'],
        transaction(['block-dirty-bitmap-add'], ['drive-backup']),
        false,
      ),
      false,
    );
  });

  it('with two types is judged by both, and no line of the human monitor hides in one', () => {
    const two = command('transaction', { actions: [{ type: 'abort' }], 'actions.0.type': 'drive-backup' });
    assert.equal(allows(['deny drive-backup'], two), false);
    assert.equal(allows([], transaction(['human-monitor-command', { 'command-line': 'info block' }])), false);
  });

  it('is learnt by the policy that learns', () => {
    const learned: string[] = [];
    judge(new LearningPolicy((rule) => learned.push(rule)), transaction(['abort'], ['drive-backup']));
    assert.deepEqual(learned, ['allow transaction', 'allow drive-backup']);
  });
});

describe('a migration', () => {
  const channel = (addr: unknown) => ({ channels: [{ 'channel-type': 'main', addr }] });
  const exec = (...args: string[]) => channel({ transport: 'exec', args });
  const pairs: readonly (readonly [uri: string, channels: unknown])[] = [
    ['exec:touch /tmp/x', exec('/bin/sh', '-c', 'touch /tmp/x')],
    ['exec:touch /tmp/x', exec('touch', '/tmp/x')],
    ['tcp:10.0.0.9:4444', channel({ transport: 'socket', type: 'inet', host: '10.0.0.9', port: '4444' })],
    ['tcp:[fe80::1]:4444', channel({ transport: 'socket', type: 'inet', host: 'fe80::1', port: '4444' })],
    ['unix:/run/m', channel({ transport: 'socket', type: 'unix', path: '/run/m' })],
    ['vsock:3:4', channel({ transport: 'socket', type: 'vsock', cid: '3', port: '4' })],
    ['fd:mig', channel({ transport: 'socket', type: 'fd', str: 'mig' })],
    ['rdma:h:4444', channel({ transport: 'rdma', host: 'h', port: '4444' })],
    ['file:/var/x', channel({ transport: 'file', filename: '/var/x', offset: 0 })],
    ['file:/var/x,offset=0', channel({ transport: 'file', filename: '/var/x', offset: 0 })],
  ];
  for (const name of ['migrate', 'migrate-incoming']) {
    for (const [uri, channels] of pairs) {
      it(`${name} by channels is denied by a rule over the uri ${uri}`, () => {
        assert.equal(allows([`deny ${name} "uri=${uri}"`], command(name, channels)), false);
        assert.equal(allows([`deny ${name} uri=${uri.split(':')[0]}:*`], command(name, channels)), false);
        assert.equal(allows([`deny ${name} uri=other:*`], command(name, channels)), true);
      });
    }
  }

  it('by a uri is denied by a rule over channels', () => {
    const by = (uri: string) => command('migrate', { uri });
    const rules = [
      'deny migrate channels.*.addr.transport=exec',
      'deny migrate **.host=10.0.0.1',
      'deny migrate **.path=/run/x',
    ];
    for (const uri of ['exec:true', 'tcp:10.0.0.1:1', 'rdma:10.0.0.1:1', 'unix:/run/x', 'unix://run/x']) {
      assert.equal(allows(rules, by(uri)), false, uri);
    }
    for (const uri of ['tcp:10.0.0.2:1', 'unix:/run/y', 'fd:x']) assert.equal(allows(rules, by(uri)), true, uri);
  });

  it('is allowed by its written form alone', () => {
    const channels = channel({ transport: 'socket', type: 'inet', host: 'h', port: '1' });
    assert.equal(allows(['allow migrate uri=tcp:*'], command('migrate', channels), false), false);
    assert.equal(allows(['allow migrate uri=tcp:*'], command('migrate', { uri: 'tcp:h:1' }), false), true);
  });

  it('with several channels is denied for any of them', () => {
    const both = {
      channels: [...channel({ transport: 'rdma', host: 'h', port: '1' }).channels, ...exec('x').channels],
    };
    assert.equal(allows(['deny migrate uri=exec:*'], command('migrate', both)), false);
  });
});

describe('other spellings of arguments', () => {
  const cases: readonly (readonly [rule: string, name: string, args: unknown])[] = [
    ['deny device_del id=nic0', 'device_del', { id: '/machine/peripheral/nic0' }],
    ['deny device_del id=nic0', 'device_del', { id: '//machine/./peripheral//nic0' }],
    ['deny eject id=/machine/peripheral/cd0', 'eject', { id: 'cd0' }],
    ['deny migrate **.filename=/x', 'migrate', { uri: 'file:/x,offset=4096' }],
    ['deny migrate **.cid=3', 'migrate', { uri: 'vsock:3:4' }],
    ['deny migrate **.str=f', 'migrate', { uri: 'fd:f' }],
    ['deny migrate **.host=::1', 'migrate', { uri: 'tcp:[::1]:4' }],
    ['deny migrate uri=new:*', 'migrate', { channels: [{ addr: { transport: 'new' } }] }],
    [
      'deny block-dirty-bitmap-merge bitmaps.*=b0',
      'block-dirty-bitmap-merge',
      { bitmaps: [{ node: 'n', name: 'b0' }] },
    ],
    ['deny block-export-add bitmaps.*.name=b0', 'block-export-add', { bitmaps: ['b0'] }],
    ['deny device_add driver=virtio-9p-pci', 'device_add', { driver: 'virtio-9p' }],
    ['deny device_add driver=virtio-9p', 'device_add', { driver: 'virtio-9p-ccw' }],
    ['deny device_add driver=e1000', 'device_add', { driver: 'e1000-82540em' }],
    ['deny device_add driver=ahci', 'device_add', { driver: 'ich9-ahci' }],
    ['deny device_add multifunction=true', 'device_add', { driver: 'x', multifunction: 'on' }],
    ['deny device_add multifunction=off', 'device_add', { driver: 'x', multifunction: false }],
    [
      'deny object-add mem-path=/dev/*',
      'object-add',
      { 'qom-type': 'memory-backend-file', props: { 'mem-path': '/dev/x' } },
    ],
    ['deny object-add props.mem-path=/dev/*', 'object-add', { 'mem-path': '/dev/x' }],
  ];
  for (const [rule, name, args] of cases) {
    it(`${JSON.stringify(args)} is denied by ${rule}`, () => {
      assert.equal(allows([rule], command(name, args)), false);
    });
  }
});

describe('the name of a file', () => {
  const open = (filename: unknown) => command('blockdev-add', { driver: 'file', filename });
  const toEtc: readonly string[] = [
    '/etc/passwd',
    '//etc/passwd',
    '/./etc/passwd',
    '/etc//passwd',
    '/etc/./passwd/',
    '/dev/../etc/passwd',
    '/a/b/../../etc/passwd',
    'file:/etc/passwd',
    'file:///etc/passwd',
    'file:file:/etc/passwd',
    'blkdebug::/etc/passwd',
    'blkdebug:/etc/passwd:nbd://h',
    'blkverify:/x:/etc/passwd',
    'fat:rw:/etc/passwd',
    'fat:/etc/',
    'host_device:/etc/passwd',
    '/proc/self/root/etc/passwd',
    '/proc/1/cwd/etc/passwd',
    '//proc/self/fd/3',
    '/dev/fd/3',
    '/dev/fdset/1',
    '/dev/stdin',
    'etc/passwd',
    './passwd',
    '../etc/passwd',
    'passwd',
    '',
    'file:etc/passwd',
    'json:{"driver":"file","filename":"/etc/passwd"}',
    "json:{'driver':'file','filename':'/etc/passwd'}",
    'json: {"driver":"qcow2","file":{"driver":"file","filename":"//etc/passwd"}}',
    'json:{"driver":"qcow2","file.filename":"/etc/passwd","file.driver":"file"}',
    'json:{"\\u0066ilename":"\\u002fetc/passwd","driver":"file"}',
    'json:{"driver":"qcow2","file":{"driver":"raw","file":"x","filename":"json:{\\"filename\\":\\"/etc/x\\"}"}}',
    'blkdebug::json:{"driver":"file","filename":"/etc/passwd"}',
    'blkdebug:json:json:{"driver":"file","filename":"/etc/passwd"}',
    'json:{"filename":"/etc/passwd"',
    'json:{"driver":"file","filename":"etc/passwd"}',
    `/${'./'.repeat(5000)}etc/passwd`,
    `${':'.repeat(100)}/etc/passwd`,
  ];
  for (const name of toEtc) {
    it(`${JSON.stringify(name.slice(0, 70))} is denied where /etc/* is`, () => {
      for (const rule of [
        '**.filename=/etc/*',
        'filename=/etc/*',
        '**.filename=//etc/./*',
        '**=/etc/*',
        '**.filename=*/etc/*',
      ]) {
        assert.equal(allows([`deny blockdev-add ${rule}`], open(name)), false, rule);
      }
    });
  }

  const elsewhere: readonly string[] = [
    '/var/lib/vm/disk.qcow2',
    '/etcetera/x',
    '/var/etc/passwd',
    'nbd://10.0.0.1/etc',
    'ssh://h/vm/disk',
    'json:{"driver":"file","filename":"/var/lib/vm/disk"}',
    'json:{"driver":"nbd","export":"etc"}',
    '/dev/vg/disk',
    '/var/..x/y..',
  ];
  for (const name of elsewhere) {
    it(`${JSON.stringify(name)} is not`, () => {
      assert.equal(allows(['deny blockdev-add **.filename=/etc/*'], open(name)), true);
      assert.equal(allows(['deny blockdev-add **=/etc/*'], open(name)), true);
    });
  }

  it('is looked for in options wherever they are, and their members by their own names', () => {
    const mirror = (target: string) => command('drive-mirror', { device: 'd', target, sync: 'full' });
    const options = 'json:{"driver":"nbd","server":{"type":"unix","path":"/run/s"},"export":"e"}';
    assert.equal(allows(['deny drive-mirror **.driver=nbd'], mirror(options)), false);
    assert.equal(allows(['deny drive-mirror target.server.path=/run/*'], mirror(options)), false);
    assert.equal(allows(['deny drive-mirror target=/run/*'], mirror(options)), false);
    assert.equal(allows(['deny drive-mirror target=/etc/*'], mirror(options)), true);
  });

  it('in a URL is looked at as the URL is read', () => {
    const mirror = (target: string) => command('drive-mirror', { device: 'd', target, sync: 'full' });
    assert.equal(allows(['deny drive-mirror target=ssh://h/etc/*'], mirror('ssh://h/%65tc/passwd')), false);
    assert.equal(allows(['deny drive-mirror target=/run/*'], mirror('nbd+unix:///x?socket=/run/s')), false);
    assert.equal(allows(['deny drive-mirror target=/run/*'], mirror('nbd+unix:///x?socket=%2Frun%2fs')), false);
    assert.equal(allows(['deny drive-mirror target=/run/*'], mirror('ssh://h/%65tc/passwd')), true);
  });

  it('after a scheme is denied by a rule with that scheme, and leaves other schemes alone', () => {
    const to = (uri: string) => command('migrate', { uri });
    const rules = ['deny migrate uri=unix:/run/vm/*'];
    for (const uri of [
      'unix:/run/vm/s',
      'unix://run/vm/s',
      'unix:/run/x/../vm/s',
      'unix:vm/s',
      'unix:/proc/self/root/run/vm/s',
    ]) {
      assert.equal(allows(rules, to(uri)), false, uri);
    }
    for (const uri of ['unix:/run/other/s', 'tcp:10.0.0.1:4', 'fd:x']) assert.equal(allows(rules, to(uri)), true, uri);
  });

  it('with .. in it fits a rule that allows only if that allows anything, or exactly this', () => {
    const rules = ['allow blockdev-add filename=/vm/*'];
    assert.equal(allows(rules, open('/vm/a/disk'), false), true);
    assert.equal(allows(rules, open('/vm/..x/disk'), false), true);
    for (const name of ['/vm/../etc/passwd', '/vm/a/..', '/vm//../x', '/etc/passwd', 'vm/x', 'file:/vm/x']) {
      assert.equal(allows(rules, open(name), false), false, name);
    }
    assert.equal(allows(['allow blockdev-add filename=*'], open('/vm/../x'), false), true);
    assert.equal(allows(['allow blockdev-add filename=../x'], open('../x'), false), true);
    assert.equal(allows(['allow migrate uri=unix:/vm/*'], command('migrate', { uri: 'unix:/vm/../x' }), false), false);
  });

  it('is no longer than Linux takes, options no bigger than QEMU has: else it is denied', () => {
    const nested = Array.from({ length: 80 }, (_, i) => `"f${i}":"json:{}"`).join(',');
    assert.equal(allows(['deny blockdev-add **.filename=/etc/*'], open(`/${'x'.repeat(9000)}`)), false);
    assert.equal(allows(['deny blockdev-add **.filename=/etc/*'], open(`json:{"a":"${'x'.repeat(70_000)}"}`)), false);
    assert.equal(
      allows(['deny blockdev-add **.filename=/etc/*'], command('blockdev-add', JSON.parse(`{${nested}}`))),
      false,
    );
  });
});

describe('a line of the human monitor', () => {
  it('that hides its verb, or the word after info, behind more blanks than are read is denied', () => {
    const rules = ['deny hmp cont', 'deny hmp info status', 'allow hmp *'];
    const far = ' '.repeat(70_000);
    for (const line of [`${far}cont`, `info${far}status`, `${far}stop`, `\t${far}info status`]) {
      assert.equal(allows(rules, hmpCommand(line)), false, line.trim().slice(0, 20));
      assert.equal(
        allows(
          rules,
          `{"execute":"human-monitor-command","arguments":{"command-line":"\\u0020${line}"}}`.replaceAll('\t', '\\t'),
        ),
        false,
      );
    }
    for (const line of [`stop${far}`, `info block${far}`, '   ', 'info', ' info  '])
      assert.equal(allows(rules, hmpCommand(line)), true, line.trim());
  });
});

describe('@monitors', () => {
  const cases: readonly (readonly [text: string, denied: boolean])[] = [
    [command('object-add', { 'qom-type': 'monitor-qmp', id: 'm', chardev: 'c' }), true],
    [command('object-add', { 'qom-type': 'monitor-hmp', id: 'm' }), true],
    [command('object-add', { 'qom-type': 'qtest', id: 'm' }), true],
    [command('object-add', { 'qom-type': 'secret', id: 's' }), false],
    [command('object-add', {}), false],
    [command('object-del', { id: 'm' }), true],
    [command('chardev-add', { id: 'c' }), true],
    [command('chardev-change', { id: 'c' }), true],
    [command('chardev-remove', { id: 'c' }), true],
    [command('query-chardev'), false],
    [hmpCommand('object_add monitor-qmp,id=m,chardev=c'), true],
    [hmpCommand('  object_del m'), true],
    [hmpCommand('chardev-add socket,id=c,path=/x'), true],
    [hmpCommand('chardev-remove c'), true],
    [hmpCommand('gdbserver tcp::1'), true],
    [hmpCommand('info block'), false],
  ];
  for (const [text, denied] of cases) {
    it(`${denied ? 'denies' : 'leaves alone'} ${text}`, () => {
      const verdict = judge(policyOf(['deny @monitors', 'allow hmp *'], true), text);
      assert.equal(verdict.allowed, !denied);
      if (denied) assert.equal(verdict.rule, 'deny @monitors');
    });
  }

  it('allows the commands, but no line, for a verb does not show its object', () => {
    const allowing = policyOf(['allow @monitors']);
    assert.equal(judge(allowing, command('object-add', { 'qom-type': 'monitor-qmp' })).allowed, true);
    assert.equal(judge(allowing, command('object-del', { id: 'm' })).allowed, true);
    assert.equal(judge(allowing, command('object-add', { 'qom-type': 'secret' })).allowed, false);
    assert.equal(judge(allowing, hmpCommand('object_add secret,id=s')).allowed, false);
  });

  it('leaves commands that a rule before it allows', () => {
    const rules = ['allow object-del id=secret*', 'deny @monitors'];
    assert.equal(allows(rules, command('object-del', { id: 'secret0' })), true);
    assert.equal(allows(rules, command('object-del', { id: 'monitor' })), false);
  });

  it('matters to QEMU from 11.1 on, and to the development builds before it', () => {
    for (const version of ['11.1.0', '11.1.3', '11.2.0', '12.0.0', '11.0.50'])
      assert.equal(canAddMonitors(version), true, version);
    for (const version of ['7.2.22', '10.2.2', '11.0.1', 'unknown', ''])
      assert.equal(canAddMonitors(version), false, version);
  });

  it('shows which clients can add a monitor: those without a policy, or with one that lacks it', () => {
    assert.equal(mayAddMonitors(null), true);
    assert.equal(mayAddMonitors(policyOf([], true)), true);
    assert.equal(mayAddMonitors(policyOf(['allow object-add qom-type=monitor-*'])), true);
    assert.equal(mayAddMonitors(policyOf(['deny object-add', 'allow hmp *'], true)), true);
    assert.equal(mayAddMonitors(policyOf(['deny @monitors', 'allow hmp *'], true)), false);
    assert.equal(mayAddMonitors(policyOf(['allow hmp info', 'allow object-add qom-type=secret'])), false);
    assert.equal(mayAddMonitors(readOnlyPolicy()), false);
    const learned: string[] = [];
    assert.equal(mayAddMonitors(new LearningPolicy((rule) => learned.push(rule))), true);
    assert.deepEqual(learned, []);
  });
});

describe('judging', () => {
  const rules = policyOf(
    [
      'deny transaction actions.*.data.**.x=*aaaaaaab*c?d*',
      'deny blockdev-add **.a.**.b.**.filename=/etc/*aaaaaaaaaaaaaab*',
      'deny migrate uri=exec:*aaab*aab*ab*',
      'deny device_add **=/dev/*a?b*',
    ],
    true,
  );
  const inputs: readonly (readonly [what: string, make: (n: number) => string])[] = [
    ['long values', (n) => command('migrate', { uri: `exec:${'a'.repeat(n)}` })],
    [
      'many members',
      (n) => command('device_add', Object.fromEntries(Array.from({ length: n / 16 }, (_, i) => [`m${i}`, 'on']))),
    ],
    [
      'names full of dots',
      (n) => command('blockdev-add', { [`${'a.b.'.repeat(Math.min(n / 16, 1000))}filename`]: '/etc/a' }),
    ],
    [
      'arguments of a channel',
      (n) => command('migrate', { channels: [{ addr: { transport: 'exec', args: Array(n / 16).fill('aa') } }] }),
    ],
    ['actions', (n) => transaction(...Array.from({ length: n / 32 }, () => ['abort', { x: 'aaaaaaaa' }] as const))],
    ['pieces of names', (n) => command('device_add', { a: Array(Math.ceil(n / 8000)).fill(':/'.repeat(4000)) })],
    ['names in names', (n) => command('blockdev-add', { filename: 'json:'.repeat(n / 8) })],
  ];
  for (const [what, make] of inputs) {
    it(`takes work that grows with ${what}, and no faster`, () => {
      assertLinear(60_000, (size) => {
        const text = make(size);
        return () => {
          judge(rules, text);
        };
      });
    });
  }
});
