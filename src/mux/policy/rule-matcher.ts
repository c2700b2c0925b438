/**
 * A rule in use: its prepared patterns, and the arguments they are compared with.
 *
 * A rule that allows takes arguments as they are written. A rule that denies also applies to what QEMU takes as equivalent (spellings.ts)
 * and, if its pattern has a `/`, to other ways to write a file's name and to names that may lead anywhere (file-name.ts).
 */

import { Glob, PathGlob } from '../../shared/glob.js';
import type { Leaf } from './arguments.js';
import { takesDescriptor } from './descriptor-commands.js';
import { hasUpward, readFileName, withoutEmptyParts } from './file-name.js';
import { concernsMonitors, isMonitorType, isMonitorVerb } from './monitor-commands.js';
import type { Condition, Rule } from './policy-rule.js';
import { isReadOnly } from './read-only.js';
import { FILE_MEMBERS, isTakenApart, otherSpellings } from './spellings.js';

/** No member of any command has a longer name: arguments with one are not judged. */
const LONGEST_MEMBER = 256;

/** The arguments of one command, or of one action of a transaction, while they are judged. */
export class JudgedArguments {
  readonly written: readonly Leaf[];
  readonly #command: string;
  #others: readonly Leaf[] | null | undefined;

  constructor(command: string, written: readonly Leaf[]) {
    this.#command = command;
    this.written = written;
  }

  /** Whether no member has a name that no command's has, and that would be compared again for each value below it. */
  get isPlain(): boolean {
    return this.written.every(({ path }) => path.every((part) => part.length <= LONGEST_MEMBER));
  }

  /** Other ways to write them; null if these cannot be found out. */
  get others(): readonly Leaf[] | null {
    if (this.#others === undefined) this.#others = otherSpellings(this.#command, this.written);
    return this.#others;
  }
}

export class RuleMatcher {
  readonly rule: Rule;
  readonly #name: Glob | null;
  readonly #verb: Glob | null;
  readonly #topic: Glob | null;
  readonly #conditions: readonly ConditionMatcher[];

  constructor(rule: Rule) {
    this.rule = rule;
    const { target } = rule;
    this.#name = target.kind === 'command' ? new Glob(target.name) : null;
    this.#verb = target.kind === 'hmp' ? new Glob(target.verb) : null;
    this.#topic = target.kind === 'hmp' ? new Glob(target.topic) : null;
    this.#conditions = rule.conditions.map((condition) => new ConditionMatcher(condition, rule.allow));
  }

  /** @returns whether the rule concerns a command of this name, always or only for some arguments */
  concerns(name: string): 'always' | 'by arguments' | 'never' {
    switch (this.rule.target.kind) {
      case 'command':
        if (this.#name?.matches(name) !== true) return 'never';
        return this.#conditions.length === 0 ? 'always' : 'by arguments';
      case 'read-only':
        return isReadOnly(name) ? 'always' : 'never';
      case 'descriptors':
        return takesDescriptor(name) ? 'always' : 'never';
      case 'monitors': {
        const concern = concernsMonitors(name);
        return concern === 'by type' ? 'by arguments' : concern;
      }
      case 'hmp':
        return 'never';
    }
  }

  /** @returns whether the arguments of a command that the rule concerns fit it */
  meets(judged: JudgedArguments): boolean {
    if (this.rule.target.kind === 'monitors') {
      return judged.written.some(
        ({ path, text }) => path.length === 1 && path[0] === 'qom-type' && isMonitorType(text),
      );
    }
    return this.#conditions.every((condition) => condition.isMet(judged));
  }

  /** @returns whether the rule concerns a line of the human monitor */
  meetsLine(verb: string, topic: string): boolean {
    // `@monitors` allows no line: a verb does not say which object it is used on.
    if (this.rule.target.kind === 'monitors') return !this.rule.allow && isMonitorVerb(verb);
    return this.#verb?.matches(verb) === true && this.#topic?.matches(topic) === true;
  }
}

class ConditionMatcher {
  readonly #path: PathGlob;
  readonly #allow: boolean;
  readonly #value: Glob;
  readonly #isLiteral: boolean;
  /** The part before the first `/` of a pattern over names; null if it has none. */
  readonly #scheme: string | null;
  /** The pattern written as names are. */
  readonly #plain: Glob;

  constructor({ path, value }: Condition, allow: boolean) {
    this.#path = new PathGlob(path);
    this.#allow = allow;
    this.#value = new Glob(value);
    this.#isLiteral = !/[*?]/.test(value);
    const slash = value.indexOf('/');
    const before = value.slice(0, Math.max(slash, 0));
    this.#scheme = slash < 0 ? null : /[*?]/.test(before) ? '' : before;
    this.#plain = new Glob(before + withoutEmptyParts(value.slice(before.length)));
  }

  isMet(judged: JudgedArguments): boolean {
    if (!this.#allow) {
      const { written, others } = judged;
      // Arguments that cannot be read are denied by every rule that would have to read them.
      return others === null || [written, others].some((leaves) => leaves.some((leaf) => this.#denies(leaf)));
    }
    let isFound = false;
    for (const leaf of judged.written) {
      if (!this.#path.matches(leaf.path)) continue;
      if (!this.#allows(leaf.text)) return false;
      isFound = true;
    }
    return isFound;
  }

  /** `..` may lead out of the pattern's place, unless the pattern names all or just this. */
  #allows(text: string): boolean {
    return this.#value.matches(text) && (this.#isLiteral || this.#value.isAnything || !hasUpward(text));
  }

  #denies(leaf: Leaf): boolean {
    if (!this.#path.matches(leaf.path)) return false;
    const { text, path } = leaf;
    if (this.#value.matches(text)) return true;
    const scheme = this.#scheme;
    if (scheme === null || !text.startsWith(scheme)) return false;
    // If a text holds options that were taken apart, these are looked at instead.
    if (scheme === '' && isTakenApart(text)) return false;
    const name = readFileName(text.slice(scheme.length));
    if (name.readings.some((each) => this.#value.matches(scheme + each) || this.#plain.matches(scheme + each)))
      return true;
    // A pattern that leads to any member concerns files only if the member names one.
    return name.isAnywhere && (this.#path.lastName !== null || FILE_MEMBERS.has(path[path.length - 1] ?? ''));
  }
}
