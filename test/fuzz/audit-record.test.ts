/**
 * What must hold for any bytes from clients and from QEMU: each becomes one line, valid by the schema, from which the very bytes can be
 * had again, unless something was removed and said so; the lines make a whole chain; and a secret in a known place is in none.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { exactMessage, parseRecord } from '../../dist/audit/log/record.js';
import { Verifier } from '../../dist/audit/read/verify.js';
import { assertValid, openTestLog, testClient, testCommand } from '../support/text/audit.js';
import { fuzz } from '../support/text/fuzz.js';

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 60 }).map((text) => Buffer.from(text)),
  fc.json({ maxDepth: 5 }).map((text) => Buffer.from(text)),
  fc
    .array(
      fc.constantFrom(
        '{',
        '}',
        '"',
        "'",
        '\\',
        ',"seq":',
        '"hash":"',
        '\n',
        '\r',
        ' ',
        '1',
        'inf',
        'null',
        '\u2028',
        'é',
      ),
      { maxLength: 20 },
    )
    .map((all) => Buffer.from(all.join(''))),
);

test('any bytes become one valid line, and can be had again', async (t) => {
  const log = await openTestLog(t, { chain: true });
  const fed: { raw: Buffer; isRead: boolean }[] = [];
  fuzz(
    'audit records',
    fc.property(bytes, fc.constantFrom('malformed', 'stray', 'answer', 'command'), (raw, way) => {
      const copy = Buffer.from(raw);
      // One that sends nothing but garbage would have its records summed up.
      const client = testClient(fed.length + 1);
      const isRead = way === 'malformed' || way === 'command';
      fed.push({ raw: copy, isRead });
      if (way === 'malformed') log.recorder.malformed(client, raw, Buffer.from('{"error": {}}\r\n'));
      else if (way === 'stray') log.recorder.stray([raw], 'an answer that no client waits for');
      else if (way === 'command') log.recorder.command(testCommand(client, 'stop', raw));
      else
        log.recorder.answered(
          testCommand(client, 'stop', '{}', { auditSeq: 1 }),
          [raw.subarray(0, 3), raw.subarray(3)],
          false,
          'upstream',
        );
      assert.deepEqual(Buffer.from(raw), copy, 'what belongs to others was changed');
    }),
  );
  await log.close();
  const lines = readFileSync(log.path, 'utf8').split('\n').slice(0, -1);
  const problems: string[] = [];
  const verifier = new Verifier(({ level, what }) => level === 'problem' && problems.push(what));
  lines.forEach((text, index) => {
    verifier.line({ file: 'f', number: index + 1, text, isWhole: true, isUtf8: true, longLine: null });
  });
  verifier.finish();
  assert.deepEqual(problems, []);
  assert.equal(lines.length, fed.length + 2);
  fed.forEach(({ raw, isRead }, index) => {
    const line = lines[index + 1] ?? '';
    const record = parseRecord(line);
    assert.ok(record !== null, line);
    assertValid(JSON.parse(line));
    if (record.members['redacted'] !== undefined) return;
    // QEMU's messages are kept without the line end behind them.
    const wanted = isRead ? raw : Buffer.from(raw.toString('latin1').replace(/[\r\n]+$/, ''), 'latin1');
    assert.deepEqual(exactMessage(line, record), wanted);
  });
});

test('a secret in a known place is in no line, however the message is written', async (t) => {
  const log = await openTestLog(t);
  const client = testClient();
  const secret = 'S3cr3t-hush';
  /** JSON in one of the ways QEMU takes it. */
  const spell = (value: unknown, escape: boolean, blanks: string): string => {
    const text = JSON.stringify(value, null, blanks);
    return escape
      ? text.replace(/[a-z](?=[^"]*")/g, (letter) =>
          letter < 'n' ? `\\u00${letter.charCodeAt(0).toString(16)}` : letter,
        )
      : text;
  };
  const holder = fc.constantFrom(
    { name: 'set_password', arguments: { protocol: 'vnc', password: secret } },
    { name: 'object-add', arguments: { id: 's', data: secret, 'qom-type': 'secret' } },
    {
      name: 'blockdev-add',
      arguments: { driver: 'raw', file: { driver: 'https', cookie: secret, url: `https://u:${secret}@h/` } },
    },
    { name: 'human-monitor-command', arguments: { 'command-line': `object_add secret,id=s,data=${secret}` } },
    { name: 'human-monitor-command', arguments: { 'command-line': `change vnc password ${secret}` } },
    { name: 'qom-set', arguments: { property: 'data', path: '/objects/s', value: secret } },
  );
  fuzz(
    'secrets in audit records',
    fc.property(
      holder,
      fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }),
      fc.boolean(),
      fc.constantFrom('', ' ', '\t'),
      fc.nat(),
      (held, more, escape, blanks, cut) => {
        const { name } = held;
        const text = spell({ ...more, execute: name, arguments: held.arguments }, escape, blanks);
        const command = testCommand(client, name, text);
        log.recorder.command(command);
        log.recorder.answered(
          command,
          [Buffer.from(`{"error": {"class": "GenericError", "desc": ${JSON.stringify(`no ${secret} please`)}}}`)],
          true,
          'upstream',
        );
        log.recorder.malformed(client, Buffer.from(text.slice(0, cut % text.length)), Buffer.from('{"error": {}}'));
        log.recorder.malformed(client, Buffer.from(text.slice(cut % text.length)), Buffer.from('{"error": {}}'));
      },
    ),
  );
  const text = await log.close();
  const at = text.indexOf(secret);
  assert.equal(at, -1, text.slice(Math.max(0, at - 1300), at + 100));
});
