/**
 * Who may run what: a listener's policy judges every command before it is queued.
 *
 * - The first rule that fits decides; if none does, the policy's default does.
 * - Commands are judged by their decoded name, the one QEMU looks up, out-of-band ones like any other.
 * - A line of the human monitor can do anything, so no pattern over command names meets `human-monitor-command`: only its own
 *   name does, and rules for `hmp`. Where none of these fits, it is denied, whatever the default.
 *
 * What can be decided by the name alone is decided once for each name.
 */
import type { ArgumentList, Leaf } from './arguments.js';
import { takesDescriptor } from './descriptor-desk.js';
import { matchesGlob } from './glob.js';
import { parseHmpLine } from '../hmp/line.js';
import { HMP_COMMAND, type Condition, type Rule } from './policy-rule.js';
import { isReadOnly } from './read-only.js';

/** A decision, and what made it. */
export interface Verdict {
  readonly allowed: boolean;
  /** The deciding rule's text, or what stood in for one. */
  readonly rule: string;
}

export interface Policy {
  /** As in `policy=NAME`. */
  readonly name: string;
  /**
   * Judges one command, always in the same way: one that is the same but for its id as one that was allowed may be let through without
   * asking. Called for nearly every command of a client, so it is fast for names it has seen.
   * @param name the command's decoded name
   * @param list its arguments; only read where a rule looks at them
   */
  judge(name: string, list: ArgumentList): Verdict;
}

/** Names remembered at most: clients choose them. */
const MOST_NAMES = 1024;
const LONGEST_NAME = 128;
/** What commands are called. Nothing else is learnt: a client could otherwise write rules. */
const PLAIN_WORD = /^[A-Za-z_][\w.-]{0,127}$/;

/** Negotiation is qmpmux's own affair; when it is complete, QEMU answers a further one with an error. */
const ALWAYS: Verdict = { allowed: true, rule: 'negotiation is always allowed' };
const TOO_LARGE: Verdict = { allowed: false, rule: 'arguments too large to be judged' };
const NO_HMP_RULE: Verdict = { allowed: false, rule: 'no rule for hmp fits' };

/** How a name is judged: at once, or by the rules that are left once the name is known. */
type Judgement =
  | { readonly kind: 'decided'; readonly verdict: Verdict }
  | { readonly kind: 'open'; readonly rules: readonly Rule[]; readonly otherwise: Verdict };

export class RulePolicy implements Policy {
  readonly name: string;
  readonly #rules: readonly Rule[];
  readonly #default: Verdict;
  readonly #seen = new Map<string, Judgement>();

  /** @param allowByDefault what happens to commands that no rule fits */
  constructor(name: string, rules: readonly Rule[], allowByDefault: boolean) {
    this.name = name;
    this.#rules = rules;
    this.#default = { allowed: allowByDefault, rule: `default ${allowByDefault ? 'allow' : 'deny'}` };
  }

  judge(name: string, list: ArgumentList): Verdict {
    let judgement = this.#seen.get(name);
    if (judgement === undefined) {
      judgement = name === HMP_COMMAND ? this.#judgeMonitor() : this.#judgeName(name);
      if (name.length <= LONGEST_NAME) {
        if (this.#seen.size >= MOST_NAMES) this.#seen.clear();
        this.#seen.set(name, judgement);
      }
    }
    if (judgement.kind === 'decided') return judgement.verdict;
    return name === HMP_COMMAND ? judgeLine(judgement.rules, list) : judgeArguments(judgement, list);
  }

  #judgeName(name: string): Judgement {
    if (name === 'qmp_capabilities') return { kind: 'decided', verdict: ALWAYS };
    const rules = this.#rules.filter(({ target }) => {
      if (target.kind === 'command') return matchesGlob(target.name, name);
      if (target.kind === 'descriptors') return takesDescriptor(name);
      return target.kind === 'read-only' && isReadOnly(name);
    });
    const [first] = rules;
    if (first === undefined) return { kind: 'decided', verdict: this.#default };
    if (first.conditions.length === 0) return { kind: 'decided', verdict: verdictOf(first) };
    return { kind: 'open', rules, otherwise: this.#default };
  }

  #judgeMonitor(): Judgement {
    const rules = this.#rules.filter(
      ({ target }) => target.kind === 'hmp' || (target.kind === 'command' && target.name === HMP_COMMAND),
    );
    return { kind: 'open', rules, otherwise: NO_HMP_RULE };
  }
}

function verdictOf(rule: Rule): Verdict {
  return { allowed: rule.allow, rule: rule.text };
}

function judgeLine(rules: readonly Rule[], list: ArgumentList): Verdict {
  const { verb, topic } = parseHmpLine(list.string('command-line') ?? '');
  const found = rules.find(
    ({ target }) => target.kind !== 'hmp' || (matchesGlob(target.verb, verb) && matchesGlob(target.topic, topic)),
  );
  return found === undefined ? NO_HMP_RULE : verdictOf(found);
}

function judgeArguments(judgement: Judgement & { kind: 'open' }, list: ArgumentList): Verdict {
  const leaves = list.leaves();
  if (leaves === null) return TOO_LARGE;
  const found = judgement.rules.find((rule) =>
    rule.conditions.every((condition) => isMet(condition, leaves, rule.allow)),
  );
  return found === undefined ? judgement.otherwise : verdictOf(found);
}

/** @param byAll whether all values at the path must be so, or one of them is enough */
function isMet(condition: Condition, leaves: readonly Leaf[], byAll: boolean): boolean {
  let isFound = false;
  for (const leaf of leaves) {
    if (!matchesPath(condition.path, leaf.path)) continue;
    isFound = matchesGlob(condition.value, leaf.text);
    if (isFound !== byAll) return isFound;
  }
  return isFound;
}

/** As `matchesGlob`, over parts: `**` is any number of them. */
function matchesPath(wanted: readonly string[], path: readonly string[]): boolean {
  let at = 0;
  let inWanted = 0;
  let star = -1;
  let starPath = 0;
  while (at < path.length) {
    const part = wanted[inWanted];
    if (part === '**') {
      star = inWanted++;
      starPath = at;
    } else if (part !== undefined && matchesGlob(part, path[at] ?? '')) {
      inWanted++;
      at++;
    } else if (star >= 0) {
      inWanted = star + 1;
      at = ++starPath;
    } else return false;
  }
  while (wanted[inWanted] === '**') inWanted++;
  return inWanted === wanted.length;
}

/** What a listener with `policy=read-only` lets through. */
export function readOnlyPolicy(): Policy {
  return new RulePolicy(
    'read-only',
    [{ text: 'allow @read-only', allow: true, target: { kind: 'read-only' }, conditions: [] }],
    false,
  );
}

/** Allows everything, and tells each rule that a policy would need for it, once. */
export class LearningPolicy implements Policy {
  readonly name = 'learn';
  readonly #learned: (rule: string) => void;
  readonly #seen = new Set<string>();

  /** @param learned is told a rule's text */
  constructor(learned: (rule: string) => void) {
    this.#learned = learned;
  }

  judge(name: string, list: ArgumentList): Verdict {
    if (name !== HMP_COMMAND) {
      // `hmp` would read as a rule for lines.
      if (name !== 'qmp_capabilities' && name !== 'hmp' && PLAIN_WORD.test(name)) this.#learn(name);
      return LEARNING;
    }
    const { verb, topic } = parseHmpLine(list.string('command-line') ?? '');
    if (PLAIN_WORD.test(verb) && (topic === '' || PLAIN_WORD.test(topic)))
      this.#learn(`hmp ${verb} ${topic}`.trimEnd());
    return LEARNING;
  }

  #learn(target: string): void {
    if (this.#seen.has(target) || this.#seen.size >= MOST_NAMES) return;
    this.#seen.add(target);
    this.#learned(`allow ${target}`);
  }
}

const LEARNING: Verdict = { allowed: true, rule: 'learning' };
