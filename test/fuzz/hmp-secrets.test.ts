/** Secrets in lines of HMP that are spelled, spaced, quoted and misspelt at random: none is in what is recorded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { redactHmp } from '../../dist/audit/redact/hmp-redaction.js';
import type { SecretReader } from '../../dist/audit/redact/text-redaction.js';
import { fuzz } from '../support/text/fuzz.js';

const SECRET = 'Xq7vZp';
const reader: SecretReader = { mark: () => '[]', nested: () => null };

const blank = fc.constantFrom(' ', ' ', '  ', '\t', '\n', '\v', '\f', '\r', ' \r\n ');
/** A word as it can be written: as it is, or in quotes with escapes; behind quotes no blank is needed. */
const spelled = (text: string) =>
  fc
    .record({ quoted: fc.boolean(), glued: fc.boolean(), behind: blank })
    .map(({ quoted, glued, behind }) =>
      quoted ? `"${text.replace(/["\\]/g, '\\$&')}"${glued ? '' : behind}` : `${text}${behind}`,
    );
/** A verb, right or with a letter more, less, doubled, exchanged or in another case; a slash ends it too. */
const verb = (text: string) =>
  fc
    .record({
      way: fc.constantFrom('right', 'right', 'right', 'drop', 'double', 'swap', 'case', 'dash', 'slash'),
      at: fc.nat({ max: text.length - 2 }),
      behind: blank,
    })
    .map(({ way, at, behind }) => {
      if (way === 'drop') return text.slice(0, at) + text.slice(at + 1) + behind;
      if (way === 'double') return text.slice(0, at + 1) + text.slice(at) + behind;
      if (way === 'swap')
        return text.slice(0, at) + text.charAt(at + 1) + text.charAt(at) + text.slice(at + 2) + behind;
      if (way === 'case') return text.toUpperCase() + behind;
      if (way === 'dash') return text.replaceAll('_', '-') + behind;
      return way === 'slash' ? `${text}/` : text + behind;
    });

const password = fc.constantFrom(SECRET, `a${SECRET}`, `${SECRET},b=c`, `a,,${SECRET}`, `é${SECRET}"\\`, `-${SECRET}`);
const line = fc.oneof(
  fc
    .tuple(
      verb('set_password'),
      fc.constantFrom('vnc', 'spice', 'vcn'),
      password,
      fc.constantFrom('', 'keep', '-d v', 'x y'),
    )
    .chain(([name, protocol, secret, rest]) =>
      fc.tuple(spelled(protocol), spelled(secret)).map(([first, second]) => name + first + second + rest),
    ),
  fc
    .tuple(verb('change'), fc.constantFrom('password', 'passwd', 'pasword'), password, fc.constantFrom('', '-f'))
    .chain(([name, word, secret, flag]) =>
      fc
        .tuple(spelled('vnc'), spelled(word), spelled(secret))
        .map(([first, second, third]) => name + first + flag + (flag === '' ? '' : ' ') + second + third),
    ),
  fc
    .tuple(verb('qom-set'), password, fc.constantFrom('', '-j', '-j '))
    .chain(([name, secret, flag]) =>
      fc
        .tuple(spelled('/objects/sec0'), spelled('data'), spelled(secret))
        .map(([first, second, third]) => name + flag + first + second + third),
    ),
  fc
    .tuple(
      verb('object_add'),
      password,
      fc.constantFrom('secret,', 'qom-type=secret,', 'qom-type=iothread,qom-type=secret,', 'tls-creds-psk,'),
    )
    .map(([name, secret, kind]) => `${name}${kind}id=s,data=${secret.replace('b=c', 'data=d')}`),
  fc
    .tuple(
      fc.constantFrom(
        'device_add x,',
        'drive_add 0 x=y,file.',
        'netdev_add user,',
        'chardev-add socket,',
        'drive_add "0"a=b,',
      ),
      fc.constantFrom('password', 'cookie', 'osk', 'passwd'),
      fc.constantFrom(SECRET, `a,,${SECRET}`, `é${SECRET}`),
    )
    .map(([start, name, secret]) => `${start}${name}=${secret}`),
  fc.tuple(verb('expire_password'), spelled('vnc'), password).map((parts) => parts.join('')),
);

test('no secret of a line of HMP is recorded, however the line is written', () => {
  fuzz(
    'secrets in HMP lines',
    fc.property(fc.constantFrom('', ' ', 'help ', '\t? '), line, (before, text) => {
      const whole = before + text;
      const found = redactHmp(whole, reader);
      assert.ok(found !== null, JSON.stringify(whole));
      assert.ok(!found.text.includes(SECRET), `${JSON.stringify(whole)} → ${JSON.stringify(found.text)}`);
    }),
  );
});

test('of a migration to a command nothing is hidden', () => {
  const command = fc.stringMatching(/^(?:[a-z/;$(){}=,:@?&]|password=|cookie=|x:\/\/y:z@|token=){1,30}$/);
  fuzz(
    'deeds in HMP lines',
    fc.property(
      fc.constantFrom('migrate ', 'migrate -d ', 'migrate -d'),
      command,
      fc.boolean(),
      (start, text, quoted) => {
        const whole = quoted ? `${start}"exec:${text} ${text}"` : `${start}exec:${text}`;
        assert.equal(redactHmp(whole, reader), null, whole);
      },
    ),
  );
});
