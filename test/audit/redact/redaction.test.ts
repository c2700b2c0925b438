import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Redactor } from '../../../dist/audit/redact/redaction.js';
import { REDACTION_RULES, SECRET_COMMANDS, SECRET_OBJECTS } from '../../../dist/audit/redact/redaction-table.js';
import { SecretMarks } from '../../../dist/audit/redact/secret-mark.js';
import { parseRedaction } from '../../../dist/audit/write/settings.js';
import { Scanner } from '../../../dist/qmp/json/scanner.js';
import { type LooseRecord, openTestLog, testClient, testCommand, wire } from '../../support/text/audit.js';

/** Stands for the secret in every case; nothing of it may be left. */
const SECRET = 'hush-hush-42';

function command(name: string, args: unknown): [name: string, raw: string] {
  return [name, JSON.stringify({ execute: name, arguments: args })];
}
function hmp(line: string): [name: string, raw: string] {
  return command('human-monitor-command', { 'command-line': line });
}

/** @returns the mark that stands for the whole return of an answer's record. */
function markOf(record: LooseRecord | undefined): string {
  const mark = /\[redacted \d+ bytes? #[0-9a-f]{8}\]/.exec(JSON.stringify(record?.['message']))?.[0];
  assert.ok(mark !== undefined);
  return mark;
}

/** @returns a mark without its hash. */
function withoutHash(mark: unknown): string {
  return String(mark).replace(/ #[0-9a-f]{8}/, '');
}

/** What is sent, and the paths that must be listed. */
const CASES: readonly (readonly [what: string, sent: [name: string, raw: string], paths: readonly string[]])[] = [
  ['set_password', command('set_password', { protocol: 'vnc', password: SECRET }), ['arguments.password']],
  ['change-vnc-password', command('change-vnc-password', { password: SECRET }), ['arguments.password']],
  [
    'change of vnc, until QEMU 6.0',
    command('change', { device: 'vnc', target: 'password', arg: SECRET }),
    ['arguments.arg'],
  ],
  [
    'a password for expire_password, which takes none',
    command('expire_password', { protocol: 'vnc', password: SECRET }),
    ['arguments.password'],
  ],
  [
    'a password in the place of a time',
    command('expire_password', { protocol: 'vnc', time: SECRET }),
    ['arguments.time'],
  ],
  [
    'a password in the place of a protocol',
    command('set_password', { protocol: SECRET, password: 'vnc' }),
    ['arguments.protocol', 'arguments.password'],
  ],
  [
    'a password in the place of what becomes of clients',
    command('set_password', { protocol: 'vnc', password: 'x', connected: SECRET }),
    ['arguments.password', 'arguments.connected'],
  ],
  [
    'a password in the place of the protocol whose time is set',
    command('expire_password', { protocol: SECRET, time: 'now' }),
    ['arguments.protocol'],
  ],
  ['block_passwd, until QEMU 6.0', command('block_passwd', { device: 'd', password: SECRET }), ['arguments.password']],
  [
    'qom-set of a secret',
    command('qom-set', { path: '/objects/s', property: 'data', value: SECRET }),
    ['arguments.value'],
  ],
  [
    'sev-inject-launch-secret',
    command('sev-inject-launch-secret', { 'packet-header': SECRET, secret: SECRET, gpa: 7 }),
    ['arguments.packet-header', 'arguments.secret'],
  ],
  [
    'guest-set-user-password',
    command('guest-set-user-password', { username: 'u', password: SECRET }),
    ['arguments.password'],
  ],
  [
    'guest-exec, what the program reads and its environment',
    command('guest-exec', { path: '/bin/x', arg: ['-v'], env: ['A=b', `DB_PASSWORD=${SECRET}`], 'input-data': SECRET }),
    ['arguments.env.1!DB_PASSWORD', 'arguments.input-data'],
  ],
  ['guest-file-write', command('guest-file-write', { handle: 1, 'buf-b64': SECRET }), ['arguments.buf-b64']],
  [
    'object-add of a secret',
    command('object-add', { 'qom-type': 'secret', id: 's', data: SECRET }),
    ['arguments.data'],
  ],
  [
    'object-add of a secret, the kind last',
    command('object-add', { id: 's', data: SECRET, 'qom-type': 'secret' }),
    ['arguments.data'],
  ],
  [
    'object-add of a secret, until QEMU 6.0',
    command('object-add', { 'qom-type': 'secret', id: 's', props: { data: SECRET } }),
    ['arguments.props.data'],
  ],
  [
    'object-add of a keyring secret',
    command('object-add', { 'qom-type': 'secret_keyring', id: 's', 'new-thing': SECRET }),
    ['arguments.new-thing'],
  ],
  [
    'object-add of TLS credentials',
    command('object-add', { 'qom-type': 'tls-creds-x509', id: 't', key: SECRET }),
    ['arguments.key'],
  ],
  [
    'object-add of TLS credentials by key',
    command('object-add', { 'qom-type': 'tls-creds-psk', id: 't', psk: { a: SECRET } }),
    ['arguments.psk'],
  ],
  [
    'object-add of an authorization',
    command('object-add', { 'qom-type': 'authz-pam', id: 'a', token: SECRET }),
    ['arguments.token'],
  ],
  [
    'object-add of a SEV guest, a session in the place of its file',
    command('object-add', { 'qom-type': 'sev-guest', id: 's', 'session-file': '/run/s', session: SECRET }),
    ['arguments.session'],
  ],
  [
    'a cookie of blockdev-add',
    command('blockdev-add', { driver: 'raw', file: { driver: 'https', url: 'https://h/', cookie: SECRET } }),
    ['arguments.file.cookie'],
  ],
  [
    'a cookie of blockdev-reopen',
    command('blockdev-reopen', { options: [{ driver: 'https', cookie: SECRET }] }),
    ['arguments.options.0.cookie'],
  ],
  ['a flattened cookie', command('blockdev-add', { driver: 'raw', 'file.cookie': SECRET }), ['arguments.file.cookie']],
  [
    'the password of an URL',
    command('blockdev-add', { driver: 'https', url: `https://bob:${SECRET}@h/x`, 'node-name': 'n' }),
    ['arguments.url!password'],
  ],
  [
    'the password of an iSCSI name',
    command('drive-mirror', { device: 'd', target: `iscsi://bob%${SECRET}@h/iqn/1` }),
    ['arguments.target!password'],
  ],
  [
    'the token of a signed URL',
    command('blockdev-add', { driver: 'https', url: `https://h/x?a=1&X-Amz-Signature=${SECRET}&b=2` }),
    ['arguments.url!X-Amz-Signature'],
  ],
  [
    'the key of an rbd name',
    command('drive-mirror', { device: 'd', target: `rbd:pool/i:id=admin:key=${SECRET}:mon_host=h` }),
    ['arguments.target!key'],
  ],
  [
    'the pairs of an rbd name',
    command('blockdev-add', { driver: 'rbd', '=keyvalue-pairs': `["key","${SECRET}"]` }),
    ['arguments.=keyvalue-pairs'],
  ],
  [
    'a json: file name',
    command('drive-mirror', { device: 'd', target: `json:{"driver":"https","cookie":"${SECRET}"}` }),
    ['arguments.target!cookie'],
  ],
  [
    'a json: file name within a json: file name',
    command('drive-mirror', {
      target: `json:${JSON.stringify({ file: { filename: `json:{"password":"${SECRET}"}` } })}`,
    }),
    ['arguments.target!file.filename!password'],
  ],
  [
    'within a transaction',
    command('transaction', {
      actions: [
        { type: 'abort', data: {} },
        { type: 'x', data: { driver: 'https', cookie: SECRET } },
      ],
    }),
    ['arguments.actions.1.data.cookie'],
  ],
  [
    'x-blockdev-amend',
    command('x-blockdev-amend', { 'job-id': 'j', options: { driver: 'luks', password: SECRET } }),
    ['arguments.options.password'],
  ],
  [
    'a chardev',
    command('chardev-add', { id: 'c', backend: { type: 'socket', data: { addr: {}, password: SECRET } } }),
    ['arguments.backend.data.password'],
  ],
  [
    'a netdev',
    command('netdev_add', { type: 'l2tpv3', id: 'n', txcookie: 4242424242, rxcookie: 4242424242 }),
    ['arguments.txcookie', 'arguments.rxcookie'],
  ],
  ['a device', command('device_add', { driver: 'isa-applesmc', osk: SECRET }), ['arguments.osk']],
  [
    'a device with a password',
    command('device_add', { driver: 'x', password: SECRET, passphrase: SECRET }),
    ['arguments.password', 'arguments.passphrase'],
  ],
  ['migrate', command('migrate', { uri: `https://u:${SECRET}@h/` }), ['arguments.uri!password']],
  [
    'a name and a key that are escaped',
    ['set_password', `{"execute":"set\\u005fpassword","arguments":{"protocol":"vnc","pass\\u0077ord":"${SECRET}"}}`],
    ['arguments.password'],
  ],
  [
    'a kind that is escaped',
    ['object-add', `{"execute":"object-add","arguments":{"qom-type":"s\\u0065cret","id":"s","data":"${SECRET}"}}`],
    ['arguments.data'],
  ],
  [
    'single quotes',
    ['set_password', `{'execute':'set_password','arguments':{'protocol':'vnc','password':'${SECRET}'}}`],
    ['arguments.password'],
  ],
  [
    'a secret that is a list',
    command('set_password', { protocol: 'vnc', password: [SECRET, { a: SECRET }] }),
    ['arguments.password'],
  ],
  ['a mistyped command', command('set-pasword', { password: SECRET }), ['arguments.password']],

  ['HMP: change vnc password', hmp(`change vnc password ${SECRET}`), ['arguments.command-line!password']],
  [
    'HMP: change vnc passwd, blanks and quotes',
    hmp(`  change   vnc  passwd "${SECRET} and more" x`),
    ['arguments.command-line!password'],
  ],
  ['HMP: change vnc, mistyped', hmp(`change vnc pasword ${SECRET}`), ['arguments.command-line!password']],
  ['HMP: change with a flag', hmp(`change -f vnc password ${SECRET}`), ['arguments.command-line!password']],
  ['HMP: set_password', hmp(`set_password vnc ${SECRET} keep`), ['arguments.command-line!password']],
  [
    'HMP: set_password with a display',
    hmp(`set_password vnc ${SECRET} -d v1 keep`),
    ['arguments.command-line!password'],
  ],
  ['HMP: expire_password', hmp(`expire_password vnc ${SECRET}`), ['arguments.command-line!time']],
  ['HMP: block_passwd', hmp(`block_passwd ide0 ${SECRET}`), ['arguments.command-line!password']],
  ['HMP: object_add', hmp(`object_add secret,id=s,data=${SECRET},format=raw`), ['arguments.command-line!data']],
  ['HMP: object_add, commas within', hmp(`object_add secret,id=s,data=a,,${SECRET}`), ['arguments.command-line!data']],
  [
    'HMP: object_add, the kind by its name',
    hmp(`object_add id=s,qom-type=secret,data=${SECRET}`),
    ['arguments.command-line!data'],
  ],
  ['HMP: object_add, quoted', hmp(`object_add "secret,id=s,data=${SECRET}"`), ['arguments.command-line!data']],
  [
    'HMP: object_add, as JSON',
    hmp(`object_add {"qom-type":"secret","id":"s","data":"${SECRET}"}`),
    ['arguments.command-line!data'],
  ],
  [
    'HMP: object_add of TLS credentials',
    hmp(`object_add tls-creds-x509,id=t,dir=/etc,key=${SECRET}`),
    ['arguments.command-line!key'],
  ],
  ['HMP: qom-set', hmp(`qom-set /objects/s data ${SECRET}`), ['arguments.command-line!value']],
  ['HMP: qom-set as JSON', hmp(`qom-set -j /objects/s data "${SECRET}"`), ['arguments.command-line!value']],
  [
    'HMP: drive_add',
    hmp(`drive_add 0 file.driver=https,file.url=https://h/,file.cookie=${SECRET},id=d`),
    ['arguments.command-line!file.cookie'],
  ],
  [
    'HMP: drive_add, an URL',
    hmp(`drive_add 0 file=https://u:${SECRET}@h/x,if=none`),
    ['arguments.command-line!password'],
  ],
  [
    'HMP: drive_mirror, a json: name in quotes',
    hmp(`drive_mirror d "json:{\\"driver\\":\\"https\\",\\"cookie\\":\\"${SECRET}\\"}"`),
    ['arguments.command-line!cookie'],
  ],
  ['HMP: chardev-add', hmp(`chardev-add socket,id=c,path=/x,password=${SECRET}`), ['arguments.command-line!password']],
  [
    'HMP: chardev-change',
    hmp(`chardev-change c socket,path=/x,password=${SECRET}`),
    ['arguments.command-line!password'],
  ],
  ['HMP: netdev_add', hmp(`netdev_add l2tpv3,id=n,txcookie=${SECRET}`), ['arguments.command-line!txcookie']],
  ['HMP: device_add', hmp(`device_add isa-applesmc,osk=${SECRET}`), ['arguments.command-line!osk']],
  ['HMP: migrate', hmp(`migrate -d ftp://u:${SECRET}@h/x`), ['arguments.command-line!password']],
  [
    'HMP in a wrong place',
    [
      'human-monitor-command',
      `{"execute":"human-monitor-command","arguments":{"x":{"command-line":"set_password vnc ${SECRET}"}}}`,
    ],
    ['arguments.x.command-line!password'],
  ],
];

describe('secrets do not reach the log', () => {
  for (const [what, [name, raw], paths] of CASES) {
    test(what, async (t) => {
      const log = await openTestLog(t);
      const client = testClient();
      const sent = testCommand(client, name, raw);
      log.recorder.command(sent);
      log.recorder.answered(
        sent,
        [wire(JSON.stringify({ error: { class: 'GenericError', desc: `I do not like ${SECRET}` } }))],
        true,
        'upstream',
      );
      log.recorder.denied(testCommand(client, name, raw), 'read-only', wire('{"error": {}}'));
      log.recorder.malformed(client, Buffer.from(`${raw}}`), wire(`{"error": {"desc": "stray '${SECRET}'"}}`));
      const records = await log.records();
      assert.deepEqual(records[1]?.['redacted'], paths);
      assert.deepEqual(records[3]?.['redacted'], paths);
      const text = await log.close();
      for (const hidden of [SECRET, '4242424242'])
        assert.ok(!text.includes(hidden) || (what === 'a netdev' && hidden === SECRET), text);
    });
  }

  test('each row of the table, and each kind of object in it, has its case', () => {
    const all = CASES.map(([, [, raw]]) => raw).join('\n');
    for (const rule of REDACTION_RULES) {
      if (rule.command !== '*')
        assert.ok(
          CASES.some(([, [name]]) => name === rule.command),
          rule.command,
        );
      const path = rule.path.replace(/\.\*$/, '');
      assert.ok(all.includes(path.slice(path.lastIndexOf('.') + 1)) || rule.path === '**.passwd', rule.path);
      assert.ok(rule.source.length > 10);
    }
    for (const kind of SECRET_OBJECTS.keys()) assert.ok(all.includes(`"qom-type":"${kind}`), kind);
    for (const name of SECRET_COMMANDS.keys()) assert.ok(all.includes(`"execute":"${name}"`), name);
  });

  test('nor through the answer of a command that reads one', async (t) => {
    const log = await openTestLog(t);
    const client = testClient();
    const reads: readonly [string, string][] = [
      command('qom-get', { path: '/objects/s', property: 'data' }),
      hmp('qom-get /objects/s data'),
    ];
    for (const [name, raw] of reads) {
      const sent = testCommand(client, name, raw);
      log.recorder.command(sent);
      log.recorder.answered(sent, [wire(JSON.stringify({ return: SECRET, id: 1 }))], false, 'upstream');
    }
    const text = await log.close();
    assert.ok(!text.includes(SECRET), text);
    const answers = (await log.records()).filter((record) => record['kind'] === 'reply');
    const mark = markOf(answers[0]);
    assert.deepEqual(
      answers.map((record) => record['message']),
      [
        { return: mark, id: 1 },
        { return: mark, id: 1 },
      ],
    );
    assert.deepEqual(
      answers.map((record) => record['redacted']),
      [['return'], ['return']],
    );
  });

  test('nor through file names in answers and events', async (t) => {
    const log = await openTestLog(t);
    const name = `https://u:${SECRET}@h/x`;
    const sent = testCommand(testClient(), 'query-block', '{"execute":"query-block"}');
    log.recorder.answered(
      sent,
      [wire(JSON.stringify({ return: [{ inserted: { file: name } }, { filename: `json:{"cookie":"${SECRET}"}` }] }))],
      false,
      'upstream',
    );
    log.recorder.event(
      'BLOCK_IO_ERROR',
      [wire(JSON.stringify({ event: 'BLOCK_IO_ERROR', data: { reason: `cannot read ${name}` } }))],
      1,
    );
    log.recorder.stray([wire(JSON.stringify({ return: name }))], 'an answer that no client waits for');
    const records = await log.records();
    assert.deepEqual(
      records.slice(2, -1).map((record) => record['redacted']),
      [['return.0.inserted.file!password', 'return.1.filename!cookie'], ['data.reason!password'], ['return!password']],
    );
    assert.ok(!(await log.close()).includes(SECRET));
  });

  test('nor through input that cannot be read, or the input after it', async (t) => {
    const log = await openTestLog(t);
    const client = testClient();
    const error = wire(`{"error": {"class": "GenericError", "desc": "JSON parse error, stray '${SECRET}'"}}`);
    log.recorder.malformed(
      client,
      Buffer.from(`{"execute":"set_pa\\u0073sword","arguments":{"password": ${SECRET}`),
      error,
    );
    log.recorder.malformed(client, Buffer.from(`"${SECRET}"`), error);
    const other = testClient(2);
    log.recorder.malformed(other, Buffer.from('nonsense'), wire('{"error": {}}'));
    log.recorder.command(testCommand(client, 'stop', '{"execute":"stop"}'));
    log.recorder.malformed(client, Buffer.from('nonsense'), wire('{"error": {}}'));
    const records = (await log.records()).filter((record) => record['kind'] === 'malformed');
    assert.deepEqual(
      records.map((record) => withoutHash(record['message'] ?? record['text'])),
      ['[withheld 68 bytes]', '[withheld 14 bytes]', 'nonsense', 'nonsense'],
    );
    assert.deepEqual(records[0]?.['redacted'], ['*']);
    assert.deepEqual(records[0]['reply_redacted'], ['*']);
    assert.ok(!(await log.close()).includes(SECRET));
  });

  test('nor after input that cannot be read, which leaves no two readers with one list of tokens', () => {
    for (const unreadable of ['', ' ', '}', '{', '"', '{"a"', 'x', '[1,', '{"a":1}}']) {
      const redactor = new Redactor();
      for (let times = 0; times < 3; times++) redactor.malformed(Buffer.from(unreadable));
      // The text within the message is read while the message is.
      const raw = `{"a":["[\\"b"],"execute":"set_password","arguments":{"protocol":"vnc","password":"${SECRET}"}}`;
      const redacted = redactor.command('set_password', Buffer.from(raw));
      assert.deepEqual(redacted?.message?.paths, ['arguments.password'], unreadable);
      const lists = Array.from({ length: 10 }, () => {
        const scanner = new Scanner();
        scanner.push(Buffer.from('{"a"'));
        scanner.next();
        return scanner.tokens;
      });
      assert.equal(new Set(lists).size, lists.length, unreadable);
    }
  });

  test('nor where the config says so', async (t) => {
    const redact = ['send-key:arguments.keys', 'x-*:arguments.**.pin', 'query-name:return.name'].map(parseRedaction);
    const log = await openTestLog(t, { redact });
    const client = testClient();
    log.recorder.command(testCommand(client, ...command('send-key', { keys: [{ type: 'qcode', data: SECRET }] })));
    log.recorder.command(testCommand(client, ...command('x-open', { door: { pin: SECRET } })));
    const named = testCommand(client, 'query-name', '{"execute":"query-name"}');
    log.recorder.command(named);
    log.recorder.answered(named, [wire(`{"return": {"name": "${SECRET}"}}`)], false, 'upstream');
    log.recorder.malformed(client, Buffer.from(`{"pin" ${SECRET}`), wire('{"error": {}}'));
    const records = await log.records();
    assert.deepEqual(
      records.slice(1, -1).map((record) => record['redacted']),
      [['arguments.keys'], ['arguments.door.pin'], undefined, ['return.name'], ['*']],
    );
    assert.ok(!(await log.close()).includes(SECRET));
    assert.throws(() => parseRedaction('arguments.keys'), { code: 'QMPMUX_AUDIT_SETTING' });
  });

  test('nor where a pattern of the config matches, as it would in a policy', () => {
    const redactor = new Redactor(['x-*:arguments.zone?', 'x-*:**.*-door'].map(parseRedaction));
    const pathsOf = (args: object) => {
      const [name, raw] = command('x-open', args);
      return redactor.command(name, Buffer.from(raw))?.message?.paths ?? [];
    };
    assert.deepEqual(pathsOf({ zone1: SECRET, zone: 'a', zone12: 'b' }), ['arguments.zone1']);
    assert.deepEqual(pathsOf({ at: { 'Back-Door': SECRET }, 'door-x': 'c' }), ['arguments.at.Back-Door']);
    // Input that cannot be read is suspect where it has the word of a pattern in it.
    assert.ok(redactor.malformed(Buffer.from(`{"my-door" ${SECRET}`)) !== null);
  });
});

describe('everything but secrets stays, byte for byte', () => {
  const marks = new SecretMarks();
  const redactor = new Redactor([], marks);
  const cases: readonly [string, string][] = [
    command('query-status', {}),
    command('object-add', { 'qom-type': 'secret', id: 's', file: '/etc/s', format: 'base64', keyid: 'k', iv: 'x' }),
    command('object-add', {
      'qom-type': 'tls-creds-x509',
      id: 't',
      dir: '/etc/t',
      endpoint: 'server',
      passwordid: 's',
    }),
    command('object-add', {
      'qom-type': 'authz-list',
      id: 'a',
      policy: 'deny',
      rules: [{ match: 'x', policy: 'allow' }],
    }),
    command('object-add', { 'qom-type': 'memory-backend-ram', id: 'm', size: 4096 }),
    command('blockdev-add', {
      driver: 'luks',
      'key-secret': 's',
      file: { driver: 'https', url: 'https://bob@h/x?y=1', 'cookie-secret': 'c', 'password-secret': 'p' },
    }),
    command('expire_password', { protocol: 'vnc', time: '+60' }),
    command('qom-set', { path: '/machine', property: 'x', value: 'y' }),
    command('qom-get', { path: '/machine', property: 'type' }),
    command('migrate', { uri: 'tcp:[::1]:4444' }),
    hmp('info status'),
    hmp('object_add memory-backend-ram,id=m,size=1M'),
    hmp('expire_password vnc never'),
    hmp('change ide1-cd0 "/a b.iso"'),
    hmp('qom-get /machine type'),
    hmp(''),
  ];
  for (const [name, raw] of cases) {
    test(raw, () => {
      assert.equal(redactor.command(name, Buffer.from(raw)), null);
      assert.equal(redactor.malformed(Buffer.from(raw)), null);
    });
  }

  test('beside a removed secret, too', () => {
    const raw = `{ "id" : 18446744073709551615, "arguments":{"password" : "${SECRET}" , "protocol":"vnc"},"x":1.0 ,"execute":"set_password" }`;
    const found = redactor.command('set_password', Buffer.from(raw));
    assert.equal(Buffer.from(found?.message?.bytes ?? []).toString(), raw.replace(SECRET, marks.mark(SECRET)));
  });
});
