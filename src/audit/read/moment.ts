/** Moments as people write them, and as they read them: in local time, with its zone, or in UTC. */
import { AuditSettingError } from '../log/errors.js';

/** Which clock people's times are of. */
export type Zone = 'local' | 'utc';

const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};
const DAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];
const FORMS = '2026-01-31T23:59, 2026-01-31, 14:00, "yesterday 14:00", "Tuesday 14:00", or 90s, 5m, 2h, 1d, 1w ago';

/** A moment that was asked for. */
interface Moment {
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Whether the words leave open which day is meant, so that it is worth saying. */
  readonly isGuess: boolean;
}

interface Day {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

interface TimeOfDay {
  readonly hours: number;
  readonly minutes: number;
  readonly milliseconds: number;
}

const MIDNIGHT: TimeOfDay = { hours: 0, minutes: 0, milliseconds: 0 };

/**
 * Reads a moment: `2026-01-31`, `2026-01-31T23:59` (of the zone, unless it names one), `23:59` for the last time that it was
 * so, `today`, `yesterday` or a day of the week with or without a time, and `90s`, `5m`, `2h`, `1d`, `1w` ago.
 * @param now milliseconds since 1970
 * @param from where a range begins that this ends: a time of day is then the first one after it
 * @throws AuditSettingError
 */
export function parseMoment(text: string, now: number, zone: Zone = 'local', from: number | null = null): Moment {
  const wrong = () => new AuditSettingError(`'${text}' is not a time: write ${FORMS}`);
  const words = text.trim().toLowerCase();
  if (words === 'now') return { time: now, isGuess: false };
  const ago = /^(\d{1,6})([smhdw])(?: ago)?$/.exec(words);
  if (ago !== null) return { time: now - Number(ago[1]) * (UNITS[ago[2] ?? ''] ?? 0), isGuess: false };
  const today = dayOf(now, zone);

  const alone = timeOfDay(words);
  if (alone !== null) {
    if (from !== null) {
      const first = at(dayOf(from, zone), alone, zone);
      return { time: first >= from ? first : at(later(dayOf(from, zone), 1), alone, zone), isGuess: false };
    }
    const time = at(today, alone, zone);
    return time <= now ? { time, isGuess: false } : { time: at(later(today, -1), alone, zone), isGuess: true };
  }

  const named = /^([a-z]+)(?: +(.+))?$/.exec(words);
  if (named !== null) {
    const [, name = '', rest] = named;
    const clock = rest === undefined ? MIDNIGHT : timeOfDay(rest);
    if (clock === null) throw wrong();
    if (name === 'today') return { time: at(today, clock, zone), isGuess: false };
    if (name === 'yesterday') return { time: at(later(today, -1), clock, zone), isGuess: false };
    const weekday = DAYS.findIndex((day) => name.length >= 3 && day.startsWith(name));
    if (weekday < 0) throw wrong();
    const back = (new Date(Date.UTC(today.year, today.month, today.day)).getUTCDay() - weekday + 7) % 7;
    const time = at(later(today, -back), clock, zone);
    return { time: time <= now ? time : at(later(today, -back - 7), clock, zone), isGuess: true };
  }

  const full = /^(\d{4})-(\d\d)-(\d\d)(?:[t ]+(\d.*?))?(z|[+-]\d\d:?\d\d)?$/.exec(words);
  if (full === null) throw wrong();
  const [, year, month, day, rest, offset] = full;
  const clock = rest === undefined ? MIDNIGHT : timeOfDay(rest.trim());
  const date = { year: Number(year), month: Number(month) - 1, day: Number(day) };
  const isDay = sameDay(later(date, 0), date);
  if (clock === null || !isDay || (rest === undefined && offset !== undefined)) throw wrong();
  if (offset === undefined) return { time: at(date, clock, zone), isGuess: false };
  const [, sign, hours, minutes] = /^([+-])(\d\d):?(\d\d)$/.exec(offset) ?? [];
  const ahead = (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * (sign === '-' ? -60_000 : 60_000);
  return { time: at(date, clock, 'utc') - ahead, isGuess: false };
}

/** @returns the time of `14:00`, `9:05:07` or `14:00:00.250`; null if `text` is not a time of day. */
function timeOfDay(text: string): TimeOfDay | null {
  const match = /^(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?$/.exec(text);
  if (match === null) return null;
  const [, hours, minutes, seconds = '0', fraction = ''] = match;
  const clock = {
    hours: Number(hours),
    minutes: Number(minutes),
    milliseconds: Number(seconds) * 1000 + Number(`0.${fraction || '0'}`) * 1000,
  };
  return clock.hours < 24 && clock.minutes < 60 && Number(seconds) < 61 ? clock : null;
}

function dayOf(time: number, zone: Zone): Day {
  const date = new Date(time);
  return zone === 'utc'
    ? { year: date.getUTCFullYear(), month: date.getUTCMonth(), day: date.getUTCDate() }
    : { year: date.getFullYear(), month: date.getMonth(), day: date.getDate() };
}

function later({ year, month, day }: Day, days: number): Day {
  return dayOf(Date.UTC(year, month, day + days), 'utc');
}

function sameDay(a: Day, b: Day): boolean {
  return a.year === b.year && a.month === b.month && a.day === b.day;
}

function at({ year, month, day }: Day, { hours, minutes, milliseconds }: TimeOfDay, zone: Zone): number {
  return zone === 'utc'
    ? Date.UTC(year, month, day, hours, minutes) + milliseconds
    : new Date(year, month, day, hours, minutes).getTime() + milliseconds;
}

/** A moment, as it is shown. */
export interface MomentParts {
  /** `2026-01-31`. */
  readonly day: string;
  /** `23:59:59`, and `.123456` where that is wanted. */
  readonly clock: string;
  /** `+01:00`, or `Z`. */
  readonly offset: string;
}

/**
 * @param time as records have it: RFC 3339 in UTC
 * @param isPrecise with microseconds
 * @returns null if `time` is not a time
 */
export function momentParts(time: string, zone: Zone, isPrecise: boolean): MomentParts | null {
  const milliseconds = timeOf(time);
  if (milliseconds === null) return null;
  const date = new Date(milliseconds);
  const fraction = isPrecise ? `.${(/\.(\d{1,6})/.exec(time)?.[1] ?? '').padEnd(6, '0')}` : '';
  if (zone === 'utc') {
    const iso = date.toISOString();
    return { day: iso.slice(0, -14), clock: iso.slice(-13, -5) + fraction, offset: 'Z' };
  }
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return { day: dayText(dayOf(milliseconds, zone)), clock: clock + fraction, offset: offsetOf(date) };
}

/** @returns a moment in full, to the second: `2026-01-31 23:59:59+01:00`. @param time milliseconds since 1970 */
export function momentText(time: number, zone: Zone): string {
  const parts =
    Number.isFinite(time) && Math.abs(time) < 8e15 ? momentParts(new Date(time).toISOString(), zone, false) : null;
  return parts === null ? '(no time)' : `${parts.day} ${parts.clock}${parts.offset}`;
}

/** @returns a record's time, in milliseconds since 1970; null if `time` is not a time, or cannot be shown. */
export function timeOf(time: string): number | null {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(time)) return null;
  const milliseconds = Date.parse(time);
  return Number.isNaN(milliseconds) ? null : milliseconds;
}

function dayText({ year, month, day }: Day): string {
  return `${String(year).padStart(4, '0')}-${two(month + 1)}-${two(day)}`;
}

function two(number: number): string {
  return String(number).padStart(2, '0');
}

function offsetOf(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
