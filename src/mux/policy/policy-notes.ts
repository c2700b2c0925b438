/**
 * Pitfalls for authors of policies: for each rule that denies, what it leaves open and which rule closes that; for each rule that
 * allows, whether its pattern takes more than it seems to. Notes do not change the policy.
 */
import { HMP_COMMANDS } from '../../hmp/commands.js';
import { Glob } from '../../shared/glob.js';
import { HMP_WAYS, RUNS_PROGRAMS, SAME_ARGUMENT, SAME_DEED, SHARED_ARGUMENT } from './other-ways.js';
import { type Condition, HMP_COMMAND, type Rule } from './policy-rule.js';
import { RuleMatcher } from './rule-matcher.js';

/** Commands that the tables know. */
const KNOWN: ReadonlySet<string> = new Set([
  ...SAME_DEED.flatMap(([one, other]) => [one, other]),
  ...SAME_ARGUMENT.map(([command]) => command),
  ...SHARED_ARGUMENT.flatMap(([command, , other]) => [command, other]),
  ...HMP_WAYS.map(([command]) => command),
]);

/** @returns notes for people, one sentence or two each, in the order of the rules */
export function notesOn(rules: readonly Rule[], allowByDefault: boolean): string[] {
  const whole = new Reach(rules, allowByDefault);
  const notes = new Set<string>();
  for (const rule of rules) {
    if (rule.target.kind !== 'command' || rule.target.name === HMP_COMMAND) continue;
    const found = rule.allow ? [...hostNotes(rule), ...driverNotes(rule)] : denialNotes(rule, rule.target.name, whole);
    for (const note of found) notes.add(note);
  }
  return [...notes];
}

/** Commands that a policy may allow, with some arguments or other. */
class Reach {
  readonly #rules: readonly RuleMatcher[];
  readonly #allowByDefault: boolean;

  constructor(rules: readonly Rule[], allowByDefault: boolean) {
    this.#rules = rules.map((rule) => new RuleMatcher(rule));
    this.#allowByDefault = allowByDefault;
  }

  allows(command: string): boolean {
    for (const matcher of this.#rules) {
      const concern = matcher.concerns(command);
      if (concern !== 'never' && matcher.rule.allow) return true;
      if (concern === 'always') return false;
    }
    return this.#allowByDefault;
  }

  allowsLine(verb: string, topic: string): boolean {
    for (const matcher of this.#rules) {
      const { target, allow } = matcher.rule;
      const isWhole = target.kind === 'command' && target.name === HMP_COMMAND;
      if (isWhole || matcher.meetsLine(verb, topic)) return allow;
    }
    return false;
  }

  /** @returns whether a rule denies this command for this value of this argument */
  denies(command: string, argument: string, value: string): boolean {
    return this.#rules.some((matcher) => {
      const { allow, conditions } = matcher.rule;
      if (allow || matcher.concerns(command) === 'never') return false;
      return conditions.some(({ path, value: glob }) => path.join('.') === argument && new Glob(glob).matches(value));
    });
  }

  /** @returns whether a rule that denies looks at this argument of this command */
  looksAt(command: string, argument: string): boolean {
    return this.#rules.some((matcher) => {
      const { allow, conditions } = matcher.rule;
      if (allow || matcher.concerns(command) === 'never') return false;
      return conditions.some(({ path }) => path.join('.') === argument || path[path.length - 1] === lastOf(argument));
    });
  }
}

function lastOf(argument: string): string {
  return argument.slice(argument.lastIndexOf('.') + 1);
}

function denialNotes(rule: Rule, pattern: string, reach: Reach): string[] {
  const notes: string[] = [];
  const glob = new Glob(pattern);
  const names = [...KNOWN].filter((name) => glob.matches(name));
  if (!/[*?]/.test(pattern) && !KNOWN.has(pattern)) names.push(pattern);
  const opens = (what: string, rules: readonly string[]): void => {
    notes.push(`${quoted(rule.text)} leaves ${what} open; add ${[...new Set(rules)].map(quoted).join(', ')}`);
  };
  const others = names.flatMap((name) => otherCommands(name)).filter((other) => reach.allows(other));
  if (others.length > 0) {
    opens(
      `${listOf(others)}, which may do the same,`,
      others.map((other) => `deny ${other}`),
    );
  }
  for (const name of names) {
    if (!reach.allows(name)) continue;
    for (const [command, ...pair] of SAME_ARGUMENT) {
      if (command !== name) continue;
      const one = pair.find((argument) => valueOf(rule, argument) !== null);
      const other = pair.find((argument) => argument !== one);
      if (one === undefined || other === undefined || reach.looksAt(name, other)) continue;
      opens(`the same by the argument ${other}`, [`deny ${name} ${other}=*`]);
    }
  }
  for (const [command, argument, other, otherArgument] of SHARED_ARGUMENT) {
    if (!names.includes(command) || names.includes(other) || !reach.allows(other)) continue;
    const found = argument === '**' ? (rule.conditions[0] ?? null) : valueOf(rule, argument);
    if (found === null || reach.looksAt(other, otherArgument)) continue;
    const path = otherArgument.endsWith('**') ? `**.${lastOf(found.path.join('.'))}` : otherArgument;
    if (reach.looksAt(other, path)) continue;
    opens(`the same by ${other}`, [`deny ${other} ${path}=${found.value}`]);
  }
  const lines = names.flatMap((name) => linesOf(name)).filter(([verb, topic]) => reach.allowsLine(verb, topic));
  if (lines.length > 0) {
    opens(
      `the human monitor's ${listOf(lines.map((line) => line.join(' ').trimEnd()))}`,
      lines.map((line) => `deny hmp ${line.join(' ').trimEnd()}`),
    );
  }
  for (const condition of rule.conditions) notes.push(...conditionNotes(rule, names, condition, reach));
  return notes;
}

function conditionNotes(rule: Rule, names: readonly string[], { path, value }: Condition, reach: Reach): string[] {
  const notes: string[] = [];
  const argument = path.join('.');
  if (value.startsWith('exec:')) {
    const open = RUNS_PROGRAMS.filter(([command, other]) => reach.allows(command) && !reach.looksAt(command, other));
    if (open.length > 0) {
      const rules = open.map(([command, other]) => quoted(`deny ${command} ${other}=*`));
      notes.push(`${quoted(rule.text)} leaves other ways open to have QEMU run a program; add ${rules.join(', ')}`);
    }
  }
  if (value.startsWith('/') || value.startsWith('file:/') || value.startsWith('*/')) {
    notes.push(
      `${quoted(rule.text)} does not confine: links, mounts and files that are already open still lead to what it names. ` +
        'Instead, allow the folders that may be used, and deny by default',
    );
  }
  const isInTree = names.find((name) => /^blockdev-(add|reopen|create)$/.test(name));
  const anywhere = `**.${lastOf(argument)}`;
  if (
    isInTree !== undefined &&
    path[0] !== '**' &&
    argument !== 'node-name' &&
    !reach.denies(isInTree, anywhere, value)
  ) {
    notes.push(
      `${quoted(rule.text)} leaves nodes inside others open; add ${quoted(`deny ${isInTree} ${anywhere}=${value}`)}`,
    );
  }
  if (names.includes('device_add') && argument === 'driver' && /^virtio-[a-z0-9-]{1,40}-pci$/.test(value)) {
    const others = [`${value}-transitional`, `${value}-non-transitional`].filter(
      (other) => !reach.denies('device_add', argument, other),
    );
    if (others.length > 0) {
      notes.push(
        `${quoted(rule.text)} leaves ${listOf(others)} open; add ${quoted(`deny device_add driver=${value}-*`)}`,
      );
    }
  }
  return notes;
}

/** A star in a host takes the rest of another host's name, and its dots. */
function hostNotes(rule: Rule): string[] {
  return rule.conditions.flatMap(({ path, value }) => {
    const member = path[path.length - 1] ?? '';
    const isUri = value.startsWith('tcp:') || value.startsWith('rdma:');
    const host = isUri ? (value.split(':')[1] ?? '') : /^(host|hostname)$/.test(member) ? value : '';
    if (!host.includes('*') || host === '*' || (!isUri && host.lastIndexOf('*') === 0)) return [];
    const wrong = host.endsWith('*')
      ? host.replace(/\*$/, '9.evil.example')
      : `evil.example:1,${host.replaceAll('*', '')}`;
    return [
      `${quoted(rule.text)} also takes a host such as ${wrong}; write a rule for each host, without * in its name`,
    ];
  });
}

/** A rule about some names of files lets a node pass that names its file in another member. */
function driverNotes({ target, conditions, text }: Rule): string[] {
  if (target.kind !== 'command' || !/^blockdev-(add|reopen|create)$/.test(target.name)) return [];
  const isOfFiles = conditions.some(({ path }) => path[path.length - 1] === 'filename');
  if (!isOfFiles || conditions.some(({ path }) => path.join('.') === '**.driver')) return [];
  return [
    `${quoted(text)} also takes nodes of other drivers beside or around the file, such as vvfat's; add the condition **.driver=file`,
  ];
}

function otherCommands(name: string): string[] {
  return SAME_DEED.flatMap(([one, other]) => (one === name ? [other] : other === name ? [one] : []));
}

/** @returns the HMP commands with the effect of a QMP command: verb and topic */
function linesOf(name: string): (readonly [verb: string, topic: string])[] {
  const lines: (readonly [string, string])[] = HMP_WAYS.filter(([command]) => command === name).map(([, verb]) => [
    verb,
    '',
  ]);
  for (const line of HMP_COMMANDS.keys()) {
    const [verb = '', topic = ''] = line.split(' ');
    const said = verb === 'info' ? `query-${topic}` : verb;
    if (said.replaceAll('_', '-') === name.replaceAll('_', '-')) lines.push([verb, topic]);
  }
  return lines;
}

function valueOf({ conditions }: Rule, argument: string): Condition | null {
  const last = lastOf(argument);
  return conditions.find(({ path }) => path[path.length - 1] === last) ?? null;
}

function listOf(names: readonly string[]): string {
  return [...new Set(names)].join(', ');
}

function quoted(rule: string): string {
  return JSON.stringify(rule);
}
