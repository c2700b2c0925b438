import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';
import { OWN_QUERIES, parseCommandRule } from '../../../dist/audit/log/left-out.js';
import { ConfigError } from '../../../dist/daemon/config/config-error.js';
import { parseConfig, readConfig } from '../../../dist/daemon/config/config-file.js';
import { DEFAULT_LOG } from '../../../dist/daemon/config/options/daemon.js';
import { DEFAULT_LISTENER } from '../../../dist/daemon/config/options/listener.js';
import { DEFAULT_MONITOR } from '../../../dist/daemon/config/options/monitor.js';
import { singleMonitor } from '../../../dist/daemon/config/single-monitor.js';
import { DEFAULT_LIMITS } from '../../../dist/mux/ports/limits.js';
import { parseListener, parseUpstream } from '../../../dist/net/address/address-parser.js';
import { scratch } from '../../support/files/scratch.js';

const vm = '[monitor.vm]\nupstream = "/q"\n';

/** The commands that are counted unless the config says otherwise. */
const OWN = parseCommandRule(OWN_QUERIES);

test('a config names monitors with their upstream and listeners, and how to log', () => {
  const config = parseConfig(
    `
    [log]
    level = "debug"
    format = "pretty"

    [monitor.web1]
    upstream = "unix:/run/web1.qmp"
    listen = [
      "unix:/run/web1.mux",
      { address = "unix:/run/backup,,1.mux", mode = "0660", user = "7", group = "backup,x" },
    ]

    [monitor."db.2"]
    upstream = "tcp:[::1]:4444"
    [[monitor."db.2".listen]]
    address = "tcp:localhost:0"
    [[monitor."db.2".listen]]
    address = "tcp:localhost:0"

    [monitor.shy]
    upstream = "/q"
    listen = ["/m"]
    cache = false
    merge = false
    `,
    'test.toml',
  );
  assert.deepEqual(config, {
    log: { level: 'debug', format: 'pretty' },
    audit: null,
    metrics: null,
    monitors: [
      {
        name: 'web1',
        upstream: { kind: 'unix', path: '/run/web1.qmp' },
        listen: [
          { address: { kind: 'unix', path: '/run/web1.mux' }, settings: DEFAULT_LISTENER },
          {
            address: { kind: 'unix', path: '/run/backup,1.mux', mode: 0o660, user: '7', group: 'backup,x' },
            settings: DEFAULT_LISTENER,
          },
        ],
        ...DEFAULT_MONITOR,
        limits: DEFAULT_LIMITS,
      },
      {
        name: 'db.2',
        upstream: { kind: 'tcp', host: '::1', port: 4444 },
        listen: [
          { address: { kind: 'tcp', host: 'localhost', port: 0 }, settings: DEFAULT_LISTENER },
          { address: { kind: 'tcp', host: 'localhost', port: 0 }, settings: DEFAULT_LISTENER },
        ],
        ...DEFAULT_MONITOR,
        limits: DEFAULT_LIMITS,
      },
      {
        name: 'shy',
        upstream: { kind: 'unix', path: '/q' },
        listen: [{ address: { kind: 'unix', path: '/m' }, settings: DEFAULT_LISTENER }],
        ...DEFAULT_MONITOR,
        limits: DEFAULT_LIMITS,
        cache: false,
        merge: false,
      },
    ],
    policies: new Map(),
    drainTime: 5000,
    folder: null,
  });
});

test('a config says how clients are served, which limits they have, and which policies there are', () => {
  const config = parseConfig(
    `
    drain-timeout = "2m"

    [monitor.vm]
    upstream = "/q"
    listen = [
      { address = "/m", policy = "backup", events = ["BLOCK_*", "STOP"], command-timeout = 30, max-clients = 5 },
      { address = "/n", policy = "read-only", events = "none", connection-rate = 0, allow-uid = [0, 7], allow-gid = "9" },
      "/o,policy=learn:/l,events=all,fds=off",
      { address = "/p", policy = "/etc/rules", events = [], fds = true },
    ]
    keep-clients = true
    oob = false
    warn-after = "500ms"
    probe-after = "1m"
    probe-timeout = 0

    [monitor.vm.limits]
    output-cap = "64M"
    queued-commands = 10
    negotiation-time = "1m"

    [policy.backup]
    default = "allow"
    rules = ["deny quit", "allow hmp info block"]
    `,
    'test.toml',
  );
  const [monitor] = config.monitors;
  assert.equal(config.drainTime, 120_000);
  assert.equal(monitor?.keepClients, true);
  assert.equal(monitor?.oob, false);
  assert.equal(monitor?.warnAfter, 500);
  assert.equal(monitor?.probeAfter, 60_000);
  assert.equal(monitor?.probeTimeout, 0);
  assert.deepEqual(monitor?.limits, {
    ...DEFAULT_LIMITS,
    outputCap: 64 * 1024 ** 2,
    queuedCommands: 10,
    negotiationTime: 60_000,
  });
  assert.deepEqual(
    monitor?.listen.map(({ settings }) => settings),
    [
      {
        ...DEFAULT_LISTENER,
        policy: { kind: 'named', name: 'backup' },
        events: ['BLOCK_*', 'STOP'],
        commandTime: 30_000,
        clients: 5,
      },
      {
        ...DEFAULT_LISTENER,
        policy: { kind: 'read-only' },
        events: [],
        connectionRate: 0,
        allowUid: new Set([0, 7]),
        allowGid: new Set([9]),
      },
      { ...DEFAULT_LISTENER, policy: { kind: 'learn', file: '/l' }, fds: false },
      { ...DEFAULT_LISTENER, policy: { kind: 'file', file: '/etc/rules' }, events: [] },
    ],
  );
  const policy = config.policies.get('backup');
  assert.equal(policy?.allowByDefault, true);
  assert.deepEqual(
    policy?.rules.map((rule) => rule.text),
    ['deny quit', 'allow hmp info block'],
  );
});

test('every option of a listener may be after its address or beside it', () => {
  const listeners = (toml: string) => parseConfig(`${vm}listen=[${toml}]`, 'f.toml').monitors[0]?.listen;
  const pairs = [
    ['"tcp:localhost:0,tls=/etc/pki,keepalive=1m,ipv4,telnet"', 'tls="/etc/pki",keepalive="1m",ipv4=true,telnet=true'],
    ['"tcp:localhost:0,insecure,http=pass,ipv6=off"', 'insecure=true,http="pass",ipv6=false'],
    ['"tcp:localhost:0,events=BLOCK_*+STOP,extensions=on"', 'events=["BLOCK_*","STOP"],extensions="on"'],
  ];
  for (const [behind = '', beside = ''] of pairs) {
    assert.deepEqual(listeners(`{address="tcp:localhost:0",${beside}}`), listeners(behind), beside);
  }
  assert.deepEqual(
    listeners('{address="/a,,b",shared-folder=true,mode="0660"}'),
    listeners('"/a,,b,mode=0660,shared-folder"'),
  );
});

test('flags make the same config as a file with one monitor', () => {
  const fromFile = parseConfig('[monitor.vm]\nupstream="/run/vm.qmp"\nlisten=["/a","tcp:[::1]:1"]', 'x');
  const listen = ['/a', 'tcp:[::1]:1'].map((text) => parseListener(text));
  assert.deepEqual(singleMonitor(null, parseUpstream('/run/vm.qmp'), listen, DEFAULT_LOG), fromFile);
  const named = singleMonitor('web1', parseUpstream('/run/vm.qmp'), listen, DEFAULT_LOG);
  assert.equal(named.monitors[0]?.name, 'web1');
});

test('a monitor without a name is called after its upstream', () => {
  const cases = {
    '/run/web1.qmp': 'web1',
    'unix:/run/web1.sock,server': 'web1',
    '/run/web1': 'web1',
    '/run/web 1': 'vm',
    'tcp:h:1': 'vm',
    'exec:cat': 'vm',
  };
  for (const [upstream, name] of Object.entries(cases)) {
    const config = singleMonitor(null, parseUpstream(upstream), [parseListener('/a')], DEFAULT_LOG);
    assert.equal(config.monitors[0]?.name, name, upstream);
  }
});

const service = (options: string, more = '') => `[monitor.vm]\nupstream = "/q"\nlisten = ["/m,${options}"]\n${more}`;
const faults: readonly (readonly [what: string, content: string, message: RegExp])[] = [
  [
    'a policy that there is not',
    service('policy=bakup', '[policy.backup]\nrules = []\n'),
    /no policy "bakup"; did you mean "?backup"?/,
  ],
  ['a policy without a file', service('policy=learn:'), /a file name is missing after learn:/],
  ['a pattern that is none', service('events=BLOCK/*'), /is no pattern of event names/],
  ['an event in small letters', service('events=block_*'), /in capitals.*: "BLOCK_\*"/],
  ['an empty option', service('events='), /"events" needs a value/],
  ['a time that is none', service('command-timeout=soon'), /"command-timeout" must be a time such as .*, not "soon"/],
  ['a number that is none', service('max-clients=many'), /"max-clients" must be a number .*, not "many"/],
  [
    'a user that there is not',
    service('allow-uid=nobody-of-that-name'),
    /"allow-uid" names a user that is not known here, "nobody-of-that-name"/,
  ],
  [
    'a uid on tcp',
    '[monitor.vm]\nupstream = "/q"\nlisten = ["tcp:localhost:0,allow-uid=0"]\n',
    /TCP does not identify users/,
  ],
  ['neither on nor off', service('fds=yes'), /"fds" must be on or off, not "yes"/],
  [
    'descriptors on tcp',
    '[monitor.vm]\nupstream = "/q"\nlisten = ["tcp:localhost:0,fds=on"]\n',
    /TCP carries no file descriptors/,
  ],
  [
    'a limit that there is not',
    `${service('mode=0600')}[monitor.vm.limits]\noutputcap = 1\n`,
    /^f\.toml:5: monitor\.vm\.limits\.outputcap: unknown key; did you mean "output-cap"\?$/,
  ],
  [
    'a limit that is none',
    `${service('mode=0600')}[monitor.vm.limits]\nqueued-commands = 0\n`,
    /must be at least 1; this limit cannot be disabled/,
  ],
  [
    'a size that is none',
    `${service('mode=0600')}[monitor.vm.limits]\nmemory = "much"\n`,
    /limits\.memory: must be a size such as 64k or 1M, or a number of bytes .*, not "much"$/,
  ],
  ['a time to warn that is none', service('mode=0600', 'warn-after = "x"\n'), /warn-after: must be a time/],
  ['a time to probe that is none', service('mode=0600', 'probe-after = "x"\n'), /probe-after: must be a time/],
  ['a time to give up that is none', service('mode=0600', 'probe-timeout = "x"\n'), /probe-timeout: must be a time/],
  [
    'a rule that is none',
    service('mode=0600', '[policy.p]\nrules = ["permit x"]\n'),
    /^f\.toml:5: .*begins with allow or deny/,
  ],
  ['a policy of a name that is taken', service('mode=0600', '[policy.full]\nrules = []\n'), /needs another name/],
  ['a key of a policy that is none', service('mode=0600', '[policy.p]\nrules = []\nrule = []\n'), /unknown key/],
  ['an empty file', '', /^f\.toml: no monitor: add a table/],
  ['no monitor', '[monitor]\n', /^f\.toml: no monitor: add a table \[monitor\.NAME\]/],
  ['what is no TOML', '[monitor.vm]\nupstream = /q\n', /^f\.toml:2:\d+: not TOML: \S/],
  ['two monitors of one name', `${vm}listen=["/a"]\n${vm}`, /^f\.toml:\d+:\d+: not TOML: \S/],
  ['an unknown section', `[lgo]\n${vm}listen=["/a"]`, /^f\.toml:1: lgo: unknown key; did you mean "log"\?$/],
  [
    'an unknown key',
    `${vm}listen=["/a"]\nupstraem="/b"`,
    /^f\.toml:4: monitor\.vm\.upstraem: unknown key; did you mean "upstream"\?$/,
  ],
  [
    'an unrelated key',
    `${vm}listen=["/a"]\ncolour="red"`,
    /^f\.toml:4: monitor\.vm\.colour: unknown key \(known here: upstream, listen, limits, cache, merge, oob, keep-clients, takeover, warn-after, probe-after, probe-timeout\)$/,
  ],
  ['a missing upstream', '\n[monitor.vm]\nlisten=["/a"]', /^f\.toml:2: monitor\.vm\.upstream: is missing$/],
  ['a missing listener', vm, /^f\.toml:1: monitor\.vm\.listen: is missing$/],
  [
    'a switch that is a word',
    `${vm}listen=["/a"]\ncache="no"`,
    /^f\.toml:4: monitor\.vm\.cache: must be true or false, not "no"$/,
  ],
  ['no listener', `${vm}listen=[]`, /^f\.toml:3: monitor\.vm\.listen: must name at least one address$/],
  ['a listener that is no list', `${vm}listen="/a"`, /^f\.toml:3: monitor\.vm\.listen: must be a list of addresses/],
  [
    'a listener that is a number',
    `${vm}listen=[1]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]: must be an address or a table/,
  ],
  [
    'a listener without an address',
    `${vm}listen=[{mode="0660"}]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]\.address: is missing$/,
  ],
  [
    'an unknown key of a listener',
    `${vm}listen=[{address="/a",mdoe="0660"}]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]\.mdoe: unknown key; did you mean "mode"\?$/,
  ],
  [
    'a wrong key of a listener in the place of its address',
    `${vm}listen=[\n"/a",\n{mode="0660",\nadress="/b"}]`.replace('0660",\n', '0660",'),
    /^f\.toml:5: monitor\.vm\.listen\[1\]\.adress: unknown key; did you mean "address"\?$/,
  ],
  [
    'one socket twice, in two spellings',
    `${vm}listen=["/a/m"]\n[monitor.b]\nupstream="/r"\nlisten=["/a/../a/./m"]`,
    /monitor\.b\.listen\[0\]: unix:\/a\/\.\.\/a\/\.\/m is a listener of vm already/,
  ],
  [
    'one port twice, by name and by number',
    `${vm}listen=["tcp:localhost:4444", "tcp:127.0.0.1:4444"]`,
    /monitor\.vm\.listen\[1\]: tcp:127\.0\.0\.1:4444 is a listener of vm already/,
  ],
  [
    'a listener where a socket is moved to',
    `${vm}takeover=true\nlisten=["/q.qemu"]`,
    /monitor\.vm\.listen\[0\]: unix:\/q\.qemu is where the socket of vm is moved to already/,
  ],
  [
    'a takeover of a path that is too long',
    `[monitor.vm]\nupstream="/${'q'.repeat(102)}"\ntakeover=true`,
    /^f\.toml:3: monitor\.vm\.takeover: its socket would be moved to .* 1 byte longer than a socket's path may be/,
  ],
  [
    'a key that moves the cursor of a terminal',
    `${vm}listen=["/a"]\n"\\u001b[8m"=1`,
    /monitor\.vm\.\\u001b\[8m: unknown key/,
  ],
  ['nesting without end', `x = ${'['.repeat(100_000)}`, /^f\.toml:1:\d+: not TOML: /],
  [
    'a message without end',
    `[policy.p]\nrules=["${'x'.repeat(100_000)}"]`,
    /^f\.toml:2: policy\.p\.rules\[0\]: .{1,1000}…$/,
  ],
  [
    'a mode that is a number',
    `${vm}listen=[{address="/a",mode=660}]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]\.mode: must be permission bits as a string/,
  ],
  [
    'a mode that is no mode',
    `${vm}listen=[{address="/a",mode="rw"}]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]\.mode: mode must be octal, such as mode=0660$/,
  ],
  [
    'a mode given twice',
    `${vm}listen=[{address="/a,mode=0600",mode="0660"}]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]\.mode: "mode" is given twice$/,
  ],
  [
    'a wrong address',
    '[monitor.vm]\nlisten=["/a"]\nupstream="tpc:h:1"',
    /^f\.toml:3: monitor\.vm\.upstream: address "tpc:h:1", column 1: unknown scheme "tpc"; did you mean "tcp"\?$/,
  ],
  [
    'a wrong second listener',
    `${vm}[[monitor.vm.listen]]\naddress="/a"\n[[monitor.vm.listen]]\naddress="exec:x"`,
    /^f\.toml:5: monitor\.vm\.listen\[1\]: address "exec:x", column 1: a listener cannot be a command/,
  ],
  [
    'a wrong key of a second listener',
    `${vm}[[monitor.vm.listen]]\naddress="/a"\n[[monitor.vm.listen]]\naddress="/b"\ngruop="x"`,
    /^f\.toml:7: monitor\.vm\.listen\[1\]\.gruop: unknown key; did you mean "group"\?$/,
  ],
  [
    'a wrong log level',
    `[log]\nlevel="loud"\n${vm}listen=["/a"]`,
    /^f\.toml:2: log\.level: must be one of trace, debug, info/,
  ],
  [
    'a wrong log format',
    `log.format="xml"\n${vm}listen=["/a"]`,
    /^f\.toml:1: log\.format: must be one of pretty, json, auto, not "xml"$/,
  ],
  [
    'a time that is none, beside an address',
    `${vm}[[monitor.vm.listen]]\naddress="/a"\n\ncommand-timeout="soon"`,
    /^f\.toml:6: monitor\.vm\.listen\[0\]\.command-timeout: must be a time such as .*, not "soon"$/,
  ],
  [
    'an event in small letters, beside an address',
    `${vm}listen=[{address="/a",\nevents=["STOP",\n"block_*"]}]`,
    /^f\.toml:4: monitor\.vm\.listen\[0\]\.events: must be in capitals, .*: "BLOCK_\*"$/,
  ],
  [
    'a user that is no name',
    `${vm}listen=[{address="/a",allow-uid=[0,\ntrue]}]`,
    /^f\.toml:4: monitor\.vm\.listen\[0\]\.allow-uid\[1\]: must be a text$/,
  ],
  [
    'a policy behind an address and beside it',
    `${vm}listen=[{address="/a,policy=full",policy="read-only"}]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]\.policy: "policy" is given twice$/,
  ],
  [
    'descriptors beside a TCP address',
    `${vm}listen=[{address="tcp:localhost:0",fds=true}]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]\.fds: works only on unix sockets: TCP carries no file descriptors$/,
  ],
  [
    'a number of clients for each user of TCP',
    `${vm}listen=["tcp:localhost:0,max-clients-per-uid=2"]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]: .*"max-clients-per-uid" works only on unix sockets: TCP does not identify users$/,
  ],
  [
    'a mode beside a socket that was handed over',
    `${vm}listen=[{address="fd:3",mode="0660"}]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]\.mode: "mode" cannot be set on an inherited socket$/,
  ],
  [
    'a switch that is a number',
    `${vm}listen=[{address="/a",shared-folder=1}]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]\.shared-folder: must be true or false$/,
  ],
  [
    'events for clients of the human monitor',
    `${vm}listen=[{address="/a",protocol="hmp",events="all"}]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]\.events: is for QMP: the human monitor has no events; leave it out$/,
  ],
  [
    'a transport of the audit log that is no table',
    `${vm}listen=["/a"]\n[audit]\nto=["/l", {transport="x", option=1}]`,
    /^f\.toml:5: audit\.to\[1\]: must be a file, .*: "option" is not known$/,
  ],
  ['a wrong name', '[monitor."a b"]\nupstream="/q"\nlisten=["/a"]', /^f\.toml:1: monitor\.a b: a name has letters/],
  ['a monitor that is no table', 'monitor = 1', /^f\.toml:1: monitor: must be tables by name/],
  ['a monitor that is a list', '[[monitor]]\nupstream="/q"', /^f\.toml:1: monitor/],
  [
    'one QEMU twice',
    `${vm}listen=["/a"]\n[monitor.b]\nupstream="unix:/q"\nlisten=["/b"]`,
    /^f\.toml:5: monitor\.b\.upstream: unix:\/q is the upstream of vm already/,
  ],
  [
    'one socket twice',
    `${vm}listen=["/a"]\n[monitor.b]\nupstream="/r"\nlisten=["/b","/a"]`,
    /^f\.toml:6: monitor\.b\.listen\[1\]: unix:\/a is a listener of vm already/,
  ],
  [
    'a listener in the place of a QEMU',
    `${vm}listen=["/a"]\n[monitor.b]\nupstream="/a"\nlisten=["/b"]`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]: unix:\/a is the upstream of b already/,
  ],
  [
    'a listener in the place of the audit log',
    `${vm}listen=["/a"]\n[audit]\nto="/a"`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]: unix:\/a is the audit log already$/,
  ],
  [
    'a listener in the place of the metrics',
    `${vm}listen=["tcp:localhost:1"]\n[metrics]\nlisten="tcp:localhost:1"`,
    /^f\.toml:3: monitor\.vm\.listen\[0\]: tcp:localhost:1 is the socket of the metrics already$/,
  ],
  [
    'the audit log in the place of a QEMU',
    `${vm}listen=["/a"]\n[audit]\nto="/q"`,
    /^f\.toml:2: monitor\.vm\.upstream: unix:\/q is the audit log already$/,
  ],
];

for (const [what, content, message] of faults) {
  test(`a config with ${what} is refused, with the place`, () => {
    assert.throws(
      () => parseConfig(content, 'f.toml'),
      (error) => {
        assert.ok(error instanceof ConfigError, String(error));
        assert.equal(error.code, 'QMPMUX_CONFIG');
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  });
}

test('the example of the documentation is a config', () => {
  const page = readFileSync(new URL('../../../docs/reference/config.md', import.meta.url), 'utf8');
  const example = /```toml\n(.*?)```/s.exec(page)?.[1] ?? '';
  const config = parseConfig(example, 'docs/reference/config.md');
  assert.deepEqual(
    config.monitors.map((monitor) => monitor.name),
    ['web1', 'db1'],
  );
});

test('a config file that cannot be read is named', (t) => {
  const folder = scratch(t);
  assert.throws(() => readConfig(join(folder, 'none.toml')), { message: /\/none\.toml: there is no such file$/ });
  assert.throws(() => readConfig(folder), { code: 'QMPMUX_CONFIG', message: /: it is a folder$/ });
  writeFileSync(join(folder, 'a.toml'), '[monitor.vm]\nupstream="/q"\nlisten=["/a"]');
  assert.equal(readConfig(join(folder, 'a.toml')).monitors.length, 1);
});

test('flags with a name or sockets that clash are refused', () => {
  const upstream = parseUpstream('/q');
  const make = (name: string | null, ...listen: string[]) =>
    singleMonitor(
      name,
      upstream,
      listen.map((text) => parseListener(text)),
      DEFAULT_LOG,
    );
  assert.throws(() => make('a b', '/a'), {
    code: 'QMPMUX_CONFIG',
    message: /the name "a b" cannot be used: a name has letters/,
  });
  assert.throws(() => make(null, '/q'), { message: /unix:\/q is the upstream of q already/ });
  assert.throws(() => make(null, '/a', 'unix:/a'), { message: /unix:\/a is a listener of q already/ });
});

describe('the audit table', () => {
  const monitor = '[monitor.vm]\nupstream = "q"\nlisten = ["m"]\n';
  const audit = (lines: string) => parseConfig(`[audit]\n${lines}\n${monitor}`, 'f.toml').audit;

  it('is none when there is none', () => {
    assert.equal(parseConfig(monitor, 'f.toml').audit, null);
  });

  it('says where records go, how, and which', () => {
    assert.deepEqual(audit('to = "/var/log/a"'), {
      destinations: [{ kind: 'file', path: '/var/log/a' }],
      sync: false,
      chain: false,
      onError: 'refuse',
      maxMessage: 0,
      leftOut: { kinds: new Set(), events: new Set(), commands: [OWN] },
      redact: [],
    });
    const all = audit(
      [
        'to = ["/var/log/a", "transport:pino-socket,address=10.0.0.1,port=514,reconnect=true,name=a,,b"]',
        'sync = true',
        'chain = true',
        'on-error = "continue"',
        'max-message = "64k"',
        'without = ["reply", "RTC_CHANGE"]',
        'redact = ["send-key:arguments.keys"]',
      ].join('\n'),
    );
    assert.deepEqual(all?.destinations[1], {
      kind: 'transport',
      target: 'pino-socket',
      options: { address: '10.0.0.1', port: 514, reconnect: true, name: 'a,b' },
    });
    assert.deepEqual([all?.sync, all?.chain, all?.onError, all?.maxMessage], [true, true, 'continue', 65536]);
    assert.deepEqual(all?.leftOut, { kinds: new Set(['reply']), events: new Set(['RTC_CHANGE']), commands: [OWN] });
    assert.equal(all?.redact[0]?.path, 'arguments.keys');
  });

  it('is refused with the place of the fault', () => {
    assert.throws(() => audit('sync = true'), /f\.toml:\d+: audit\.to: /);
    assert.throws(() => audit('to = "a"\nsinc = true'), /audit\.sinc: unknown key; did you mean "sync"/);
    assert.throws(() => audit('to = ["a", "stdout"]'), /audit\.to: the audit log goes to one file or to stdout/);
    assert.throws(
      () => audit('to = "a"\nwithout = ["command"]'),
      /audit\.without: records of kind "command" cannot be left out/,
    );
    assert.throws(
      () => audit('to = "a"\nmax-message = "lots"'),
      /audit\.max-message: must be a size such as .*, not "lots"/,
    );
    assert.throws(
      () => audit('to = "a"\non-error = "retry"'),
      /audit\.on-error: must be refuse or continue, not "retry"$/,
    );
  });
});
