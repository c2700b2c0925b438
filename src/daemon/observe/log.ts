/**
 * The daemon's log: short sentences with fields, on standard error. `json` is pino's own form, `pretty` is for eyes.
 *
 * Each line is written at once, so that the last one before an end is there; and no stream that is full, stopped or gone holds the
 * daemon up (line-sink.ts): pino's own destinations wait in the loop for one, and for ever at the end.
 */

import { isatty } from 'node:tty';
import { styleText } from 'node:util';
import { pino } from 'pino';
import { printable, printableLines } from '../../shared/printable.js';
import type { LogSettings } from '../config/options/daemon.js';
import { LineSink } from './line-sink.js';

interface DaemonLog {
  readonly logger: pino.Logger;
  /** Lines that could not be written, since the start. */
  readonly lost: () => number;
  /** Writes the rest, unless standard error takes nothing. */
  readonly end: () => Promise<void>;
}

const STDERR = 2;

/** Turns one of pino's lines into the text that is written, with its line feed. */
type Form = (line: string) => string;

/** Opens the log on standard error. */
export async function openLog(settings: LogSettings): Promise<DaemonLog> {
  const isTerminal = isatty(STDERR);
  const isJson = settings.format === 'json' || (settings.format === 'auto' && !isTerminal);
  const options: pino.LoggerOptions = { level: settings.level, base: null };
  if (isJson) options.timestamp = pino.stdTimeFunctions.isoTime;
  const form = isJson ? jsonForm(isTerminal) : await prettyForm(isTerminal && (process.env['NO_COLOR'] ?? '') === '');
  let notice = '';
  const notices = pino(options, { write: (line: string) => (notice = form(line)) });
  const sink = new LineSink(STDERR, (lines, reason) => {
    notice = '';
    notices.warn({ lines, reason }, 'lines of this log were lost because they could not be written');
    return notice;
  });
  return {
    logger: pino(options, { write: (line: string) => sink.write(form(line)) }),
    lost: () => sink.lost,
    end: () => sink.end(),
  };
}

/** For a program the line stays as pino wrote it; a terminal would act on some characters that JSON leaves as they are. */
function jsonForm(isTerminal: boolean): Form {
  return isTerminal ? (line) => `${printable(line.trimEnd())}\n` : (line) => line;
}

/** The part before the fields: time, level, sentence. */
const HEAD = /^(\[[^\]\n]{1,40}\]) ([A-Z]{1,10}): ([^{\n]*)/;
const LEVEL_STYLES: Readonly<Record<string, Parameters<typeof styleText>[0]>> = {
  TRACE: 'gray',
  DEBUG: 'blue',
  INFO: 'green',
  WARN: 'yellow',
  ERROR: 'red',
  FATAL: ['bgRed', 'white'],
};

async function prettyForm(isColoured: boolean): Promise<Form> {
  // Loaded only when used: it takes as long as the rest of the start together.
  const { prettyFactory } = await import('pino-pretty');
  const lay = prettyFactory({ colorize: false, singleLine: true, translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l' });
  return (line) => {
    const text = printableLines(lay(line) ?? '');
    // Colours come last: added before, they would look like those that somebody has put into a name.
    if (!isColoured) return text;
    return text.replace(
      HEAD,
      (_, time: string, level: string, sentence: string) =>
        `${time} ${paint(LEVEL_STYLES[level] ?? 'reset', level)}: ${paint('cyan', sentence)}`,
    );
  };
}

function paint(style: Parameters<typeof styleText>[0], text: string): string {
  return styleText(style, text, { validateStream: false });
}
