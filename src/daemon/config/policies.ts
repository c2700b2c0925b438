/**
 * The policies of a daemon: named ones from its config, and files of rules.
 *
 * A file of rules has one rule in a line (mux/policy-rule.ts has their form), `#` begins a comment, and a line `default allow` or
 * `default deny` says what happens to commands that no rule fits; deny if there is none.
 */

import { closeSync, writeSync } from 'node:fs';
import { openLogFile } from '../../audit/log/log-place.js';
import { LearningPolicy, type Policy, RulePolicy, readOnlyPolicy } from '../../mux/policy/policy.js';
import { parseRule, type Rule } from '../../mux/policy/policy-rule.js';
import type { Log } from '../../shared/log.js';
import { describeSystemError } from '../../system/system-error.js';
import { ConfigError } from './config-error.js';
import type { PolicyChoice } from './options/listener-types.js';
import { readTextFile } from './text-file.js';

/** A policy of the config: its rules, read. */
export interface PolicyRules {
  readonly rules: readonly Rule[];
  readonly allowByDefault: boolean;
}

/** Reads a file of rules. @throws ConfigError */
export function readPolicyFile(file: string): PolicyRules {
  let content: string;
  try {
    content = readTextFile(file, true);
  } catch (error) {
    throw new ConfigError(`${file}: cannot read this policy: ${describeSystemError(error)}`, { cause: error });
  }
  return parsePolicyFile(content, file);
}

/** @param file its name, for messages. @throws ConfigError */
export function parsePolicyFile(content: string, file: string): PolicyRules {
  const rules: Rule[] = [];
  let allowByDefault: boolean | null = null;
  for (const [index, line] of content.split('\n').entries()) {
    const text = line.replace(/(^|\s)#.*$/, '').trim();
    if (text === '') continue;
    const where = `${file}:${index + 1}`;
    const preset = /^default\s+(\S+)$/.exec(text)?.[1];
    if (preset !== undefined) {
      if (preset !== 'allow' && preset !== 'deny') throw new ConfigError(`${where}: default is allow or deny`);
      if (allowByDefault !== null) throw new ConfigError(`${where}: default is given twice`);
      allowByDefault = preset === 'allow';
      continue;
    }
    const rule = parseRule(text);
    if ('problem' in rule) throw new ConfigError(`${where}: ${JSON.stringify(text)}: ${rule.problem}`);
    rules.push(rule);
  }
  return { rules, allowByDefault: allowByDefault ?? false };
}

/**
 * @param named the policies of the config
 * @returns the policy chosen by `choice`; null for none: everything is allowed, and nothing has to be judged.
 * @throws ConfigError
 */
export function policyFor(choice: PolicyChoice, named: ReadonlyMap<string, PolicyRules>, log: Log): Policy | null {
  switch (choice.kind) {
    case 'full':
      return null;
    case 'read-only':
      return readOnlyPolicy();
    case 'learn':
      return learning(choice.file, log);
    case 'named': {
      const rules = named.get(choice.name);
      if (rules === undefined) throw new ConfigError(`there is no policy ${JSON.stringify(choice.name)}`);
      return new RulePolicy(choice.name, rules.rules, rules.allowByDefault);
    }
    case 'file': {
      const { rules, allowByDefault } = readPolicyFile(choice.file);
      return new RulePolicy(choice.file, rules, allowByDefault);
    }
  }
}

/** @returns the rules that a policy is made from, to see whether they have changed; null if it has none. @throws ConfigError */
export function rulesOf(choice: PolicyChoice, named: ReadonlyMap<string, PolicyRules>): PolicyRules | null {
  if (choice.kind === 'named') return named.get(choice.name) ?? null;
  return choice.kind === 'file' ? readPolicyFile(choice.file) : null;
}

function learning(file: string | null, log: Log): Policy {
  const known = new Set<string>();
  if (file !== null) {
    try {
      // An existing file is continued.
      append(file, '');
      for (const line of readTextFile(file, true).split('\n')) known.add(line.trim());
    } catch (error) {
      throw new ConfigError(`${file}: cannot write what policy=learn learns: ${describeSystemError(error)}`, {
        cause: error,
      });
    }
  }
  return new LearningPolicy((rule) => {
    if (known.has(rule)) return;
    known.add(rule);
    log.info({ rule }, 'policy=learn: a policy would need this rule');
    if (file === null) return;
    try {
      append(file, `${rule}\n`);
    } catch (error) {
      log.error({ file, rule, error: describeSystemError(error) }, 'cannot write what policy=learn has learnt');
    }
  });
}

/** Appends to a file of our own, opened as an audit log is: it never writes to a file that somebody else has put there. */
function append(file: string, text: string): void {
  // Rules are no secret: others may read them.
  const fd = openLogFile(file, () => undefined, 'the file');
  try {
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}
