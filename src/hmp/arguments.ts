/**
 * The arguments of a line of the human monitor, split as QEMU splits them (monitor/hmp.c, `monitor_parse_arguments`): by the types in the
 * command's row of the table. It says where each argument begins and ends. Whether a number is in range, a register or a device
 * exists, and options have a sense, QEMU finds out later; here it does not matter.
 */
import { HMP_COMMANDS } from './commands.js';
import { parseHmpLine } from './line.js';
import { type HmpWord, isBlankAt, readHmpWord, skipBlanks } from './words.js';

/** An argument that is there. */
export interface HmpArgument extends HmpWord {
  /** As QEMU's table calls it, such as `filename`. */
  readonly name: string;
  /** The first letter of its type, such as `F`; `-` for a flag, whose word this is if it takes one. */
  readonly type: string;
}

/** Why QEMU runs nothing. */
export type HmpProblem =
  | 'unknown command'
  /** Missing, or its quotes or escapes are wrong. */
  | 'string expected'
  | 'options expected'
  | 'unsupported option'
  | 'value expected'
  | 'invalid format'
  | 'number expected'
  | 'size expected'
  | 'on or off expected'
  /** More arguments than the command takes. */
  | 'extraneous characters';

/** A line, split. */
export interface HmpCommandLine {
  readonly verb: string;
  readonly topic: string;
  /** Where the verb, and the topic if there is one, end in the line. */
  readonly end: number;
  /** The arguments read, in their order in the line; if there is a problem, those before it. */
  readonly arguments: readonly HmpArgument[];
  /** Null if QEMU runs the command. */
  readonly problem: HmpProblem | null;
  /** Where the problem begins in the line, or where the line ends. */
  readonly at: number;
}

/** @param line decoded; a NUL in it is a character like any other, as it is for QEMU */
export function readHmpLine(line: string): HmpCommandLine {
  const { verb, topic, end } = parseHmpLine(line);
  const found = HMP_COMMANDS.get(topic === '' ? verb : `info ${topic}`);
  // `info/x` looks for a topic without a name.
  const isNameless = verb === 'info' && topic === '' && skipBlanks(line, end) < line.length;
  if (found === undefined || isNameless) {
    return {
      verb,
      topic,
      end,
      arguments: [],
      problem: verb === '' && end === line.length ? null : 'unknown command',
      at: end,
    };
  }
  let first: Reading | null = null;
  for (const types of found) {
    const reading = new ArgumentReader(line, end).read(types);
    if (reading.problem === null) return { verb, topic, end, ...reading };
    first ??= reading;
  }
  return { verb, topic, end, ...(first ?? { arguments: [], problem: null, at: end }) };
}

type Reading = Pick<HmpCommandLine, 'arguments' | 'problem' | 'at'>;

class ArgumentReader {
  readonly #line: string;
  readonly #found: HmpArgument[] = [];
  #at: number;

  constructor(line: string, at: number) {
    this.#line = line;
    this.#at = at;
  }

  read(types: string): Reading {
    let from = 0;
    while (from < types.length) {
      const colon = types.indexOf(':', from);
      const name = types.slice(from, colon);
      const comma = types.indexOf(',', colon);
      const end = comma < 0 ? types.length : comma;
      const problem = this.#one(name, types.slice(colon + 1, end), types.slice(end));
      if (problem !== null) return { arguments: this.#found, problem, at: this.#at };
      from = end + 1;
    }
    this.#skip();
    const problem = this.#isAtEnd ? null : 'extraneous characters';
    return { arguments: this.#found, problem, at: this.#at };
  }

  get #isAtEnd(): boolean {
    return this.#at >= this.#line.length;
  }

  #skip(): void {
    this.#at = skipBlanks(this.#line, this.#at);
  }

  /** @param rest the types that follow. @returns the problem */
  #one(name: string, type: string, rest: string): HmpProblem | null {
    if (type.startsWith('-')) return this.#flag(name, type, rest);
    // QEMU looks for a format right after the verb as well as after blanks; for all others blanks are skipped too.
    this.#skip();
    if (type.endsWith('?') && this.#isAtEnd) return null;
    switch (type.charAt(0)) {
      case 's':
      case 'F':
      case 'B':
        return this.#word(name, type) ? null : 'string expected';
      case 'O':
        return this.#isAtEnd || this.#word(name, type) ? null : 'options expected';
      case 'S':
        if (this.#isAtEnd) return 'string expected';
        this.#add(name, type, this.#line.length);
        return null;
      case '/':
        return this.#format(name, type);
      case 'b': {
        const end = graphEnd(this.#line, this.#at);
        const isSwitch = /^(?:on|off)$/.test(this.#line.slice(this.#at, Math.min(end, this.#at + 4)));
        if (isSwitch) this.#add(name, type, end);
        return isSwitch ? null : 'on or off expected';
      }
      case 'o': {
        const end = sizeEnd(this.#line, this.#at);
        if (end === this.#at) return 'size expected';
        this.#add(name, type, end);
        return null;
      }
      default:
        return this.#number(name, type);
    }
  }

  #word(name: string, type: string): boolean {
    const word = readHmpWord(this.#line, this.#at);
    if (word === null) return false;
    this.#found.push({ name, type: type[0] ?? '', ...word });
    this.#at = word.end;
    return true;
  }

  #add(name: string, type: string, end: number): void {
    const start = this.#at;
    const whole = this.#line.slice(start, end);
    this.#found.push({ name, type: type[0] ?? '', start, end, whole, text: whole });
    this.#at = end;
  }

  #flag(name: string, type: string, rest: string): HmpProblem | null {
    const before = this.#at;
    this.#skip();
    if (this.#line[this.#at] !== '-') return null;
    const letter = this.#line[this.#at + 1] ?? '';
    if (letter !== type[1]) {
      // QEMU looks for it anywhere in the text of the types that follow.
      if (!rest.includes(`-${letter}`)) return 'unsupported option';
      this.#at = before;
      return null;
    }
    if (type[2] !== 's') {
      this.#add(name, type, this.#at + 2);
      return null;
    }
    const word = readHmpWord(this.#line, this.#at + 2);
    if (word === null) return 'value expected';
    this.#found.push({ name, type: '-', ...word });
    this.#at = word.end;
    return null;
  }

  #format(name: string, type: string): HmpProblem | null {
    if (this.#line[this.#at] !== '/') return null;
    let end = this.#at + 1;
    while (isDigit(this.#line, end)) end++;
    while ('oduxicbhwgL'.includes(this.#line[end] ?? ' ')) end++;
    if (end < this.#line.length && skipBlanks(this.#line, end) === end) return 'invalid format';
    this.#add(name, type, end);
    return null;
  }

  #number(name: string, type: string): HmpProblem | null {
    if (type.endsWith('.')) {
      if (this.#line[this.#at] !== '.') return null;
      this.#at++;
      this.#skip();
    }
    const end = expressionEnd(this.#line, this.#at);
    if (end === null) return 'number expected';
    let last = end;
    while (isBlankAt(this.#line, last - 1)) last--;
    this.#add(name, type, last);
    return null;
  }
}

function isDigit(line: string, at: number): boolean {
  const code = line.charCodeAt(at);
  return code >= 0x30 && code <= 0x39;
}

/** C's isgraph in the POSIX locale. */
function graphEnd(line: string, from: number): number {
  let at = from;
  while (line.charCodeAt(at) > 0x20 && line.charCodeAt(at) < 0x7f) at++;
  return at;
}

/** C's strtoull with base 0, without blanks before it. @returns `from` if there is no number */
function integerEnd(line: string, from: number): number {
  let at = from;
  if (line[at] === '0' && /^[xX][0-9a-fA-F]$/.test(line.slice(at + 1, at + 3))) {
    at += 2;
    while (isHex(line.charCodeAt(at))) at++;
    return at;
  }
  const highest = line[at] === '0' ? 0x37 : 0x39;
  while (line.charCodeAt(at) >= 0x30 && line.charCodeAt(at) <= highest) at++;
  return at;
}

function isHex(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66);
}

/** `10`, `0x10`, `1.5G`. @returns `from` if there is no size */
function sizeEnd(line: string, from: number): number {
  let at = from;
  while (isDigit(line, at)) at++;
  if (at - from === 1 && line[from] === '0' && integerEnd(line, from) > at) at = integerEnd(line, from);
  else if (line[at] === '.') for (at++; isDigit(line, at); ) at++;
  if (at === from || (at === from + 1 && line[from] === '.')) return from;
  return 'bkmgtpeBKMGTPE'.includes(line[at] ?? ' ') ? at + 1 : at;
}

/**
 * An expression of numbers, registers and characters. QEMU's functions call each other as deep as there are brackets and signs;
 * only where it ends is wanted here, and so the open brackets are counted.
 * @returns where it ends, with the blanks after it; null if it is wrong
 */
function expressionEnd(line: string, from: number): number | null {
  let at = skipBlanks(line, from);
  let open = 0;
  for (;;) {
    // A value must follow here.
    const char = line[at];
    if (char === '+' || char === '-' || char === '~' || char === '(') {
      if (char === '(') open++;
      at = skipBlanks(line, at + 1);
      continue;
    }
    const end = valueEnd(line, at);
    if (end === null) return null;
    at = skipBlanks(line, end);
    while (open > 0 && line[at] === ')') {
      open--;
      at = skipBlanks(line, at + 1);
    }
    if (!'+-&|^*/%'.includes(line[at] ?? ' ')) return open === 0 ? at : null;
    at = skipBlanks(line, at + 1);
  }
}

function valueEnd(line: string, from: number): number | null {
  const char = line[from];
  if (char === "'") return line.charCodeAt(from + 1) < 0x80 && line[from + 2] === "'" ? from + 3 : null;
  if (char === '$') {
    let at = from + 1;
    while (/^[A-Za-z0-9_.]$/.test(line[at] ?? '')) at++;
    return at;
  }
  const end = integerEnd(line, from);
  return end > from ? end : null;
}
