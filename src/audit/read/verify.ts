/**
 * Whether a log is whole: each record follows the one before by number and, where there is a chain, by hash; torn lines are marked; commands
 * have answers. Each problem is reported with its place. One pass, in memory bounded by the commands in flight.
 */
import { createHash } from 'node:crypto';
import { checkLink, FIRST_HASH, HASH_LENGTH, type Head, type LinkVerdict } from '../log/chain.js';
import type { LongLine } from '../log/line-gate.js';
import type { LogLine } from '../log/log-lines.js';
import { type AuditRecord, numberOf, objectOf, recordOf, textOf } from '../log/record.js';
import { isOfSameClient, isStart } from './join-replies.js';
import { timeOf } from './moment.js';
import { isSetBack } from './seek.js';

/** `problem`: somebody, or a fault, has changed the log. `remark`: worth knowing, but it can come about by itself. */
export interface Finding {
  readonly level: 'problem' | 'remark';
  readonly file: string;
  readonly line: number;
  /**
   * Quotes the log as JSON in ASCII, and only the beginning of long texts: they can neither steer a terminal nor look like a line of ours.
   */
  readonly what: string;
}

export interface VerifyResult {
  readonly records: number;
  readonly head: Head | null;
  /** How many records carry a hash. */
  readonly chained: number;
  readonly problems: number;
  readonly remarks: number;
}

/** The state of the log before a record. */
interface Position {
  /** The last record's number; null before the first. */
  readonly seq: number | null;
  /** Its hash; null where it has none or it is not known. */
  readonly hash: string | null;
  readonly isChained: boolean;
}

/** A command without an answer so far. */
interface OpenCommand {
  readonly record: AuditRecord;
  readonly name: string;
  readonly line: Place;
}

/** The position of a line. */
type Place = Pick<LogLine, 'file' | 'number'>;

/** More commands than can be in flight: beyond, the oldest count as unanswered. */
const MOST_OPEN = 100_000;

export class Verifier {
  readonly #tell: (finding: Finding) => void;
  readonly #savedHead: Head | null;
  #position: Position = { seq: null, hash: null, isChained: false };
  /** Where the log stood before the last line, in case that turns out to be a torn one. */
  #before: Position = this.#position;
  #last: LogLine | null = null;
  #lastIsRecord = true;
  /** Commands without an answer so far: their numbers, names and places. */
  readonly #open = new Map<number, OpenCommand>();
  /** The state of the daemon's run: `unknown` before the first record. */
  #run: 'unknown' | 'going on' | 'over' = 'unknown';
  /** The last record's times. */
  #clock: { readonly time: number; readonly mono: number } | null = null;
  #answersAreKept = true;
  #foundSavedHead = false;
  #records = 0;
  #chained = 0;
  #problems = 0;
  #remarks = 0;

  /**
   * @param tell called for each finding, in order
   * @param savedHead a head that the log is known to have had: nothing else reveals a cut tail
   */
  constructor(tell: (finding: Finding) => void, savedHead: Head | null = null) {
    this.#tell = tell;
    this.#savedHead = savedHead;
  }

  /** Takes the next line; those of several files one after the other. */
  line(line: LogLine): void {
    const record = line.isUtf8 ? recordOf(line) : null;
    if (record !== null && record.kind === 'daemon' && textOf(record, 'action') === 'torn') this.#forgive(record);
    else this.#complain();
    this.#last = line;
    this.#lastIsRecord = record !== null;
    if (record === null) return;
    this.#before = this.#position;
    this.#follow(record, line);
    this.#matchAnswers(record, line);
    this.#watchRuns(record, line);
    this.#watchClock(record, line);
  }

  /** The log is over. */
  finish(): VerifyResult {
    if (!this.#lastIsRecord && this.#last?.isWhole === false) {
      this.#remark(
        this.#last,
        'the last line is torn and not marked yet: it is being written, or a power cut or a full disk stopped qmpmux',
      );
      this.#lastIsRecord = true;
    }
    this.#complain();
    this.#reportOpen('the log ends');
    const { seq, hash } = this.#position;
    const saved = this.#savedHead;
    if (saved !== null && !this.#foundSavedHead && this.#last !== null) {
      const missing = saved.seq - (seq ?? 0);
      this.#problem(
        this.#last,
        missing > 0
          ? `the log ends with record ${seq ?? 0}, but it had record ${saved.seq}: ${count(missing, 'record')} cut off its end`
          : `record ${saved.seq} of the saved head is not in the log`,
      );
    }
    return {
      records: this.#records,
      head: seq === null ? null : { seq, hash },
      chained: this.#chained,
      problems: this.#problems,
      remarks: this.#remarks,
    };
  }

  /** The mark of a torn line: the line before it is accounted for, whatever it looks like. */
  #forgive(marker: AuditRecord): void {
    const last = this.#last;
    if (last === null) return;
    const bytes = Buffer.from(last.text);
    const isMeant =
      !last.isUtf8 ||
      (bytes.length === numberOf(marker, 'length') &&
        createHash('sha256').update(bytes).digest('hex') === textOf(marker, 'sha256'));
    if (!isMeant) {
      this.#complain();
      return;
    }
    this.#remark(last, 'a torn line, marked as such by the next record: a power cut or a full disk stopped qmpmux');
    if (this.#lastIsRecord) {
      this.#position = this.#before;
      this.#records--;
    }
    this.#lastIsRecord = true;
  }

  /** The last line is no record, and nothing after it accounts for that. */
  #complain(): void {
    if (this.#lastIsRecord || this.#last === null) return;
    this.#problem(
      this.#last,
      this.#last.isUtf8 ? 'this line is not an audit record' : 'this line is not UTF-8: it was changed',
    );
    this.#lastIsRecord = true;
  }

  #follow(record: AuditRecord, line: LogLine): void {
    const { seq } = record;
    this.#records++;
    if (seq === 1 && this.#position.seq !== null && isStart(record)) {
      this.#problem(line, `a new log begins after record ${this.#position.seq}`);
      this.#position = { seq: null, hash: null, isChained: false };
      this.#run = 'unknown';
    }
    const { seq: last, hash: lastHash, isChained } = this.#position;
    if (last !== null && seq <= last) {
      this.#problem(line, `record ${seq} comes after record ${last}: repeated, inserted, or out of order`);
      return;
    }
    const isNext = last === null || seq === last + 1;
    if (last === null && seq !== 1)
      this.#remark(line, `the log begins with record ${seq}; earlier records were not given`);
    if (!isNext) {
      const missing = last + 2 === seq ? `record ${last + 1} is` : `records ${last + 1} to ${seq - 1} are`;
      this.#problem(line, `${missing} missing before record ${seq}`);
    }

    // The hash of the record before: known, or given by a record that begins a file, or, where a chain begins, fixed.
    let base = isNext ? lastHash : null;
    const told = objectOf(record, 'previous')?.['hash'];
    if (typeof told === 'string' && told.length === HASH_LENGTH) base ??= told;
    const beginsChain = seq === 1 || (last !== null && isNext && !isChained);
    if (beginsChain) base ??= FIRST_HASH;
    this.#position = this.#checkHash(line, record, base);
    const saved = this.#savedHead;
    if (saved?.seq !== seq) return;
    this.#foundSavedHead = true;
    if (saved.hash !== this.#position.hash) {
      this.#problem(line, `record ${seq} does not match the saved head: the log was rewritten`);
    }
  }

  /**
   * @param base the hash of the record before, or null where it is not known
   * @returns the state of the log after the record
   */
  #checkHash(line: LogLine, record: AuditRecord, base: string | null): Position {
    const { seq } = record;
    const link = line.longLine === null ? checkLink(line.text, base ?? FIRST_HASH) : longLink(line.longLine, base);
    if (link.kind !== 'unchained') {
      this.#chained++;
      if (link.kind === 'broken' && base !== null) {
        this.#problem(line, `the hash of record ${seq} is wrong: it was changed, or the record before it was`);
      }
      return { seq, hash: link.hash, isChained: true };
    }
    if (this.#position.isChained) {
      const isSaid = objectOf(record, 'settings')?.['chain'] === false;
      if (isSaid) this.#remark(line, `the chain ends before record ${seq}: qmpmux was started without it`);
      else this.#problem(line, `record ${seq} has no hash, but the one before it has`);
    }
    return { seq, hash: null, isChained: false };
  }

  #matchAnswers(record: AuditRecord, line: LogLine): void {
    const of = numberOf(record, 'of');
    const command = of === null ? undefined : this.#open.get(of);
    if (of !== null && command !== undefined && isOfSameClient(command.record, record)) this.#open.delete(of);
    const settings = objectOf(record, 'settings');
    if (settings !== null) {
      const leftOut = settings['left_out'];
      this.#answersAreKept = !(Array.isArray(leftOut) && (leftOut.includes('reply') || leftOut.includes('error')));
    }
    if (isStart(record)) this.#reportOpen('qmpmux was restarted');
    if (record.kind !== 'command' || !this.#answersAreKept) return;
    const { monitor = null, listener = null, client = null } = record.members;
    this.#open.set(record.seq, {
      record: { ...record, members: { monitor, listener, client } },
      name: quoted(textOf(record, 'command') ?? ''),
      line: { file: line.file, number: line.number },
    });
    if (this.#open.size <= MOST_OPEN) return;
    const [oldest] = this.#open.entries();
    if (oldest === undefined) return;
    this.#open.delete(oldest[0]);
    this.#remark(oldest[1].line, `command ${oldest[0]} (${oldest[1].name}) has no answer`);
  }

  #watchRuns(record: AuditRecord, line: LogLine): void {
    const action = record.kind === 'daemon' ? textOf(record, 'action') : null;
    if (isStart(record) && this.#run === 'going on') {
      this.#remark(
        line,
        `qmpmux was started with record ${record.seq}, but the run before has no stop record: it was killed or crashed, the host went down, or the end of that run was cut off; only a head saved elsewhere (--head) can tell these apart`,
      );
    }
    // The mark of a torn line says as much.
    if (action === 'stop' || action === 'torn') this.#run = 'over';
    else if (action === 'start' || this.#run === 'unknown') this.#run = 'going on';
  }

  #watchClock(record: AuditRecord, line: LogLine): void {
    const time = timeOf(record.time);
    if (time === null) return;
    const clock = { time, mono: record.mono / 1000 };
    if (this.#clock !== null && isSetBack(this.#clock, clock)) {
      const seconds = Math.round((this.#clock.time - this.#clock.mono - (clock.time - clock.mono)) / 1000);
      this.#remark(
        line,
        `the host's clock was set back by ${seconds} s before record ${record.seq}: use --read-all with commands that take a time`,
      );
    }
    this.#clock = clock;
  }

  #reportOpen(what: string): void {
    for (const [seq, { name, line }] of this.#open)
      this.#remark(line, `command ${seq} (${name}) has no answer: ${what}`);
    this.#open.clear();
  }

  #problem(line: Place, what: string): void {
    this.#problems++;
    this.#tell({ level: 'problem', file: line.file, line: line.number, what });
  }

  #remark(line: Place, what: string): void {
    this.#remarks++;
    this.#tell({ level: 'remark', file: line.file, line: line.number, what });
  }
}

/** Names are shown, not messages; a longer one is cut, in characters. */
const LONGEST_NAME = 100;

/** @returns a text of the log as JSON in ASCII, cut where it is long. */
export function quoted(text: string): string {
  const short = text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME)}...` : text;
  return JSON.stringify(short).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** @returns the chain's verdict on a line that was too long to be read. */
function longLink({ hash, previous, made }: LongLine, base: string | null): LinkVerdict {
  if (hash === null) return { kind: 'unchained' };
  // It was hashed with the line before; if that is the wrong one, a problem has been reported there already.
  const isGood = made === hash && (base === null || base === previous);
  return { kind: isGood ? 'good' : 'broken', hash };
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? ' was' : 's were'}`;
}

/** @returns a head as text, `SEQ:HASH`, or `SEQ` without a chain. */
export function formatHead(head: Head): string {
  return head.hash === null ? String(head.seq) : `${head.seq}:${head.hash}`;
}

/** @returns the head that `formatHead` wrote as this text, or null. */
export function parseHead(text: string): Head | null {
  const match = /^(\d{1,15})(?::([0-9a-f]{64}))?$/.exec(text.length > 1000 ? '' : text.trim());
  return match === null ? null : { seq: Number(match[1]), hash: match[2] ?? null };
}
