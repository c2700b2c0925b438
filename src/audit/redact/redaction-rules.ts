/**
 * The rows of the redaction table, sorted by command and compiled so that a member costs one look-up, whatever path it has. Rows that are
 * not about one name anywhere (`**.password`) are followed along the path, from member to member: each has a set of the segments that the
 * path so far may have matched, as bits of a number.
 */
import { Glob, matchesGlob } from '../../shared/glob.js';
import { ANSWER_RULES, REDACTION_RULES, type RedactionRule } from './redaction-table.js';
import { lastPart } from './secret-names.js';

/** The most segments of a path: they are bits of one number, and one bit means all. */
export const MOST_SEGMENTS = 30;

/** A part of a path: a pattern for one member or element, as in a policy. */
interface Segment {
  /** Whether it is `**`: any number of members and elements. */
  readonly isAnyNumber: boolean;
  readonly name: Glob;
  /** The same in lower case: a last part is found whatever the case of the member. */
  readonly inLowerCase: Glob;
}

interface Followed {
  readonly rule: RedactionRule;
  readonly segments: readonly Segment[];
}

/** Which segments of the followed rows the path to an object or a list may have matched; one number a row. */
export type Progress = readonly number[];

const NO_PROGRESS: Progress = [];
const NO_RULES: readonly RedactionRule[] = [];

/** The rows for one command, or for its answer. */
export class CompiledRules {
  /** Rows of the form `**.name`, by the name in lower case. */
  readonly #anywhere = new Map<string, RedactionRule[]>();
  readonly #followed: Followed[] = [];
  /** The progress at the message itself. */
  readonly start: Progress;
  /** Whether members are found by their names alone, in any place. */
  readonly isByNameOnly: boolean;
  /** Whether, beside such names, only properties are looked for that HMP lists. */
  readonly isListOnly: boolean;

  constructor(rules: readonly RedactionRule[]) {
    for (const rule of rules) {
      const segments = rule.path.split('.');
      const [first, name, ...others] = segments;
      if (first === '**' && name !== undefined && others.length === 0 && !/[*?]/.test(name)) {
        const key = name.toLowerCase();
        const same = this.#anywhere.get(key);
        if (same === undefined) this.#anywhere.set(key, [rule]);
        else same.push(rule);
      } else this.#followed.push({ rule, segments: segments.slice(0, MOST_SEGMENTS).map(segmentOf) });
    }
    this.start = this.#followed.map(({ segments }) => closure(segments, 1));
    // A number may be an element's of a list.
    const hasNumbers = [...this.#anywhere.keys()].some((name) => /^\d+$/.test(name));
    this.isByNameOnly = this.#followed.length === 0 && !hasNumbers;
    this.isListOnly = !hasNumbers && this.#followed.every(({ rule }) => rule.removal.kind === 'hmp-answer');
  }

  /** @returns the progress within member or element `name` of a value with `progress`. */
  enter(progress: Progress, name: string): Progress {
    if (this.#followed.length === 0) return NO_PROGRESS;
    return this.#followed.map(({ segments }, index) => step(segments, progress[index] ?? 0, name, name));
  }

  /** @returns the rows for the member or element `name` of a value with `progress`. */
  at(progress: Progress, name: string): readonly RedactionRule[] {
    const last = lastPart(name);
    const found = this.#anywhere.get(last.toLowerCase()) ?? NO_RULES;
    if (this.#followed.length === 0) return found;
    const followed = this.#followed.filter(({ segments }, index) => {
      const reached = step(segments, progress[index] ?? 0, name, last);
      return (reached & (1 << segments.length)) !== 0;
    });
    return followed.length === 0 ? found : [...found, ...followed.map((each) => each.rule)];
  }
}

function segmentOf(part: string): Segment {
  return { isAnyNumber: part === '**', name: new Glob(part), inLowerCase: new Glob(part.toLowerCase()) };
}

/** @returns the segments that may be next after `name`. @param last also compared with a last segment, in any case of letters */
function step(segments: readonly Segment[], progress: number, name: string, last: string): number {
  if (progress === 0) return 0;
  let next = 0;
  for (let i = 0; i < segments.length; i++) {
    if ((progress & (1 << i)) === 0) continue;
    const segment = segments[i];
    if (segment === undefined) break;
    if (segment.isAnyNumber) next |= 1 << i;
    else if (segment.name.matches(name)) next |= 1 << (i + 1);
    else if (i === segments.length - 1 && segment.inLowerCase.matches(last.toLowerCase())) next |= 1 << (i + 1);
  }
  return closure(segments, next);
}

/** Adds the segments after `**`, which may match nothing. */
function closure(segments: readonly Segment[], progress: number): number {
  let all = progress;
  for (let i = 0; i < segments.length; i++)
    if ((all & (1 << i)) !== 0 && segments[i]?.isAnyNumber === true) all |= 1 << (i + 1);
  return all;
}

/** @returns the longest run of literal characters in a pattern */
function longestWord(pattern: string): string {
  return pattern.split(/[*?]/).reduce((longest, word) => (word.length > longest.length ? word : longest));
}

function isAboutAnswers(rule: RedactionRule): boolean {
  return /^(?:return|error)(?:\.|$)/.test(rule.path);
}

/** @returns whether a row is about the command `name`; a null name is any */
function concerns(pattern: string, name: string | null): boolean {
  return name === null || matchesGlob(pattern, name);
}

/** @returns the table's rows, and the user's, for the input of a command; for a null name, of every command. */
function compileRules(name: string | null, extra: readonly RedactionRule[]): CompiledRules {
  return new CompiledRules(
    [...REDACTION_RULES, ...extra].filter((rule) => !isAboutAnswers(rule) && concerns(rule.command, name)),
  );
}

/** Names come from clients: no more of them are remembered than this, and no longer ones. */
const MOST_REMEMBERED = 512;
const LONGEST_REMEMBERED = 64;

export class RuleSet {
  /** Last parts of the user's own paths, in lower case: words that make unreadable input suspect. */
  readonly userWords: readonly string[];
  /** The rows for the input of any command, the user's among them: for the inside of a text. */
  readonly forTexts: CompiledRules;
  /** The names, in lower case, of all rows that are about one name anywhere. */
  readonly #names: ReadonlySet<string>;
  readonly #extra: readonly RedactionRule[];
  readonly #answerRules: readonly RedactionRule[];
  readonly #commands = new Map<string | null, CompiledRules>();
  readonly #answers = new Map<string | null, CompiledRules>();

  constructor(extra: readonly RedactionRule[]) {
    this.#extra = extra;
    this.#answerRules = extra.filter(isAboutAnswers);
    this.userWords = extra.map(({ path }) => longestWord(lastPart(path).toLowerCase())).filter((word) => word !== '');
    this.forTexts = compileRules(null, []);
    const rows = [...REDACTION_RULES, ...extra].filter(({ path }) => path.startsWith('**.'));
    this.#names = new Set(rows.map(({ path }) => lastPart(path).toLowerCase()));
  }

  /** @returns whether a row of any command is about members called `name`, in any place. */
  mentions(name: string): boolean {
    return this.#names.has(lastPart(name).toLowerCase());
  }

  forCommand(name: string | null): CompiledRules {
    return remember(this.#commands, name, () => compileRules(name, this.#extra));
  }

  /** Answers are searched for the same members as commands, and by the rows that are about answers. */
  forAnswer(name: string): CompiledRules {
    return remember(this.#answers, name, () => {
      const anywhere = [...REDACTION_RULES, ...this.#extra].filter(
        (rule) => rule.command === '*' && !isAboutAnswers(rule),
      );
      const ofAnswers = [...ANSWER_RULES, ...this.#answerRules].filter((rule) => concerns(rule.command, name));
      return new CompiledRules([...anywhere, ...ofAnswers]);
    });
  }

  /** @returns whether one of the user's rows is about the answers to `name`. */
  concernsAnswers(name: string): boolean {
    return this.#answerRules.length > 0 && this.#answerRules.some((rule) => concerns(rule.command, name));
  }
}

function remember(
  known: Map<string | null, CompiledRules>,
  name: string | null,
  make: () => CompiledRules,
): CompiledRules {
  if (name !== null && name.length > LONGEST_REMEMBERED) return make();
  const existing = known.get(name);
  if (existing !== undefined) return existing;
  if (known.size >= MOST_REMEMBERED) known.clear();
  const made = make();
  known.set(name, made);
  return made;
}
