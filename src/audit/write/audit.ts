/** The audit log of one daemon, from settings to observers. */

import { closeSync, fstatSync } from 'node:fs';
import { systemReason } from '../../system/system-error.js';
import { EMPTY_HEAD, type Head } from '../log/chain.js';
import { AuditOpenError } from '../log/errors.js';
import { openLogFile } from '../log/log-place.js';
import { readPredecessor, readTail, type Tail } from '../log/log-tail.js';
import type { Report, Sink, Tap } from '../log/sink.js';
import { Redactor } from '../redact/redaction.js';
import { keyOfLog, SecretMarks } from '../redact/secret-mark.js';
import { AuditFile } from './audit-file.js';
import { type AuditFigures, AuditLog } from './audit-log.js';
import { systemTime } from './clock.js';
import { FileLock } from './file-lock.js';
import { Recorder } from './recorder.js';
import { type AuditSettings, checkDestinations } from './settings.js';
import { StreamSink } from './stream-sink.js';
import { TransportTap } from './transport-tap.js';

interface AuditContext {
  /** Of the daemon, for the record of its start. */
  readonly version: string;
  readonly report: Report;
}

interface OpenedSink {
  readonly sink: Sink | null;
  readonly head: Head;
  readonly torn: Tail['torn'];
}

export class Audit {
  readonly #log: AuditLog;
  readonly #settings: AuditSettings;
  readonly #redactor: Redactor;
  readonly #report: Report;

  /**
   * Opens the log and records that the daemon starts.
   * @throws AuditOpenError when it cannot be written: the daemon must not start without it
   */
  static async open(settings: AuditSettings, context: AuditContext): Promise<Audit> {
    checkDestinations(settings.destinations);
    const { sink, head, torn } = await openSink(settings, context.report);
    const taps: Tap[] = [];
    for (const destination of settings.destinations) {
      if (destination.kind !== 'transport') continue;
      try {
        taps.push(new TransportTap(destination, context.report));
      } catch (error) {
        throw new AuditOpenError(`the audit transport ${destination.target} cannot be used: ${systemReason(error)}`, {
          cause: error,
        });
      }
    }
    const { chain, sync, onError, leftOut } = settings;
    const log = new AuditLog({ sink, taps, chain, sync, onError, leftOut, head, report: context.report });
    if (torn !== null) {
      context.report('warn', `the last line of ${sink?.name} was torn (${torn.length} bytes); it is kept, and marked`);
      log.daemon('torn', { length: torn.length, sha256: torn.sha256 });
    }
    const marks = openMarks(settings, context.report);
    const audit = new Audit(log, settings, context.report, marks);
    const isContinued = head.seq > 0;
    audit.#recordSettings('start', {
      version: context.version,
      pid: process.pid,
      previous: isContinued ? head : null,
      key: marks.fingerprint,
    });
    const trouble = log.flush();
    if (trouble !== null && onError === 'refuse') {
      await log.close();
      throw new AuditOpenError(trouble);
    }
    audit.#reportHead('opened');
    return audit;
  }

  private constructor(log: AuditLog, settings: AuditSettings, report: Report, marks: SecretMarks) {
    this.#log = log;
    this.#settings = settings;
    this.#redactor = new Redactor(settings.redact, marks);
    this.#report = report;
  }

  /** @param address where its QEMU is reached. @returns the observer of one monitor. Its clock is that of the multiplexer: `performance.now()`, in microseconds. */
  recorder(monitor: string, address: string | null = null): Recorder {
    return new Recorder({
      log: this.#log,
      monitor,
      address,
      redactor: this.#redactor,
      maxMessage: this.#settings.maxMessage,
      now: () => performance.now() * 1000,
      report: this.#report,
    });
  }

  /** The log's last number and hash. */
  get head(): Head {
    return this.#log.head;
  }

  /** Failures since it was opened. */
  get figures(): AuditFigures {
    return this.#log.figures;
  }

  /** Goes on in a new file if the present one was renamed. */
  reopen(): void {
    this.#log.reopen();
    this.#reportHead('reopened');
  }

  /** Records that the daemon has taken over a changed config. */
  reloaded(): void {
    this.#recordSettings('reload', {});
  }

  /**
   * Records that another log takes over, and writes all there is, so that it can go on in the same file.
   * @returns why that cannot be done now, or null
   */
  conclude(reason: string): string | null {
    this.#log.settle();
    this.#log.daemon('stop', { reason });
    const trouble = this.#log.flush();
    return trouble ?? (this.#log.isFailing ? `the audit log cannot be written` : null);
  }

  /** Closes the log after `conclude`, without a further record. */
  async release(): Promise<void> {
    this.#reportHead('closed');
    await this.#log.close();
  }

  /** Records that the daemon stops, and why, and closes the log. */
  async close(reason: string): Promise<void> {
    this.#log.settle();
    this.#log.daemon('stop', { reason });
    this.#reportHead('closed');
    await this.#log.close();
  }

  #recordSettings(action: string, details: Readonly<Record<string, unknown>>): void {
    const { chain, sync, onError, maxMessage, leftOut } = this.#settings;
    const names = [...leftOut.kinds, ...leftOut.events, ...leftOut.commands.map(({ text }) => text)];
    this.#log.daemon(action, {
      ...details,
      settings: { chain, sync, on_error: onError, max_message: maxMessage, left_out: names },
    });
  }

  /** The daemon's own log is kept elsewhere: with this line in it, a cut tail of the audit log can be proved. */
  #reportHead(what: string): void {
    const { seq, hash } = this.#log.head;
    this.#report('info', `audit log ${what}; head ${seq}${hash === null ? '' : `:${hash}`}`);
  }
}

/** @returns the marks of the log's own key; of a new one where it has no file, or none that can be used. */
function openMarks(settings: AuditSettings, report: Report): SecretMarks {
  for (const destination of settings.destinations) {
    if (destination.kind !== 'file') continue;
    try {
      return new SecretMarks(keyOfLog(destination.path));
    } catch (error) {
      const reason = systemReason(error);
      report(
        'warn',
        `cannot keep the key for redacted values beside the audit log, so they cannot be compared across restarts: ${reason}`,
      );
    }
  }
  return new SecretMarks();
}

async function openSink(settings: AuditSettings, report: Report): Promise<OpenedSink> {
  for (const destination of settings.destinations) {
    if (destination.kind === 'stdout') return { sink: new StreamSink(), head: EMPTY_HEAD, torn: null };
    if (destination.kind === 'file') {
      try {
        return await openFile(destination.path, settings.sync, report);
      } catch (error) {
        throw new AuditOpenError(`the audit log ${destination.path} cannot be opened: ${systemReason(error)}`, {
          cause: error,
        });
      }
    }
  }
  return { sink: null, head: EMPTY_HEAD, torn: null };
}

async function openFile(path: string, sync: boolean, report: Report): Promise<OpenedSink> {
  const fd = openLogFile(path, (problem) => {
    report('warn', problem);
  });
  let tail: Tail;
  let lock: FileLock | null = null;
  try {
    // Nobody else writes between the reading of the tail and the first record.
    lock = new FileLock(fd);
    tail = readTail(fd);
    if (tail.head === null && fstatSync(fd).size > 0 && !tail.looksTorn) {
      throw new Error('it holds something other than audit records');
    }
  } catch (error) {
    lock?.release();
    closeSync(fd);
    throw error;
  }
  try {
    const isEmpty = fstatSync(fd).size === 0;
    const head = tail.head ?? (isEmpty ? await readPredecessor(path) : EMPTY_HEAD);
    const sink = new AuditFile({ path, fd, sync, report, now: () => systemTime.monotonic() });
    // Ends the torn line, so that the next record begins a new one.
    if (tail.torn !== null) sink.write(Buffer.from('\n'));
    return { sink, head, torn: tail.torn };
  } finally {
    lock.release();
  }
}
