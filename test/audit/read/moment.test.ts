import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { momentParts, momentText, parseMoment } from '../../../dist/audit/read/moment.js';

// A Saturday.
const now = new Date(2026, 0, 31, 15, 30).getTime();
const local = (...parts: [number, number, number, number?, number?, number?, number?]) => new Date(...parts).getTime();

describe('a moment', () => {
  test('is understood as people write it, in local time', () => {
    const cases: [text: string, time: number, isGuess: boolean][] = [
      ['2026-01-31T12:00:00Z', Date.parse('2026-01-31T12:00:00Z'), false],
      ['2026-01-31T12:00+02:00', Date.parse('2026-01-31T10:00:00Z'), false],
      ['2026-01-31 12:00 -0330', Date.parse('2026-01-31T15:30:00Z'), false],
      ['2026-01-31 12:00', local(2026, 0, 31, 12), false],
      ['2026-01-31T12:00:07.25', local(2026, 0, 31, 12, 0, 7, 250), false],
      ['2026-01-31', local(2026, 0, 31), false],
      ['9:05', local(2026, 0, 31, 9, 5), false],
      ['15:30', now, false],
      ['yesterday', local(2026, 0, 30), false],
      ['yesterday 14:00', local(2026, 0, 30, 14), false],
      ['today 14:00', local(2026, 0, 31, 14), false],
      ['now', now, false],
      // What leaves the day open is the last one.
      ['15:31', local(2026, 0, 30, 15, 31), true],
      ['Tuesday 14:00', local(2026, 0, 27, 14), true],
      ['tue', local(2026, 0, 27), true],
      ['Saturday 15:00', local(2026, 0, 31, 15), true],
      ['sat 16:00', local(2026, 0, 24, 16), true],
      ['Sunday', local(2026, 0, 25), true],
    ];
    for (const [text, time, isGuess] of cases) assert.deepEqual(parseMoment(text, now), { time, isGuess }, text);
    assert.deepEqual(
      ['90s', '5m', '2h', '1d', '1w', '2h ago'].map((text) => now - parseMoment(text, now).time),
      [90_000, 300_000, 7_200_000, 86_400_000, 604_800_000, 7_200_000],
    );
  });

  test('may be of UTC', () => {
    assert.equal(parseMoment('2026-01-31 12:00', now, 'utc').time, Date.UTC(2026, 0, 31, 12));
    assert.equal(parseMoment('yesterday 12:00', Date.UTC(2026, 0, 31, 1), 'utc').time, Date.UTC(2026, 0, 30, 12));
    assert.equal(parseMoment('2026-01-31 12:00+01:00', now, 'utc').time, Date.UTC(2026, 0, 31, 11));
  });

  test('of a day is the first one after the beginning of its range', () => {
    const from = local(2026, 0, 29, 22);
    assert.equal(parseMoment('23:00', now, 'local', from).time, local(2026, 0, 29, 23));
    assert.equal(parseMoment('2:00', now, 'local', from).time, local(2026, 0, 30, 2));
    assert.equal(parseMoment('16:00', now, 'local', local(2026, 0, 31, 15)).time, local(2026, 0, 31, 16));
  });

  test('is refused where it is none, and the forms are named', () => {
    const wrong = [
      '',
      '25:00',
      '9:60',
      '2026-13-01',
      '2026-02-30',
      '5',
      'someday',
      'yesterday noon',
      'today 25:00',
      '1y',
      'T',
      '2026-01-31Z',
    ];
    for (const text of wrong) {
      assert.throws(
        () => parseMoment(text, now),
        { code: 'QMPMUX_AUDIT_SETTING', message: /write 2026-01-31T23:59/ },
        text,
      );
    }
  });

  test('is shown with its distance from UTC', () => {
    assert.deepEqual(momentParts('2026-01-31T12:00:00.000123Z', 'utc', true), {
      day: '2026-01-31',
      clock: '12:00:00.000123',
      offset: 'Z',
    });
    const shown = momentText(now, 'local');
    assert.match(shown, /^2026-01-31 15:30:00[+-]\d\d:\d\d$/);
    assert.equal(parseMoment(shown, now).time, now);
    for (const none of ['', 'yesterday', '2026-99-99T00:00:00Z', '2026-01-31T12:00:00']) {
      assert.equal(momentParts(none, 'utc', false), null);
    }
  });
});
