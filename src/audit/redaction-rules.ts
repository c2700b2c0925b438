/** The rows of the redaction table, sorted by command and by the last part of their path, so that most members cost one look-up. */
import { lastPart, REDACTION_RULES, type RedactionRule } from './redaction-table.js';

interface CompiledRule {
  readonly rule: RedactionRule;
  readonly segments: readonly string[];
}

/** The rows for one command, or for its answer. */
export class CompiledRules {
  readonly #byLast = new Map<string, CompiledRule[]>();
  readonly #any: CompiledRule[] = [];

  constructor(rules: readonly RedactionRule[]) {
    for (const rule of rules) {
      const compiled = { rule, segments: rule.path.split('.') };
      const last = lastPart(rule.path);
      if (last.includes('*')) this.#any.push(compiled);
      else {
        const same = this.#byLast.get(last);
        if (same === undefined) this.#byLast.set(last, [compiled]);
        else same.push(compiled);
      }
    }
  }

  /** @returns the rows for the member called `name` at `path`, which ends with it. */
  at(name: string, path: readonly string[]): readonly RedactionRule[] {
    const found = this.#byLast.get(lastPart(name));
    if (found === undefined && this.#any.length === 0) return NONE;
    return [...(found ?? []), ...this.#any]
      .filter((each) => matches(each.segments, 0, path, 0))
      .map((each) => each.rule);
  }
}

const NONE: readonly RedactionRule[] = [];

function matches(segments: readonly string[], at: number, path: readonly string[], from: number): boolean {
  const segment = segments[at];
  if (segment === undefined) return from === path.length;
  if (segment === '**') {
    for (let skip = from; skip <= path.length; skip++) if (matches(segments, at + 1, path, skip)) return true;
    return false;
  }
  const name = path[from];
  if (name === undefined) return false;
  const isLast = at === segments.length - 1 && from === path.length - 1;
  return (
    (segment === '*' || segment === name || (isLast && segment === lastPart(name))) &&
    matches(segments, at + 1, path, from + 1)
  );
}

function isAboutAnswers(rule: RedactionRule): boolean {
  return /^(?:return|error)(?:\.|$)/.test(rule.path);
}

/** @returns whether `pattern`, in which `*` stands for any text, is about the command `name`; a null name is any. */
function concerns(pattern: string, name: string | null): boolean {
  if (pattern === '*' || name === null) return true;
  if (!pattern.includes('*')) return pattern === name;
  const expression = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*');
  return new RegExp(`^${expression}$`, 's').test(name);
}

/** @returns the table's rows, and the user's, for the input of a command; for a null name, of every command. */
export function compileRules(name: string | null, extra: readonly RedactionRule[]): CompiledRules {
  return new CompiledRules(
    [...REDACTION_RULES, ...extra].filter((rule) => !isAboutAnswers(rule) && concerns(rule.command, name)),
  );
}

/** Names come from clients: no more of them are remembered than this. */
const MOST_REMEMBERED = 512;

export class RuleSet {
  /** Last parts of the user's own paths, in lower case: words that make unreadable input suspect. */
  readonly userWords: readonly string[];
  readonly #extra: readonly RedactionRule[];
  readonly #answerRules: readonly RedactionRule[];
  /** Commands that a row names. */
  readonly #named: ReadonlySet<string>;
  /** Rows for commands by pattern, and the user's for any. */
  readonly #wide: readonly RedactionRule[];
  readonly #commands = new Map<string | null, CompiledRules>();
  readonly #answers = new Map<string, CompiledRules>();

  constructor(extra: readonly RedactionRule[]) {
    this.#extra = extra;
    this.#answerRules = extra.filter(isAboutAnswers);
    const named = [...REDACTION_RULES, ...extra].filter((rule) => !isAboutAnswers(rule));
    this.#named = new Set(named.filter((rule) => !rule.command.includes('*')).map((rule) => rule.command));
    this.#wide = named.filter((rule) => rule.command.includes('*') && (rule.command !== '*' || extra.includes(rule)));
    this.userWords = extra.map((rule) => lastPart(rule.path).toLowerCase()).filter((word) => /[^*]/.test(word));
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
      return new CompiledRules([...anywhere, ...this.#answerRules.filter((rule) => concerns(rule.command, name))]);
    });
  }

  /** @returns whether a row is about this command alone, or one of the user's about any: then hints in its text decide nothing. */
  concernsCommand(name: string): boolean {
    return this.#named.has(name) || this.#wide.some((rule) => concerns(rule.command, name));
  }

  /** @returns whether one of the user's rows is about the answers to `name`. */
  concernsAnswers(name: string): boolean {
    return this.#answerRules.length > 0 && this.#answerRules.some((rule) => concerns(rule.command, name));
  }
}

function remember<K>(known: Map<K, CompiledRules>, name: K, make: () => CompiledRules): CompiledRules {
  const existing = known.get(name);
  if (existing !== undefined) return existing;
  if (known.size >= MOST_REMEMBERED) known.clear();
  const made = make();
  known.set(name, made);
  return made;
}
