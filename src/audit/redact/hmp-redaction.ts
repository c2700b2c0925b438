/**
 * Secrets in a line of HMP, QEMU's text monitor (`human-monitor-command`). The line is split as QEMU splits it, and judged by its verb and
 * arguments. Rows as in redaction-table.ts, source hmp-commands.hx: set_password, expire_password, block_passwd, change vnc password,
 * object_add, qom-set, qom-get; and verbs that take options or names of files.
 *
 * What must hold: a line that QEMU executes is shown except for parts that are provably secret (`migrate exec:…` in full). QEMU does not
 * run a line that it cannot split or does not know; of such a line only the verb is kept if it may hold a secret.
 */
import { type HmpArgument, type HmpCommandLine, readHmpLine } from '../../hmp/arguments.js';
import { HMP_COMMANDS } from '../../hmp/commands.js';
import { parseHmpLine } from '../../hmp/line.js';
import { findBlank, readHmpWord, skipBlanks } from '../../hmp/words.js';
import { isMigrationUri, isOpenedArgument, openedOptions } from './opened-places.js';
import { harmlessMembers, isSecretProperty } from './redaction-table.js';
import { isNear, isSecretName, lettersOf } from './secret-names.js';
import { maySecretsBeIn } from './suspect-text.js';
import { type Cut, cutOut, type SecretReader, secretsInOptions, secretsInText } from './text-redaction.js';

interface HmpRedaction {
  /** The line without its secrets. */
  readonly text: string;
  readonly cuts: readonly Cut[];
  /** Whether the answer is itself a secret. */
  readonly hidesAnswer: boolean;
}

/** Commands that set or show secrets: of a line that QEMU does not run, and that may be meant for one of them, no argument is kept. */
const SECRET_VERBS = ['set_password', 'expire_password', 'block_passwd', 'change', 'qom-set', 'qom-get', 'object_add'];
/** Arguments that are options, `driver,key=value`, or names of files, which may be written so. */
const OPTION_ARGUMENTS: ReadonlySet<string> = new Set([
  'device_add device',
  'netdev_add netdev',
  'chardev-add args',
  'chardev-change args',
  'drive_add opts',
  'change target',
  'drive_mirror target',
  'drive_backup target',
  'snapshot_blkdev snapshot-file',
  'block_stream base',
]);
const MIGRATIONS: ReadonlySet<string> = new Set(['migrate', 'migrate_incoming', 'migrate_recover']);
const PROTOCOL = /^(?:vnc|spice)$/;
/** Also with characters glued to it by mistake. */
const VNC = /^[^a-z\d]*vnc[^a-z\d]*$/i;
const TIME = /^(?:now|never|\+?\d{1,12})$/;
const CONNECTED = /^(?:keep|fail|disconnect)$/;
/** An unknown verb is kept if it looks like this. */
const PLAIN_VERB = /^[A-Za-z][\w-]{0,31}$/;
/** A longer line that QEMU does not run is not searched: it may hold anything. That of a terminal has 4095 bytes at most. */
const MOST_SEARCHED = 4096;
/** An argument is searched up to here, in characters; the rest is not kept. Of a word QEMU keeps 1023 bytes. */
const MOST_SEARCHED_WORD = 64 * 1024;

/**
 * @param line as QEMU gets it, decoded
 * @param reader how to search a JSON text in the line, and how to replace a secret
 * @returns null when there is nothing to hide
 */
export function redactHmp(line: string, reader: SecretReader): HmpRedaction | null {
  const from = behindHelp(line);
  const judge = new LineJudge(from === 0 ? line : line.slice(from), reader);
  const hidesAnswer = judge.judge();
  const { cuts } = judge;
  if (cuts.length === 0) return hidesAnswer ? { text: line, cuts, hidesAnswer } : null;
  const placed = from === 0 ? cuts : cuts.map((cut) => ({ ...cut, start: cut.start + from, end: cut.end + from }));
  return { text: cutOut(line, placed, reader.mark), cuts: placed, hidesAnswer };
}

/** Blanks before a property in `info qtree`, and its name, at most. */
const LONGEST_NAME = 128;

/** @returns the secrets among properties that an answer lists, a line each: `  osk = "…"` */
export function secretsInHmpAnswer(text: string): Cut[] {
  const cuts: Cut[] = [];
  for (let equals = text.indexOf(' = '); equals >= 0; equals = text.indexOf(' = ', equals + 3)) {
    const before = text.slice(Math.max(0, equals - LONGEST_NAME), equals);
    const name = before.slice(before.lastIndexOf('\n') + 1).trim();
    if (!isSecretName(name)) continue;
    const start = equals + 3;
    const line = text.indexOf('\n', start);
    const value = text.slice(start, line < 0 ? text.length : line).trimEnd();
    if (value === '' || value === '""') continue;
    const isQuoted = value.length > 1 && value.startsWith('"') && value.endsWith('"');
    const values = [isQuoted ? value.slice(1, -1) : value];
    cuts.push({ start, end: start + value.length, what: [name], values, replacement: null });
    equals = start + value.length - 3;
  }
  return cuts;
}

/** @returns where the line begins that help is asked about, or 0 */
function behindHelp(line: string): number {
  let from = 0;
  for (;;) {
    const at = skipBlanks(line, from);
    const end = findBlank(line, at);
    const word = end - at > 4 ? '' : line.slice(at, end);
    if (word !== 'help' && word !== '?') return from;
    from = end;
  }
}

class LineJudge {
  readonly cuts: Cut[] = [];
  readonly #line: string;
  readonly #reader: SecretReader;
  readonly #found: HmpCommandLine;
  /** Where the line ends, but for blanks. */
  readonly #end: number;

  constructor(line: string, reader: SecretReader) {
    this.#line = line;
    this.#reader = reader;
    this.#found = readHmpLine(line);
    this.#end = line.trimEnd().length;
  }

  /** Finds the parts to cut out. @returns whether the answer is a secret */
  judge(): boolean {
    const { verb, problem } = this.#found;
    if (verb === 'qom-get') return this.#asksForSecret();
    if (MIGRATIONS.has(verb) && isMigrationUri(this.#text('uri'))) return false;
    if (this.#judgeByRow()) return false;
    if (problem !== null) this.#judgeUnread();
    else for (const argument of this.#found.arguments) this.#judgeValue(argument);
    return false;
  }

  #argument(name: string): HmpArgument | undefined {
    return this.#found.arguments.find((argument) => argument.name === name);
  }

  #text(name: string): string {
    return this.#argument(name)?.text ?? '';
  }

  /** Of an object that is made of secrets, all that is asked of it by its name. */
  #asksForSecret(): boolean {
    const isSecret = this.#found.arguments.some(({ text }) => isSecretProperty(text));
    if (this.#found.problem !== null) this.#judgeUnread();
    return isSecret;
  }

  /** @returns whether the row for the line's verb has dealt with it */
  #judgeByRow(): boolean {
    const { verb, problem } = this.#found;
    const isRun = problem === null;
    switch (verb) {
      case 'set_password':
      case 'block_passwd': {
        const isKnown = verb === 'block_passwd' || PROTOCOL.test(this.#text('protocol'));
        if (!isRun || !isKnown) return this.#cutFrom(isKnown ? this.#behind(0) : this.#behind(-1), 'password');
        this.#cut(this.#argument('password'), 'password');
        const connected = this.#argument('connected');
        if (connected !== undefined && !CONNECTED.test(connected.text)) this.#cut(connected, 'password');
        return true;
      }
      case 'expire_password':
        if (isRun && PROTOCOL.test(this.#text('protocol'))) {
          if (!TIME.test(this.#text('time'))) this.#cut(this.#argument('time'), 'time');
          return true;
        }
        return this.#cutFrom(PROTOCOL.test(this.#text('protocol')) ? this.#behind(0) : this.#behind(-1), 'time');
      case 'change':
        return this.#judgeChange();
      case 'qom-set': {
        if (!isRun) return this.#cutFrom(this.#behind(-1), 'value');
        if (isSecretProperty(this.#text('property'))) {
          this.#cut(this.#argument('value'), 'value');
          return true;
        }
        // The words may have been exchanged, or one too many.
        const name = this.#misplacedName();
        return name >= 0 && this.#cutFrom(name, 'value');
      }
      case 'object_add':
        return this.#judgeObject();
      case 'migrate_set_parameter': {
        const isSecret = isSecretName(this.#text('parameter'));
        return isSecret && this.#cutFrom(this.#behind(0), 'value');
      }
      default:
        return false;
    }
  }

  /** @returns the end of a secret property's name that is misplaced among the first words, or -1 */
  #misplacedName(): number {
    let at = this.#found.end;
    for (let count = 0; count < 6; count++) {
      const word = readHmpWord(this.#line, at);
      if (word === null) return -1;
      at = word.end;
      if (!word.text.includes('/') && isSecretProperty(word.text)) return at;
    }
    return -1;
  }

  /** `change vnc password SECRET`: QEMU takes flags, and people write the words wrong. */
  #judgeChange(): boolean {
    const words = this.#found.arguments.filter(({ text }) => !text.startsWith('-'));
    const device = words[0]?.text.slice(0, 64) ?? '';
    // No device has such a name: words that were to be separate.
    const isGlued = /["'/]/.test(device) && /vnc/i.test(device);
    const vnc = words.findIndex(({ text }) => VNC.test(text.slice(0, 32)));
    const password = words.findIndex(({ text }) => /^[\w-]*$/.test(text.slice(0, 64)) && isSecretName(text));
    const isMisplaced = this.#found.problem !== null && vnc !== 0 && Math.max(vnc, password) >= 0;
    if (isGlued || isMisplaced) return this.#cutFrom(this.#found.end, 'password');
    const isPassword = password >= 0 && (vnc < 0 || password <= vnc + 1);
    if (vnc < 0 && !isPassword) return false;
    const last = words[isPassword ? password : vnc];
    // The words after it, and the part that QEMU did not read.
    return this.#cutFrom(last === undefined ? this.#found.end : last.end, 'password');
  }

  /** The kind of object that counts is the last one; here an object is made of secrets where any of them is. */
  #judgeObject(): boolean {
    const object = this.#argument('object');
    if (object === undefined) return false;
    const quotes = object.whole.startsWith('"') ? 1 : 0;
    const start = object.start + quotes;
    const text = this.#line.slice(start, Math.min(this.#end, start + MOST_SEARCHED_WORD));
    const harmless = text.startsWith('{') ? null : harmlessInOptions(text);
    this.#add(secretsInOptions(text, harmless, this.#reader, openedOptions('object_add')), start);
    if (harmless !== null) this.#cutBareParts(text, start);
    if (start + text.length < this.#end) this.#cutFrom(start + text.length, 'rest');
    return true;
  }

  /** Cuts parts without a name, between commas, of an object made of secrets: QEMU takes only the kind without a name. */
  #cutBareParts(text: string, offset: number): void {
    let at = text.indexOf(',');
    while (at >= 0) {
      let end = text.indexOf(',', at + 1);
      // Two commas mean one within a value.
      if (end === at + 1) {
        at = text.indexOf(',', at + 2);
        continue;
      }
      if (end < 0) end = text.length;
      const part = text.slice(at + 1, end);
      if (part.trim() !== '' && !part.includes('=')) {
        this.cuts.push({
          start: at + 1 + offset,
          end: end + offset,
          what: ['options'],
          values: [part],
          replacement: null,
        });
      }
      at = end === text.length ? -1 : end;
    }
  }

  #judgeValue(argument: HmpArgument): void {
    if (argument.type === '-' && argument.whole.length === 2) return;
    if (isOpenedArgument(this.#found.verb, argument.name)) return;
    const isQemuIo = this.#found.verb === 'qemu-io' && argument.name === 'command';
    const isOptions = isQemuIo || OPTION_ARGUMENTS.has(`${this.#found.verb} ${argument.name}`);
    const { start, end, whole } = argument;
    const part = whole.slice(0, MOST_SEARCHED_WORD);
    const found = isOptions
      ? secretsInOptions(part, null, this.#reader, openedOptions(this.#found.verb))
      : secretsInText(part, this.#reader);
    if (part.length < whole.length) {
      const rest = whole.slice(part.length);
      found.push({ start: part.length, end: whole.length, what: ['rest'], values: [rest], replacement: null });
    }
    if (found.length === 0) return;
    if (end - start === whole.length) return this.#add(found, start);
    const replacement = `"${cutOut(whole, found, this.#reader.mark).replace(/["\\]/g, '\\$&')}"`;
    const what = found.flatMap((cut) => cut.what);
    this.cuts.push({ start, end, what, values: found.flatMap((cut) => cut.values), replacement });
  }

  /** A line that QEMU does not run. */
  #judgeUnread(): void {
    const { verb, topic, end } = this.#found;
    const isKnown = verb === 'info' || HMP_COMMANDS.has(verb);
    const isNearSecret = isNearSecretVerb(verb);
    const text = this.#line.slice(0, this.#end);
    const behind = verb === 'info' ? end - topic.length : end;
    const first = /^\s*["']?(?:vnc|spice)\b/i.test(text.slice(behind, behind + 64)) || /^(?:vnc|spice)/i.test(verb);
    if (!isNearSecret && !(first && !isKnown) && !isSuspect(text)) return;
    const isPlain = isKnown || isNearSecret || (PLAIN_VERB.test(verb) && !isSuspect(verb));
    this.#cutFrom(isPlain ? behind : 0, 'line');
  }

  /** @returns the end of an argument; of the verb for -1 */
  #behind(index: number): number {
    return this.#found.arguments[index]?.end ?? this.#found.end;
  }

  /** Cuts all of the line from `at` on. @returns true */
  #cutFrom(at: number, what: string): true {
    const start = skipBlanks(this.#line, at);
    if (start >= this.#end) return true;
    const text = this.#line.slice(start, this.#end);
    const isQuoted = text.startsWith('"') && text.endsWith('"') && text.length > 1;
    const values = isQuoted ? [text.slice(1, -1), text] : [text];
    this.cuts.push({ start, end: this.#end, what: [what], values, replacement: null });
    return true;
  }

  #cut(argument: HmpArgument | undefined, what: string): void {
    if (argument === undefined) return;
    const end = Math.min(argument.end, Math.max(this.#end, argument.start));
    const text = this.#line.slice(argument.start, end);
    const values = [...new Set([argument.type === 'S' ? text : argument.whole, text])];
    this.cuts.push({ start: argument.start, end, what: [what], values, replacement: null });
  }

  #add(found: readonly Cut[], offset: number): void {
    for (const cut of found) this.cuts.push({ ...cut, start: cut.start + offset, end: cut.end + offset });
  }
}

/** @returns the members that are harmless in every kind of object that options `kind,id=…,qom-type=kind` name; null where none is made of secrets */
export function harmlessInOptions(text: string): ReadonlySet<string> | null {
  const first = /[,=]/.exec(text)?.index ?? text.length;
  let harmless = harmlessMembers(text.slice(0, first));
  for (let at = text.indexOf('qom-type='); at >= 0; at = text.indexOf('qom-type=', at + 9)) {
    // No kind is as long.
    const [kind = ''] = text.slice(at + 9, at + 73).split(',');
    const members = harmlessMembers(kind);
    if (members === null) continue;
    harmless = harmless === null ? members : new Set([...harmless].filter((name) => members.has(name)));
  }
  return harmless;
}

function isNearSecretVerb(word: string): boolean {
  if (word.length > 24) return false;
  const letters = lettersOf(word);
  return SECRET_VERBS.some((verb) => isNear(letters, lettersOf(verb), verb.length > 8 ? 2 : 1));
}

/** Whether a text that QEMU does not run may hold a secret: by its words, or because another line follows in it that may be meant for one. */
function isSuspect(text: string): boolean {
  if (text.length > MOST_SEARCHED || maySecretsBeIn(Buffer.from(text), [])) return true;
  for (let at = skipBlanks(text, 0); at < text.length; ) {
    const end = findBlank(text, at);
    const { verb } = parseHmpLine(text.slice(at, Math.min(end, at + 32)));
    if (isNearSecretVerb(verb)) return true;
    at = skipBlanks(text, end);
  }
  return false;
}
