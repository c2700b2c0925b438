/** Messages that the audit log lets pass at a look are those in which the walk through them finds nothing, and no others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { HarmlessMessages } from '../../dist/audit/redact/harmless-messages.js';
import { MessageSearch } from '../../dist/audit/redact/message-search.js';
import { RuleSet } from '../../dist/audit/redact/redaction-rules.js';
import { SecretMarks } from '../../dist/audit/redact/secret-mark.js';
import { parseRedaction } from '../../dist/audit/write/settings.js';
import { fuzz } from '../support/text/fuzz.js';

const marks = new SecretMarks();
const rules = new RuleSet(['x-*:**.pin', 'send-key:arguments.keys', 'query-name:return.name'].map(parseRedaction));

/** @returns whether the walk finds a secret; true for what it cannot read. @param name null for what QEMU sends */
function hasSecret(name: string | null, raw: Uint8Array, of: string): boolean {
  const search = new MessageSearch({
    marks,
    rules: name === null ? rules.forAnswer(of) : rules.forCommand(name),
    forTexts: rules.forTexts,
    userWords: rules.userWords,
    command: name,
    echoes: [],
    isAnswerSecret: false,
    idMark: null,
    hashes: { left: 1000 },
    jsonTexts: { left: 1000 },
  });
  const isRead = search.message(raw);
  const found = !isRead || search.hidesAnswer || search.result() !== null;
  search.release();
  return found;
}

const COMMANDS =
  'query-block device_add blockdev-add qom-get qom-set qom-list object-add object-ad human-monitor-command set_password set-pasword expire_password change send-key x-open query-name migrate netdev_add guest-exec transaction'.split(
    ' ',
  );
const NAMES =
  'id a driver node-name file filename url value property propety name target arg args qom-type qom_type data dta props password pasword passw\\u006frd pass\\nword Cookie file.cookie keyid token osk pin keys command-line transport script time protocol 0 é to\u212Aen passwordid'.split(
    ' ',
  );
const TEXTS =
  'x disk.qcow2 /dev/sda secret tls-creds-x509 data password exec https://u:hush@h/x https:\\/\\/u:hush@h/x https://h/?sig=x json:{\\"cookie\\":\\"x\\"} j\\u0073on:{} rbd:p/i:key=hush a\\"b:c\\\\ it\'s é :// set_password\\u0020vnc\\u0020hush info\\nosk\\u0020=\\u0020x\\n'
    .split(' ')
    .concat('set_password vnc hush', 'info status', 'osk = hush', 'object_add secret,id=s,data=hush');

const blank = fc.constantFrom('', '', '', ' ', '\t');
const key = fc.constantFrom(...NAMES);
const text = fc
  .tuple(fc.constantFrom(...TEXTS), fc.constantFrom('"', '"', '"', '"', '"', "'"))
  .map(([value, quote]) => quote + (quote === "'" ? value.replaceAll("'", '') : value) + quote);
const { value } = fc.letrec<{ value: string; object: string; list: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'value' },
    { weight: 4, arbitrary: text },
    { weight: 1, arbitrary: fc.constantFrom('1', 'true', 'null', '{}', '[]') },
    { weight: 2, arbitrary: tie('object') },
    { weight: 1, arbitrary: tie('list') },
  ),
  object: fc
    .uniqueArray(fc.tuple(key, tie('value'), blank), { maxLength: 4, selector: ([name]) => name })
    .map((members) => `{${members.map(([name, of, gap]) => `"${name}"${gap}:${gap}${of}`).join(',')}}`),
  list: fc.array(tie('value'), { maxLength: 3 }).map((elements) => `[${elements.join(', ')}]`),
}));
const args = fc
  .uniqueArray(fc.tuple(key, value), { maxLength: 3, selector: ([name]) => name })
  .map((members) => `{${members.map(([name, of]) => `"${name}":${of}`).join(',')}}`);
const id = fc.oneof(
  fc.constantFrom('7', '123456', '"libvirt-7"', '"__qmp#00001"', '"https://u:hush@h"', '""', '"a\\"id\\":5"'),
  value,
);

test('a command that passes at a look has no secret in it, nor does one like it but for the id', () => {
  fuzz(
    'short cuts of redaction',
    fc.property(
      fc.constantFrom(...COMMANDS),
      args,
      id,
      id,
      fc.constantFrom('last', 'first', 'none', 'password\\"id'),
      (name, given, first, second, place) => {
        const harmless = new HarmlessMessages(rules);
        const make = (own: string) => {
          const rest = `"execute":"${name}","arguments":${given}`;
          if (place === 'first') return Buffer.from(`{"id":${own},${rest}}`);
          if (place === 'none') return Buffer.from(`{${rest}}`);
          return Buffer.from(`{${rest},"${place === 'last' ? 'id' : place}": ${own}}`);
        };
        const isHarmless = (raw: Uint8Array) => harmless.isCommand(name, raw, rules.forCommand(name));
        for (const raw of [make(first), make(second)]) {
          if (isHarmless(raw)) {
            assert.ok(!asksForSecret(name, raw) && !hasSecret(name, raw, name), raw.toString());
          } else if (!asksForSecret(name, raw) && !hasSecret(name, raw, name)) {
            harmless.remember(name, raw);
          }
        }
      },
    ),
  );
});

/** What is not for the walk to say: such commands are not remembered where their answer is a secret. */
function asksForSecret(name: string, raw: Uint8Array): boolean {
  return name === 'qom-get' && !raw.toString().includes('"property":"x"');
}

test('what programs send and QEMU answers every day passes at a look, or when it is seen again', () => {
  const harmless = new HarmlessMessages(rules);
  const isHarmless = (name: string, raw: string) => harmless.isCommand(name, Buffer.from(raw), rules.forCommand(name));
  const device = `{"execute":"device_add","arguments":{"driver":"virtio-blk-pci","id":"vd'1","addr":"0x5"},"id":"libvirt-1"}`;
  assert.ok(isHarmless('device_add', device));
  const asks = (number: string) =>
    `{"execute":"qom-get","arguments":{"path":"/machine","property":"type"}, "id": "libvirt-${number}"}`;
  assert.ok(!isHarmless('qom-get', asks('1')));
  harmless.remember('qom-get', Buffer.from(asks('1')));
  assert.ok(isHarmless('qom-get', asks('23')));
  assert.ok(!isHarmless('qom-get', asks('1"2')));
  assert.ok(!isHarmless('qom-get', asks('1').replace('type', 'data')));
  for (const [name, answer] of [
    ['human-monitor-command', '{"return": "VM status: \\"running\\"\\r\\n", "id": "libvirt-1"}'],
    ['qom-get', '{"return": {"stats": {"stat-free-memory": 1}, "last-update": 1}, "id": 1}'],
  ] as const) {
    assert.ok(harmless.isFromQemu(Buffer.from(answer), rules.forAnswer(name)), answer);
  }
});

test('what a row of the user is about, what HMP lists, and names that are written in another way are not let pass', () => {
  const harmless = new HarmlessMessages(rules);
  for (const [name, members] of [
    ['send-key', '"keys":["x"]'],
    ['x-open', '"pin":1'],
    ['device_add', '"to\u212Aen":"x"'],
    ['device_add', '"pa\\\\ss-w\\"ord":"x"'],
    ['device_add', '"x":"a" , "pasword" : "x"'],
  ] as const) {
    const raw = `{"execute":"${name}","arguments":{${members}}}`;
    assert.ok(!harmless.isCommand(name, Buffer.from(raw), rules.forCommand(name)), raw);
  }
  const listed = '{"return": "osk = \\"x\\"\\r\\n"}';
  assert.ok(!harmless.isFromQemu(Buffer.from(listed), rules.forAnswer('human-monitor-command')));
  assert.ok(!harmless.isFromQemu(Buffer.from('{"return": {"name": "x"}}'), rules.forAnswer('query-name')));
});

test('a message of QEMU that passes at a look has no secret in it', () => {
  fuzz(
    'short cuts of redaction',
    fc.property(fc.constantFrom(...COMMANDS, ''), value, fc.boolean(), (name, returned, isCut) => {
      const whole = `{"return": ${returned}, "id": "x"}`;
      const raw = Buffer.from(isCut ? whole.slice(0, -2) : whole);
      if (!new HarmlessMessages(rules).isFromQemu(raw, rules.forAnswer(name))) return;
      assert.ok(!hasSecret(null, raw, name), raw.toString());
    }),
  );
});
