/** Policies made of texts, and commands judged as a session judges them. */
import assert from 'node:assert/strict';
import { ArgumentList } from '../../../dist/mux/policy/arguments.js';
import { type Policy, RulePolicy, type Verdict } from '../../../dist/mux/policy/policy.js';
import { parseRule, type Rule } from '../../../dist/mux/policy/policy-rule.js';
import { CommandReader } from '../../../dist/qmp/command.js';
import { Parser } from '../../../dist/qmp/json/parser.js';
import { Scan, Scanner } from '../../../dist/qmp/json/scanner.js';

export function ruleOf(text: string): Rule {
  const parsed = parseRule(text);
  if ('problem' in parsed) throw new Error(`${text}: ${parsed.problem}`);
  return parsed;
}

export function policyOf(rules: readonly string[], allowByDefault = false): Policy {
  return new RulePolicy('test', rules.map(ruleOf), allowByDefault);
}

/** @returns the policy's verdict on a command, given as a client would write it */
export function judge(policy: Policy, text: string): Verdict {
  const scanner = new Scanner();
  const parser = new Parser();
  const reader = new CommandReader();
  scanner.push(Buffer.from(text));
  assert.equal(scanner.next(), Scan.Message, text.slice(0, 200));
  parser.parse(scanner.bytes, scanner.tokens);
  assert.equal(parser.error, null, text.slice(0, 200));
  reader.read(scanner, parser, true);
  assert.equal(reader.shapeError, null, text.slice(0, 200));
  return policy.judge(reader.name, new ArgumentList(scanner.bytes, scanner.tokens, parser, reader.argumentsToken));
}

/** @returns a command's text */
export function command(name: string, args?: unknown): string {
  return JSON.stringify({ execute: name, ...(args === undefined ? {} : { arguments: args }) });
}

/** @returns the text of a line of the human monitor */
export function hmpCommand(line: string): string {
  return command('human-monitor-command', { 'command-line': line });
}
