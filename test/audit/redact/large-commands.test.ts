/** Commands that are too large to be searched: what of them is in the log, and what they cost. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LONGEST_SEARCHED } from '../../../dist/audit/redact/large-commands.js';
import { Redactor } from '../../../dist/audit/redact/redaction.js';
import { Scanner } from '../../../dist/qmp/json/scanner.js';
import { openTestLog, testClient, testCommand, wire } from '../../support/text/audit.js';

const SECRET = 'hush4711';
const MUCH = 'x'.repeat(4 * LONGEST_SEARCHED);
const MARK = /^\[withheld \d+ bytes #[0-9a-f]{8}\]$/;

describe('of a command that is too large to be searched', () => {
  const redactor = new Redactor();
  /** What is recorded of it. */
  function recorded(name: string, raw: string): { readonly text: string; readonly paths: readonly string[] } {
    const found = redactor.command(name, Buffer.from(raw));
    assert.ok(found?.message != null);
    assert.equal(found.answer?.hides, 'all');
    assert.ok(found.answer.id !== null);
    assert.ok(found.message.bytes.length < LONGEST_SEARCHED);
    return { text: Buffer.from(found.message.bytes).toString(), paths: found.message.paths };
  }

  test('the name and the short arguments are kept, whatever it is filled up with', () => {
    const uri = '"uri":"exec:touch /tmp/evil"';
    const fillings: readonly [raw: string, paths: readonly string[]][] = [
      [`{"execute":"migrate","arguments":{${uri}},"id":"${MUCH}"}`, ['id']],
      [`{"id":[${'1,'.repeat(LONGEST_SEARCHED / 2)}1],"execute":"migrate","arguments":{${uri}}}`, ['id']],
      [`{"execute":"migrate" , "arguments" : { "x" : "${MUCH}" , ${uri} } }`, ['arguments.x']],
      [`{"execute":"migrate","arguments":{"x":"\\"${MUCH}\\\\",${uri}}}`, ['arguments.x']],
      [`{"execute":"migrate","arguments":{"x":[{"}":"]${MUCH}"},{}],${uri}},"id":7}`, ['id', 'blanks, texts: 1']],
      [`{'execute':'migrate','arguments':{'x':'"}\\'${MUCH}',${uri}}}`, ['arguments.x']],
      [`{"execute":"migrate","arguments":{${uri}},"\\u0069d":"${MUCH}"}`, ['\\u0069d']],
    ];
    for (const [raw, paths] of fillings) {
      const { text, paths: found } = recorded('migrate', raw);
      assert.ok(text.includes('"uri":"exec:touch /tmp/evil"'), text.slice(0, 200));
      assert.match(text, /["']execute["']:["']migrate["']/);
      assert.deepEqual(found, paths);
    }
  });

  test('nothing is kept that may be a secret: large values, an id, and secrets found in the short ones', () => {
    const large = `https://u:${SECRET}@h/${MUCH}`;
    for (const [name, args] of [
      ['set_password', { protocol: 'vnc', password: SECRET, x: large }],
      ['blockdev-add', { url: `https://u:${SECRET}@h/`, more: [MUCH] }],
      ['human-monitor-command', { 'command-line': `set_password vnc ${SECRET}${MUCH}` }],
      // What is kept is the beginning, which is searched as in a short command.
      ['x-many', Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`password${i}`, `${SECRET} ${i}`]))],
      ['x-large', Array.from({ length: 200_000 }, () => `https://u:${SECRET}@h/`)],
      [
        'x-late',
        Object.fromEntries(
          Array.from({ length: 50_000 }, (_, i) => [i < 9 ? `x${i}` : `y${i}`, SECRET]).concat([
            ['qom-type', 'secret'],
          ]),
        ),
      ],
      ['set_password', Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`x${i}`, SECRET]))],
      ['x-keys', { [`${SECRET}${MUCH}`]: 1 }],
      ['x-names', [Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`${i}${SECRET.repeat(40)}`, SECRET]))]],
    ] as const) {
      for (const id of [SECRET, MUCH + SECRET]) {
        const raw = JSON.stringify({ execute: name, arguments: args, id });
        const { text, paths } = recorded(name, raw);
        assert.ok(!text.includes(SECRET), text.slice(0, 200));
        assert.ok(!paths.join().includes(SECRET));
      }
    }
  });

  test('a record shows its name, also one that is large, its length and hash, and nothing of its answer', async (t) => {
    const log = await openTestLog(t);
    const client = testClient();
    for (const [name, raw] of [
      ['x-open', `{"execute":"x-open","arguments":{"mode":"rw","blob":"${MUCH}"},"id":"me"}`],
      [MUCH, `{"execute":"${MUCH}","id":"me"}`],
    ] as const) {
      const sent = testCommand(client, name, raw, { id: Buffer.from('"me"') });
      log.recorder.command(sent);
      log.recorder.answered(sent, [wire('{"return": "x", "id": "me"}')], false, 'upstream');
    }
    const records = (await log.records()).filter(({ kind }) => kind === 'command' || kind === 'reply');
    const [open, reply, named] = records;
    assert.equal(open?.['command'], 'x-open');
    const { execute, arguments: args } = open['message'] as { execute: string; arguments: Record<string, string> };
    assert.equal(execute, 'x-open');
    assert.equal(args['mode'], 'rw');
    assert.match(args['blob'] ?? '', MARK);
    assert.deepEqual(open['redacted'], ['arguments.blob', 'id']);
    assert.match(String(reply?.['message']), MARK);
    assert.match(String(named?.['command']), MARK);
    for (const record of records) assert.match(String(record['id']), MARK);
  });

  test('a deed is shown that blanks or texts are to hide, however many there are', () => {
    const blanks = ' '.repeat(9 * 1024 * 1024);
    const deeds = [
      `"uri":"exec:touch /tmp/evil; : ${'#'.repeat(100_000)}"`,
      `"channels":[{"addr":{"transport":"exec","args":["/bin/sh","-c","touch /tmp/evil","${'x'.repeat(5000)}"]}}]`,
      `"channels":[{"addr":{"args":["/bin/sh","-c","touch /tmp/evil","${MUCH}","${'x'.repeat(120_000)}","${'y'.repeat(120_000)}"]}}]`,
    ];
    for (const deed of deeds) {
      for (const filling of [blanks, MUCH.replaceAll('x', '\n\t'), `"arguments2":"${MUCH}",`]) {
        const { text } = recorded('migrate', `{"execute":"migrate",${filling}"arguments":{${deed}}}`);
        assert.ok(text.includes('touch /tmp/evil'), text.slice(0, 300));
      }
    }
  });

  test('a deed is shown that much else is to hide, in a list, an object or texts', () => {
    const script = `touch /tmp/evil\n${'#'.repeat(200_000)}`;
    const texts = Array.from({ length: 100 }, () => 'y'.repeat(5000));
    const exec = (args: readonly string[]) => ({ channels: [{ addr: { transport: 'exec', args } }] });
    const shell = ['/bin/sh', '-c', 'touch /tmp/evil'];
    const escaped = (text: string) =>
      text.replaceAll(/[^"]/g, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`);
    const tiny = Array.from({ length: 100_000 }, () => '');
    const deeds: readonly [name: string, args: unknown, path: string][] = [
      ['migrate', exec([...shell, ...tiny]), 'arguments.channels.0.addr.args: 98979 elements'],
      ['migrate', exec(['env', ...Array.from({ length: 500 }, () => 'A=b'), ...shell, ...tiny]), ''],
      ['migrate', exec(['env', ...Array.from({ length: 60 }, () => `A=${'b'.repeat(3000)}`), ...shell, ...tiny]), ''],
      ['migrate', exec([...shell, ...texts]), 'arguments.channels.0.addr.args.3'],
      ['migrate', exec([...shell, ...texts, ...tiny]), ''],
      ['migrate', exec(['/bin/sh', '-c', script, 'x'.repeat(100_000), ...texts]), ''],
      ['migrate', { uri: `exec:${script}${script}` }, 'arguments.uri'],
      ['migrate', { ...exec([...shell, ...tiny]), ...Object.fromEntries(tiny.map((_, i) => [`x${i}`, 1])) }, ''],
      ['migrate-incoming', { a: tiny.map(() => [[1], { b: 2 }]), ...exec([...shell, ...tiny]) }, ''],
      ['guest-exec', { path: '/bin/sh', arg: ['-c', 'touch /tmp/evil', ...tiny] }, ''],
      ['guest-exec', { arg: ['-c', script, ...tiny], path: '/bin/sh' }, 'arguments.arg.1'],
    ];
    for (const [name, args, path] of deeds) {
      const { text, paths } = recorded(name, JSON.stringify({ execute: name, arguments: args, id: tiny }));
      assert.ok(text.includes('touch /tmp/evil'), `${paths.join()}: ${text.slice(0, 300)}`);
      assert.ok(paths.includes(path) || path === '', paths.join());
      assert.ok(paths.includes('id'));
      JSON.parse(text);
    }
    // Names and texts in escapes, which are six times as long.
    const spelled = `{"execute":"migrate","${escaped('arguments')}":{"channels":[{"addr":{"transport":"exec","${escaped('args')}":["sh","-c","${escaped(script.slice(0, 90_000))}",${'"",'.repeat(1e5)}""]}}]}}`;
    assert.ok(recorded('migrate', spelled).text.includes(escaped('touch /tmp/evil')));
    const uri = `{"execute":"migrate","arguments":{"uri":"${escaped(`exec:${script.slice(0, 90_000)}`)}","x":"${MUCH}"}}`;
    assert.ok(recorded('migrate', uri).text.includes(escaped('touch /tmp/evil')));
    // A cut within a character, an escape or a pair would make the rest unreadable.
    for (const character of ['ü', '€', '😀', '\\ud83d\\ude00', '\\n', '\\u00e4']) {
      for (let i = 0; i < 12; i++) {
        const args = `"sh","-c","touch /tmp/evil${'.'.repeat(i)}${character.repeat(60_000)}",${'"",'.repeat(1e5)}""`;
        const raw = `{"execute":"migrate","arguments":{"channels":[{"addr":{"transport":"exec","args":[${args}]}}]}}`;
        const { text } = recorded('migrate', raw);
        assert.ok(text.includes('touch /tmp/evil'), text.slice(0, 300));
        assert.ok(JSON.parse(text).arguments.channels[0].addr.args[2].isWellFormed());
      }
    }
  });

  test('a line of HMP is shown that blanks are to hide, and its secrets are not', () => {
    for (const blank of [' ', '\\t', '\\n', '\\u0020', '\\u000B', ' \\t\\f\\r']) {
      const blanks = blank.repeat(LONGEST_SEARCHED * (blank === ' ' ? 40 : 1));
      for (const [line, shown] of [
        [`migrate -d exec:evil${blanks}`, 'exec:evil'],
        [`${blanks}migrate${blanks}\\"exec:evil\\"`, 'exec:evil'],
        [`set_password${blanks}vnc${blanks}${SECRET}${blanks}`, 'set_password'],
      ] as const) {
        for (const id of ['1', `"${'x'.repeat(LONGEST_SEARCHED / 2)}"`]) {
          const raw = `{"execute":"human-monitor-command","arguments":{"command-line":"${line}"},"id":${id}}`;
          const { text, paths } = recorded('human-monitor-command', raw);
          assert.ok(text.includes(shown) && !text.includes(SECRET), text.slice(0, 300));
          assert.ok(paths.includes('blanks') && paths.includes('id'));
        }
      }
    }
  });

  test('of much within much a bounded part is kept, and the rest is counted', () => {
    const list = (length: number, value: unknown) => Array.from({ length }, () => value);
    for (const args of [
      list(100, list(100, list(100, 1))),
      { a: list(100_000, 1), b: list(100_000, 1) },
      list(40, list(100, 'x'.repeat(2000))),
    ]) {
      const { text, paths } = recorded('x-any', JSON.stringify({ execute: 'x-any', arguments: { args } }));
      const { length } = JSON.stringify(JSON.parse(text));
      assert.ok(length < LONGEST_SEARCHED && length > 1024, String(length));
      assert.ok(paths.length <= 64 + 1 && paths.every((path) => path.length <= 300));
      assert.match(paths.join(), /: \d+ elements|and \d+ more/);
    }
  });

  test('only the name is kept where it is too large to be taken apart', () => {
    const raw = `{"execute":"x-open","arguments":{"mode":"rw","x":[${'1,'.repeat(5 * 1024 * 1024)}1]}}`;
    const { text, paths } = recorded('x-open', raw);
    assert.match(JSON.parse(text), MARK);
    assert.deepEqual(paths, ['*']);
  });

  test('other input is withheld', () => {
    const message = redactor.malformed(Buffer.from(`{"x":"${MUCH}"}`));
    assert.match(JSON.parse(Buffer.from(message?.bytes ?? []).toString()), MARK);
    const event = redactor.other(Buffer.from(`{"event":"https://u:${SECRET}@h/${MUCH}"}`));
    assert.match(JSON.parse(Buffer.from(event?.bytes ?? []).toString()), MARK);
  });
});

describe('a command that is too large to be searched costs little more than reading it did', () => {
  const SIZE = 16 * LONGEST_SEARCHED;
  const cpu = (run: () => void) => {
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 5; i++) {
      const before = process.cpuUsage();
      run();
      const { user, system } = process.cpuUsage(before);
      least = Math.min(least, user + system);
    }
    return least;
  };
  const fillings: Readonly<Record<string, (size: number) => string>> = {
    'one text': (size) => `"${'x'.repeat(size)}"`,
    'a text of escapes': (size) => `"${'\\"'.repeat(size / 2)}"`,
    'tiny texts': (size) => `[${'"",'.repeat(size / 3)}1]`,
    members: (size) => `[${`{${'"a":"b",'.repeat(2000)}"c":1},`.repeat(size / 16_000)}1]`,
    'long names': (size) => `{${`"${'x'.repeat(300)}":1,`.repeat(size / 305)}"c":1}`,
    blanks: (size) => `"${`${' \\t'.repeat(21)}x`.repeat(size / 64)}"`,
    'blanks to its end': (size) => `"stop${'\\u0020'.repeat(size / 6)}"`,
    numbers: (size) => `[${'1,'.repeat(size / 2)}1]`,
    objects: (size) => `[${'{"ab":"c"},'.repeat(size / 11)}1]`,
    brackets: (size) => `[${`${'['.repeat(500)}${']'.repeat(500)},`.repeat(size / 1001)}1]`,
  };
  for (const [what, fill] of Object.entries(fillings)) {
    test(`filled with ${what}`, () => {
      const raw = Buffer.from(`{"execute":"human-monitor-command","arguments":{"command-line":${fill(SIZE)}}}`);
      const redactor = new Redactor();
      const read = cpu(() => {
        const scanner = new Scanner();
        scanner.push(raw);
        scanner.next();
      });
      const redacted = cpu(() => redactor.command('human-monitor-command', raw));
      assert.ok(redacted < 3 * read, `${redacted} µs, and ${read} µs to read it`);
    });
  }
});
