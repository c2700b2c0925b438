import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { redactHmp } from '../../../dist/audit/redact/hmp-redaction.js';
import { Redactor } from '../../../dist/audit/redact/redaction.js';
import type { SecretReader } from '../../../dist/audit/redact/text-redaction.js';

const SECRET = 'hush-hush-42';
/** Shows what a mark would stand for by its length alone, so that the rest of the line can be compared. */
const reader: SecretReader = { mark: (secret) => `[${secret.length}]`, nested: () => null };

/** @returns the line as it is recorded, by the redactor of messages, with marks without their hash */
function recorded(line: string): string {
  const raw = JSON.stringify({ execute: 'human-monitor-command', arguments: { 'command-line': line } });
  const found = new Redactor().command('human-monitor-command', Buffer.from(raw));
  if (found?.message === null || found === null) return line;
  // the shape is that of the command above
  const message = JSON.parse(Buffer.from(found.message.bytes).toString()) as { arguments: { 'command-line': string } };
  return message.arguments['command-line'].replace(/\[redacted (\d+) bytes? #[0-9a-f]+\]/g, '[$1]');
}

/** Lines, and what is recorded of each: `[12]` stands for a secret of 12 bytes. */
const lines: readonly (readonly [line: string, recorded: string])[] = [
  ['qom-set/objects/sec0 data hush-hush-42', 'qom-set/objects/sec0 data [12]'],
  ['qom-set "/objects/sec0"data hush-hush-42', 'qom-set "/objects/sec0"data [12]'],
  ['qom-set /objects/sec0 "data"hush-hush-42', 'qom-set /objects/sec0 "data"[12]'],
  ['qom-set "/objects/sec0""data"hush-hush-42', 'qom-set "/objects/sec0""data"[12]'],
  ['qom-set -j/objects/sec0 data "hush-hush-42"', 'qom-set -j/objects/sec0 data [14]'],
  ['qom-set\n/objects/sec0\tdata\vhush-hush-42 and more', 'qom-set\n/objects/sec0\tdata\v[21]'],
  ['qom-set /objects/sec0 dta hush-hush-42', 'qom-set /objects/sec0 dta [12]'],
  ['qom-set data /objects/sec0 hush-hush-42', 'qom-set data [26]'],
  ['qom-set -x /objects/sec0 data hush-hush-42', 'qom-set [34]'],
  ['qom-set /o /objects/sec0 data hush-hush-42', 'qom-set /o /objects/sec0 data [12]'],
  ['change/"vnc"password hush-hush-42', 'change[27]'],
  ['qom-set /objects/sec0 hush-hush-42', 'qom-set [26]'],
  ['qom-set "/objects/sec0" "data hush-hush-42', 'qom-set [34]'],
  ['qmo-set /objects/sec0 data hush-hush-42', 'qmo-set [31]'],
  ['qom_set /objects/sec0 data hush-hush-42', 'qom_set [31]'],
  ['set_password "vnc"hush-hush-42', 'set_password "vnc"[12]'],
  ['set_password/vnc hush-hush-42', 'set_password[17]'],
  ['set_password vnc "hush-hush-42"keep', 'set_password vnc [12]keep'],
  ['set_password vnc "hush \\"hush\\" 42" -d v1 fail', 'set_password vnc [14] -d v1 fail'],
  ['set_password vnc hush hush 42', 'set_password vnc [12]'],
  ['set_password vnc -d hush-hush-42', 'set_password vnc [2] [12]'],
  ['set_password vnc hush-hush-42 -x', 'set_password vnc [15]'],
  ['set_password hush-hush-42', 'set_password [12]'],
  ['set_password "vnc hush-hush-42', 'set_password [17]'],
  ['set_password vnv hush-hush-42', 'set_password [16]'],
  ['set_pasword vnc hush-hush-42', 'set_pasword [16]'],
  ['SET_PASSWORD vnc hush-hush-42', 'SET_PASSWORD [16]'],
  ['Set-Password vnc hush-hush-42', 'Set-Password [16]'],
  ['setpw vnc hush-hush-42', 'setpw [16]'],
  ['set_passwordvnc hush-hush-42', '[28]'],
  ['set_password=hush-hush-42', '[25]'],
  ['info set_password vnc hush-hush-42', 'info [29]'],
  ['info status\nset_pasword vnc hush-hush-42', 'info [35]'],
  ['stop\nset_password vnc hush-hush-42', 'stop\n[29]'],
  ['(qemu) set_password vnc hush-hush-42', '[36]'],
  ['help set_password vnc hush-hush-42', 'help set_password vnc [12]'],
  ['? ? help set_password vnc hush-hush-42', '? ? help set_password vnc [12]'],
  ['change "vnc"password hush-hush-42', 'change "vnc"password [12]'],
  ['change vnc "password"hush-hush-42', 'change vnc "password"[12]'],
  ['change vnc -fpassword hush-hush-42', 'change vnc -fpassword [12]'],
  ['change VNC password hush-hush-42', 'change VNC password [12]'],
  ['change vnv password hush-hush-42', 'change vnv password [12]'],
  ['change vnc hush-hush-42', 'change vnc [12]'],
  ['change vnc password "hush-hush-42" raw read-only x', 'change vnc password [30]'],
  ['chagne vnc password hush-hush-42', 'chagne [25]'],
  ['expire_password vnc hush-hush-42', 'expire_password vnc [12]'],
  ['expire_password "vnc"hush-hush-42', 'expire_password "vnc"[12]'],
  ['expire_password/vnc hush-hush-42', 'expire_password[17]'],
  ['block_passwd ide0 hush-hush-42', 'block_passwd ide0 [12]'],
  [
    'object_add qom-type=iothread,qom-type=secret,id=x,data=hush-hush-42',
    'object_add qom-type=iothread,qom-type=secret,id=x,data=[12]',
  ],
  [
    'object_add qom-type=secret,id=x,data=hush-hush-42,qom-type=iothread',
    'object_add qom-type=secret,id=x,data=[12],qom-type=iothread',
  ],
  ['object_add/secret,id=x,data=hush-hush-42', 'object_add/secret,id=x,data=[12]'],
  ['object_add secret,id=x,dat=hush-hush-42', 'object_add secret,id=x,dat=[12]'],
  ['object_add secret,id=x,hush-hush-42', 'object_add secret,id=x,[12]'],
  ['object_add secret,id=x,data=a,,hush-hush-42', 'object_add secret,id=x,data=[14]'],
  ['object-add secret,id=x,data=hush-hush-42', 'object-add [29]'],
  [
    'object_add {"qom-type":"secret","id":"x","data":"hush-hush-42"}',
    'object_add {"qom-type":"secret","id":"x","data":"[12]"}',
  ],
  [
    'drive_add 0 "file=json:{\\"driver\\":\\"https\\",,\\"cookie\\":\\"hush-hush-42\\"}"',
    'drive_add 0 "file=json:{\\"driver\\":\\"https\\",,\\"cookie\\":\\"[12]\\"}"',
  ],
  [
    'drive_add 0 file=json:{"driver":"https",,"cookie":"hush-hush-42"},if=none',
    'drive_add 0 file=json:{"driver":"https",,"cookie":"[12]"},if=none',
  ],
  ['drive_add -n 0 driver=https,file.cookie=hush-hush-42', 'drive_add -n 0 driver=https,file.cookie=[12]'],
  ['drive_add "0""file=https://u:hush-hush-42@h/x"', 'drive_add "0""file=https://u:[12]@h/x"'],
  ['drive_mirror -n d https://u:hush-hush-42@h/x', 'drive_mirror -n d https://u:[12]@h/x'],
  ['device_add isa-applesmc,osk="hush-hush-42"', 'device_add isa-applesmc,osk=[14]'],
  ['device_add/isa-applesmc,osk=hush-hush-42', 'device_add/isa-applesmc,osk=[12]'],
  ['netdev_add "l2tpv3,id=n,txcookie=hush-hush-42"', 'netdev_add "l2tpv3,id=n,txcookie=[12]"'],
  ['chardev-add socket,id=c,password=hush-hush-42', 'chardev-add socket,id=c,password=[12]'],
  ['chardev-change c socket,password=hush-hush-42', 'chardev-change c socket,password=[12]'],
  ['device_add isa-applesmc,osk=hush-hush-42 x', 'device_add [31]'],
  ['qemu-io d "reopen -o file.cookie=hush-hush-42"', 'qemu-io d "reopen -o file.cookie=[12]"'],
  ['migrate ftp://u:hush-hush-42@h/x', 'migrate ftp://u:[12]@h/x'],
  ['migrate -z ftp://u:hush-hush-42@h/x', 'migrate [27]'],
];

/** Lines that are recorded as they are. */
const shown: readonly string[] = [
  'migrate -d exec:true,cookie=;touch${IFS}/tmp/x',
  'migrate exec:: x://y:$(touch${IFS}x)@z',
  'migrate "exec:: x://y:z@z; reboot -f,password=x"',
  'migrate -d"exec:cat>/tmp/x?token=y,cookie=;rm x"',
  'migrate_incoming exec:true,cookie=;COMMANDS',
  'migrate tcp:h:1,password=x',
  'migrate "fd:secret"',
  'savevm a,password=x',
  'info status',
  'info nosuch',
  'info block -v cd0',
  'nosuch a b',
  'help set_password',
  '? change',
  'change ide1-cd0 /a/b.iso raw read-only',
  'change "ide1-cd0" "/a b.iso"',
  'qom-set /machine/x polling 10',
  'qom-get /machine type',
  'set_password',
  'change vnc',
  'change vnc password',
  'object_add memory-backend-ram,id=m,size=1M',
  'object_add secret,id=s,file=/etc/s,format=base64,keyid=k,iv=x',
  'expire_password vnc +60 -d v1',
  'device_add virtio-net-pci,netdev=n,id=d',
  'drive_add 0 file=/x,if=none,id=d,key-secret=s',
  'x/10i $pc',
  'stop now',
  '',
  ' \n ',
];

describe('a line of HMP', () => {
  for (const [line, expected] of lines) {
    it(`${JSON.stringify(line)} is recorded without its secret`, () => {
      assert.equal(recorded(line), expected);
      assert.ok(!recorded(line).includes(SECRET));
    });
  }

  for (const line of shown) {
    it(`${JSON.stringify(line)} is recorded as it is`, () => {
      assert.equal(recorded(line), line);
    });
  }

  it('hides the answer where it asks for a secret, however it is spelled', () => {
    const asking = [
      'qom-get /objects/s data',
      'qom-get/objects/s data',
      'qom-get "/objects/s"data',
      'qom-get "/objects/s""data"',
      ' qom-get\t/objects/s\ndata ',
      'qom-get /objects/s "da\\\'ta"',
    ];
    for (const line of asking) assert.equal(redactHmp(line, reader)?.hidesAnswer, true, line);
    for (const line of ['qom-get /machine type', 'qom-get /machine', 'qom-set /machine type x']) {
      assert.notEqual(redactHmp(line, reader)?.hidesAnswer, true, line);
    }
  });

  it('is answered without the secret properties that are listed', () => {
    const listed =
      'bus: main\r\n  dev: isa-applesmc, id ""\r\n    iobase = 768 (0x300)\r\n    osk = "hush-hush-42"\r\n    osk = ""\r\n';
    const raw = Buffer.from(JSON.stringify({ return: listed }));
    const found = new Redactor().answer('human-monitor-command', null, raw);
    assert.deepEqual(found?.paths, ['return!osk']);
    // the shape is that of the answer above
    const { return: text } = JSON.parse(Buffer.from(found.bytes).toString()) as { return: string };
    assert.equal(text.replace(/ #[0-9a-f]+/, ''), listed.replace('"hush-hush-42"', '[redacted 12 bytes]'));
    assert.equal(new Redactor().answer('human-monitor-command', null, Buffer.from('{"return":"a = 1\\r\\n"}')), null);
  });

  it('that QEMU does not run is withheld where it is too long to be searched', () => {
    assert.equal(recorded(`nosuch ${'x '.repeat(3000)}`), 'nosuch [5999] ');
  });

  it('is recorded as far as it is searched: up to 64 KiB of a word', () => {
    const text = recorded(`savevm ${'x'.repeat(70_000)}${SECRET}`);
    assert.equal(text, `savevm ${'x'.repeat(65_536)}[4476]`);
    assert.ok(recorded(`savevm "a ${'x'.repeat(70_000)}"`).endsWith('x[4466]"'));
    assert.ok(recorded(`object_add secret,id=s,${'a=b,'.repeat(20_000)}data=${SECRET}`).length < 500_000);
  });

  it('costs work in proportion to its length, whatever it is made of', () => {
    const pieces = [
      '"',
      '\\"',
      'a=b,',
      ',',
      ',,',
      'qom-type=',
      'qom-type=secret,',
      'help ',
      'set_pasword ',
      '{',
      '(',
      '/',
      '://',
      'json:{',
      'x ',
      '-',
    ];
    const verbs = [
      'object_add ',
      'drive_add 0 ',
      'print ',
      'nosuch ',
      'device_add ',
      'set_password vnc ',
      'help ',
      'migrate ',
      '',
    ];
    for (const verb of verbs) {
      for (const piece of pieces) {
        const time = (count: number): number => {
          const line = verb + piece.repeat(count);
          const start = process.cpuUsage();
          redactHmp(line, reader);
          const { user, system } = process.cpuUsage(start);
          return user + system;
        };
        time(1000);
        const small = time(10_000);
        const large = time(80_000);
        // Eight times as much: what is quadratic takes 64 times as long.
        assert.ok(large < small * 32 + 100_000, `${verb}${piece}: ${small} and ${large} µs`);
      }
    }
  });
});
