/**
 * The daemon's log: short sentences with fields, on standard error.
 *
 * `json` is pino's own form, written as the event loop allows; a reader that stands still cannot hold the daemon up. `pretty` is for
 * eyes: written at once, so that the last line before an end is there.
 */
import { pino } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export const LOG_FORMATS = ['pretty', 'json'] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface LogSettings {
  readonly level: LogLevel;
  /** `auto`: pretty on a terminal, json elsewhere. */
  readonly format: LogFormat | 'auto';
}

/** A log, and what writes out the lines that are still to be written. */
export interface DaemonLog {
  readonly logger: pino.Logger;
  readonly flush: () => void;
}

const STDERR = 2;
/** Lines waiting for a reader that stands still are dropped beyond this many bytes. */
const MOST_WAITING = 16 * 1024 * 1024;

/**
 * What a terminal would act on, or show in another order, and JSON leaves as it is: names of commands and programs are the clients'.
 */
const ACTED_ON = /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Opens the log on standard error. */
export async function openLog(settings: LogSettings): Promise<DaemonLog> {
  const isTerminal = process.stderr.isTTY;
  const options: pino.LoggerOptions = { level: settings.level, base: null };
  if (settings.format === 'json' || (settings.format === 'auto' && !isTerminal)) {
    const destination = pino.destination({ dest: STDERR, sync: false, maxLength: MOST_WAITING });
    const json = { ...options, timestamp: pino.stdTimeFunctions.isoTime };
    return {
      logger: pino(json, destination),
      flush: () => {
        destination.flushSync();
      },
    };
  }
  // Loaded only where it is used: it takes as long as the rest of the start together.
  const { PinoPretty } = await import('pino-pretty');
  const colorize = isTerminal && (process.env['NO_COLOR'] ?? '') === '';
  const stream = PinoPretty({
    colorize,
    destination: STDERR,
    sync: true,
    singleLine: true,
    translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l',
  });
  const harmless = { write: (line: string) => stream.write(line.replace(ACTED_ON, '\ufffd')) };
  return { logger: pino(options, harmless), flush: () => undefined };
}
