/**
 * A listener's policy decides which commands may run: it judges every command before it is queued.
 *
 * - The first rule that fits decides; if none does, the policy's default does.
 * - Commands are judged by their decoded name, the one QEMU looks up, out-of-band ones like any other.
 * - A line of the human monitor can do anything, so no pattern over command names meets `human-monitor-command`: only its own
 *     name does, and rules for `hmp`. If none of these fits, it is denied, whatever the default.
 * - A transaction carries commands: it is allowed if it is itself, and each of its actions as the command of that name.
 *
 * A decision that depends on the name alone is made once for each name.
 */
import { parseHmpLine } from '../../hmp/line.js';
import { readArguments } from './argument-text.js';
import type { ArgumentList, Leaf } from './arguments.js';
import { HMP_COMMAND, type Rule } from './policy-rule.js';
import { JudgedArguments, RuleMatcher } from './rule-matcher.js';

/** A decision, and what made it. */
export interface Verdict {
  readonly allowed: boolean;
  /** The text of the rule that decided, or its substitute. */
  readonly rule: string;
  /** The action of a transaction that is denied, by its type. */
  readonly action?: string;
}

export interface Policy {
  /** As in `policy=NAME`. */
  readonly name: string;
  /**
   * Judges one command. Called for every command of a client, so it is fast for names it has seen.
   * @param name the command's decoded name
   * @param list its arguments; only read if a rule looks at them
   */
  judge(name: string, list: ArgumentList): Verdict;
}

/** Names remembered at most: clients choose them. */
const MOST_NAMES = 1024;
const LONGEST_NAME = 128;
/** The names of commands. Nothing else is learnt: a client could otherwise write rules. */
const PLAIN_WORD = /^[A-Za-z_][\w.-]{0,127}$/;

/** The latest end of a line's verb, or of the word after `info`: a person can type no longer line (util/readline.c, 4095 characters). */
const LONGEST_HMP_NAME = 4095;
/** The command that carries others. */
const TRANSACTION = 'transaction';

/** Negotiation is qmpmux's own affair; when it is complete, QEMU answers a further one with an error. */
const ALWAYS: Verdict = { allowed: true, rule: 'negotiation is always allowed' };
const TOO_LARGE: Verdict = { allowed: false, rule: 'arguments too large to be judged' };
const NO_HMP_RULE: Verdict = { allowed: false, rule: 'no hmp rule matches' };

/** How a name is judged: at once, or by the rules that remain once the name is known. */
type Judgement =
  | { readonly kind: 'decided'; readonly verdict: Verdict }
  | { readonly kind: 'open'; readonly rules: readonly OpenRule[]; readonly otherwise: Verdict };

interface OpenRule {
  readonly matcher: RuleMatcher;
  /** Whether it fits whatever the arguments are. */
  readonly isSure: boolean;
}

export class RulePolicy implements Policy {
  readonly name: string;
  readonly #rules: readonly RuleMatcher[];
  readonly #default: Verdict;
  readonly #seen = new Map<string, Judgement>();

  /** @param allowByDefault what happens to commands that no rule fits */
  constructor(name: string, rules: readonly Rule[], allowByDefault: boolean) {
    this.name = name;
    this.#rules = rules.map((rule) => new RuleMatcher(rule));
    this.#default = { allowed: allowByDefault, rule: `default ${allowByDefault ? 'allow' : 'deny'}` };
  }

  judge(name: string, list: ArgumentList): Verdict {
    if (name === HMP_COMMAND) return this.#judgeLine(list);
    const judgement = this.#judgementOf(name);
    const verdict = judgement.kind === 'decided' ? judgement.verdict : judgeOpen(judgement, name, list.leaves());
    return name === TRANSACTION && verdict.allowed ? this.#judgeActions(verdict, list) : verdict;
  }

  #judgementOf(name: string): Judgement {
    let judgement = this.#seen.get(name);
    if (judgement !== undefined) return judgement;
    judgement = this.#judgeName(name);
    if (name.length <= LONGEST_NAME) {
      if (this.#seen.size >= MOST_NAMES) this.#seen.clear();
      this.#seen.set(name, judgement);
    }
    return judgement;
  }

  #judgeName(name: string): Judgement {
    if (name === 'qmp_capabilities') return { kind: 'decided', verdict: ALWAYS };
    const rules: OpenRule[] = [];
    for (const matcher of this.#rules) {
      const concern = matcher.concerns(name);
      if (concern !== 'never') rules.push({ matcher, isSure: concern === 'always' });
    }
    const [first] = rules;
    if (first === undefined) return { kind: 'decided', verdict: this.#default };
    if (first.isSure) return { kind: 'decided', verdict: verdictOf(first.matcher.rule) };
    return { kind: 'open', rules, otherwise: this.#default };
  }

  /** @param verdict that on the transaction itself; it holds unless one of its actions is denied */
  #judgeActions(verdict: Verdict, list: ArgumentList): Verdict {
    const actions = actionsOf(list);
    if (actions === null) return TOO_LARGE;
    const isNamed = this.#rules.some(({ rule }) => rule.text === verdict.rule && namesActions(rule));
    for (const { type, leaves } of actions) {
      const each = this.#judgeAction(type, leaves);
      // `abort` does nothing but make all others fail: there is no command of this name that a default could be about.
      const isExempt = each === this.#default && (isNamed || type === 'abort');
      if (!each.allowed && !isExempt) return { ...each, action: type };
    }
    return verdict;
  }

  #judgeAction(type: string, leaves: readonly Leaf[]): Verdict {
    if (type === HMP_COMMAND) return NO_HMP_RULE;
    const judgement = this.#judgementOf(type);
    return judgement.kind === 'decided' ? judgement.verdict : judgeOpen(judgement, type, leaves);
  }

  #judgeLine(list: ArgumentList): Verdict {
    const line = list.string('command-line') ?? '';
    const { verb, topic, end } = parseHmpLine(line);
    // Only the beginning of a long line is known: its verb, or its topic, may come after that.
    const isUnknown = topic === '' && (verb === '' || verb === 'info') && line.length > LONGEST_HMP_NAME;
    if (end > LONGEST_HMP_NAME || isUnknown) return TOO_LARGE;
    const found = this.#rules.find((matcher) => {
      const { target } = matcher.rule;
      return target.kind === 'command' ? target.name === HMP_COMMAND : matcher.meetsLine(verb, topic);
    });
    return found === undefined ? NO_HMP_RULE : verdictOf(found.rule);
  }
}

/** @param leaves null if there are too many */
function judgeOpen(judgement: Judgement & { kind: 'open' }, name: string, leaves: readonly Leaf[] | null): Verdict {
  if (leaves === null) return TOO_LARGE;
  const judged = new JudgedArguments(name, leaves);
  if (!judged.isPlain) return TOO_LARGE;
  const found = judgement.rules.find(({ matcher, isSure }) => isSure || matcher.meets(judged));
  return found === undefined ? judgement.otherwise : verdictOf(found.matcher.rule);
}

function verdictOf(rule: Rule): Verdict {
  return { allowed: rule.allow, rule: rule.text };
}

/** @returns whether a rule that allows transactions also decides which actions they may have: all of them fit it. */
function namesActions({ conditions }: Rule): boolean {
  return conditions.some(({ path }) => ['actions.*.type', '**.type'].includes(path.join('.')));
}

interface Action {
  readonly type: string;
  readonly leaves: Leaf[];
}

/**
 * The parts of a transaction (qapi/transaction.json): for each action its type, and its `data` as the arguments of the command of that
 * name. QEMU refuses one without a type, or with two.
 * @returns null if it is too large to be judged
 */
function actionsOf(list: ArgumentList): Action[] | null {
  const leaves = list.leaves();
  if (leaves === null) return null;
  const types = new Map<string, string[]>();
  const data = new Map<string, Leaf[]>();
  for (const { path, text } of leaves) {
    const [argument, index, member] = path;
    if (argument !== 'actions' || index === undefined) continue;
    if (member === 'type') addTo(types, index, text);
    else if (member === 'data' && path.length > 3) addTo(data, index, { path: path.slice(3), text });
  }
  return [...types].flatMap(([index, names]) => names.map((type): Action => ({ type, leaves: data.get(index) ?? [] })));
}

function addTo<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

/** The policy of a listener with `policy=read-only`. */
export function readOnlyPolicy(): Policy {
  return new RulePolicy(
    'read-only',
    [{ text: 'allow @read-only', allow: true, target: { kind: 'read-only' }, conditions: [] }],
    false,
  );
}

/** @returns whether a client under this policy (null: under none) may add another monitor, from QEMU 11.1 on, by a command or a line. */
export function mayAddMonitors(policy: Policy | null): boolean {
  // A policy that learns allows everything, and must not learn from this.
  if (policy === null || policy instanceof LearningPolicy) return true;
  const asked: readonly (readonly [name: string, args: string])[] = [
    ['object-add', '{"qom-type":"monitor-qmp","id":"m","chardev":"c"}'],
    ['object-add', '{"qom-type":"monitor-hmp","id":"m","chardev":"c"}'],
    [HMP_COMMAND, '{"command-line":"object_add monitor-qmp,id=m,chardev=c"}'],
  ];
  return asked.some(([name, args]) => {
    const list = readArguments(args);
    return list !== null && policy.judge(name, list).allowed;
  });
}

/** Allows everything, and reports each rule that a policy would need for it, once. */
export class LearningPolicy implements Policy {
  readonly name = 'learn';
  readonly #learned: (rule: string) => void;
  readonly #seen = new Set<string>();

  /** @param learned receives a rule's text */
  constructor(learned: (rule: string) => void) {
    this.#learned = learned;
  }

  judge(name: string, list: ArgumentList): Verdict {
    if (name !== HMP_COMMAND) {
      this.#learnCommand(name);
      if (name === TRANSACTION)
        for (const { type } of actionsOf(list) ?? []) if (type !== 'abort') this.#learnCommand(type);
      return LEARNING;
    }
    const { verb, topic } = parseHmpLine(list.string('command-line') ?? '');
    if (PLAIN_WORD.test(verb) && (topic === '' || PLAIN_WORD.test(topic)))
      this.#learn(`hmp ${verb} ${topic}`.trimEnd());
    return LEARNING;
  }

  #learnCommand(name: string): void {
    // `hmp` would read as a rule for lines.
    if (name !== 'qmp_capabilities' && name !== 'hmp' && PLAIN_WORD.test(name)) this.#learn(name);
  }

  #learn(target: string): void {
    if (this.#seen.has(target) || this.#seen.size >= MOST_NAMES) return;
    this.#seen.add(target);
    this.#learned(`allow ${target}`);
  }
}

const LEARNING: Verdict = { allowed: true, rule: 'learning' };
