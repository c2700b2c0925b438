/**
 * One rule of a policy, in one line of text:
 *
 *     allow query-*                          every command of these names
 *     deny migrate uri=exec:*                the same, if the argument is so
 *     allow device_add driver=virtio-*-pci   several arguments may be named: all of them must be so
 *     deny blockdev-add **.driver=nbd        a path into the arguments: `*` is one member or list item, `**` any number of them
 *         allow hmp info block*                  lines of the human monitor, by verb (and by the word after `info`)
 *         allow @read-only                       everything that the read-only policy allows
 *         deny @descriptors                      commands that take an open file from their client: getfd, add-fd
 *         deny @monitors                         commands that may add, change or remove another monitor (monitor-commands.ts)
 *
 * Texts may be quoted ('…' or "…") if they hold blanks.
 *
 * If a path leads to several values, a deny rule applies when one of them fits, an allow rule only when all of them do:
 * a list that hides one forbidden item among allowed ones gets no further than the item alone. A deny rule also applies to what QEMU
 * takes as equivalent (spellings.ts, file-name.ts); an allow rule takes values as they are written, and no `..` in a name.
 */
import { canonicalVerb } from '../../hmp/line.js';
import { Glob, LONGEST_SEARCHED } from '../../shared/glob.js';

/** The command that carries lines of the human monitor. No pattern meets it, only its own name, and rules for `hmp`. */
export const HMP_COMMAND = 'human-monitor-command';

/** An argument, and the pattern for its values. */
export interface Condition {
  /** Globs for members and list indexes, outermost first; `**` is any number of them. */
  readonly path: readonly string[];
  readonly value: string;
}

export type Target =
  | { readonly kind: 'command'; readonly name: string }
  | { readonly kind: 'hmp'; readonly verb: string; readonly topic: string }
  | { readonly kind: 'read-only' }
  | { readonly kind: 'descriptors' }
  | { readonly kind: 'monitors' };

export interface Rule {
  /** As written, blanks made even. */
  readonly text: string;
  readonly allow: boolean;
  readonly target: Target;
  readonly conditions: readonly Condition[];
}

/** A fault in a rule's text, and its place, counted from 0. */
export interface RuleProblem {
  readonly problem: string;
  readonly at: number;
}

interface Word {
  readonly text: string;
  readonly at: number;
}

function splitWords(text: string): Word[] | RuleProblem {
  const words: Word[] = [];
  let at = 0;
  for (;;) {
    while (text[at] === ' ' || text[at] === '\t') at++;
    if (at === text.length) return words;
    const start = at;
    let word = '';
    while (at < text.length && text[at] !== ' ' && text[at] !== '\t') {
      const quote = text[at];
      if (quote !== '"' && quote !== "'") {
        word += text[at++];
        continue;
      }
      const end = text.indexOf(quote, at + 1);
      if (end < 0) return { problem: `a ${quote} is not closed`, at };
      word += text.slice(at + 1, end);
      at = end + 1;
    }
    words.push({ text: word, at: start });
  }
}

function readTarget(words: Word[]): Target | RuleProblem {
  const first = words.shift();
  if (first === undefined) return { problem: 'a command is missing; write one, or a pattern such as query-*', at: 0 };
  if (first.text.startsWith('@')) {
    if (first.text === '@read-only') return { kind: 'read-only' };
    if (first.text === '@descriptors') return { kind: 'descriptors' };
    if (first.text === '@monitors') return { kind: 'monitors' };
    return { problem: `there is no list ${first.text} (known: @read-only, @descriptors, @monitors)`, at: first.at };
  }
  if (first.text === 'hmp') {
    const verb = words.shift();
    if (verb === undefined) return { problem: 'an HMP command is missing; write one, or hmp *', at: first.at };
    const topic = words.shift();
    if (topic !== undefined && verb.text !== 'info') {
      return { problem: 'HMP commands are judged by their first word alone; only info has a second', at: topic.at };
    }
    const extra = words[0];
    if (extra !== undefined) return { problem: 'nothing can follow here', at: extra.at };
    return { kind: 'hmp', verb: canonicalVerb(verb.text), topic: topic?.text ?? '*' };
  }
  if (first.text.includes('=')) return { problem: 'the command is missing before its arguments', at: first.at };
  return { kind: 'command', name: first.text };
}

const TOO_LONG = `a part with ? in it between two * may have ${LONGEST_SEARCHED} characters`;

function isTooLong(glob: string): boolean {
  return new Glob(glob).isTooLong;
}

function namesOf(target: Target): string[] {
  if (target.kind === 'command') return [target.name];
  return target.kind === 'hmp' ? [target.verb, target.topic] : [];
}

/** Reads one rule. */
export function parseRule(text: string): Rule | RuleProblem {
  const words = splitWords(text);
  if ('problem' in words) return words;
  const normal = words.map((word) => (/[\s"']/.test(word.text) ? JSON.stringify(word.text) : word.text)).join(' ');
  const effect = words.shift();
  if (effect?.text !== 'allow' && effect?.text !== 'deny') {
    return { problem: 'a rule begins with allow or deny', at: effect?.at ?? 0 };
  }
  const named = words[0]?.at ?? 0;
  const target = readTarget(words);
  if ('problem' in target) return target;
  if (namesOf(target).some(isTooLong)) return { problem: TOO_LONG, at: named };
  const conditions: Condition[] = [];
  for (const word of words) {
    const equals = word.text.indexOf('=');
    if (equals <= 0)
      return { problem: `${JSON.stringify(word.text)} is not a condition; write argument=value`, at: word.at };
    if (target.kind === 'read-only' || target.kind === 'descriptors' || target.kind === 'monitors')
      return { problem: 'a list takes no conditions', at: word.at };
    if (target.kind === 'command' && target.name === HMP_COMMAND) {
      return { problem: `the lines of ${HMP_COMMAND} are judged by rules such as "allow hmp info *"`, at: word.at };
    }
    const path = word.text.slice(0, equals).split('.');
    if (path.includes('')) return { problem: 'a path has an empty part', at: word.at };
    const value = word.text.slice(equals + 1);
    if ([...path, value].some(isTooLong)) return { problem: TOO_LONG, at: word.at };
    conditions.push({ path, value });
  }
  return { text: normal, allow: effect.text === 'allow', target, conditions };
}
