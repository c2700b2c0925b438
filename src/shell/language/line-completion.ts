/** Completion of a line with everything there is to know: the schema's words, and the names of the live VM. */

import type { JsonObject } from '../../qmp/json/value.js';
import type { Schema } from '../../qmp/schema.js';
import { type Candidate, complete } from './completion.js';
import type { HmpCommands } from './hmp-commands.js';
import { type Ask, type LiveSource, liveNames, sourceOfArgument } from './live-source.js';

export interface LineCompletion {
  /** The beginning of the replaced part, which ends at the cursor. */
  readonly from: number;
  readonly candidates: readonly Candidate[];
}

/** The commands known of a server. */
export interface Vocabulary {
  /** Null where it cannot be asked, as of the guest agent. */
  readonly schema: Schema | null;
  /** Names of commands, where there is no schema. */
  readonly names: readonly string[];
}

/** Words of the shell itself used in place of a command. */
export const HELP = 'help';

/**
 * @param line up to the cursor
 * @param actions of an open transaction, or null
 * @param own commands of the shell itself, such as `.save`
 */
export async function completeLine(
  { schema, names }: Vocabulary,
  line: string,
  actions: readonly JsonObject[] | null,
  own: readonly string[],
  ask: Ask,
): Promise<LineCompletion> {
  if (actions === null && line.startsWith('.') && !/\s/.test(line)) return { from: 0, candidates: starting(own, line) };
  const help = actions === null ? /^\s*help\s+/.exec(line) : null;
  if (help !== null) return completeHelp(schema, names, line, help[0].length);
  if (schema === null) return completeName(names, line);
  const { from, candidates, context } = complete(schema, line, line.length, actions);
  if (context.kind === 'command') {
    const typed = line.slice(from);
    return { from, candidates: actions === null ? [...candidates, ...starting([HELP], typed)] : candidates };
  }
  if (context.kind === 'nothing' || candidates.length > 0) {
    const driver = context.kind === 'argument' ? context.arguments['driver'] : undefined;
    if (context.kind !== 'argument' || context.command !== 'device_add' || typeof driver !== 'string')
      return { from, candidates };
  }
  const source = sourceOf(context);
  if (source === null) return { from, candidates };
  const live = await liveNames(source, line.slice(from), ask);
  const given = context.kind === 'argument' ? Object.keys(context.arguments).map((name) => `${name}=`) : [];
  const there = new Set([...given, ...candidates.map(({ text }) => text)]);
  return { from, candidates: [...candidates, ...live.filter(({ text }) => !there.has(text))] };
}

type Context = ReturnType<typeof complete>['context'];

function sourceOf(context: Context): LiveSource | null {
  if (context.kind === 'value') return sourceOfArgument(context.command, context.path, context.type, context.arguments);
  if (context.kind !== 'argument' || context.command !== 'device_add') return null;
  const { driver } = context.arguments;
  return typeof driver === 'string' ? { kind: 'device-property', type: driver } : null;
}

/** As `completeLine`, for a line of the human monitor. */
export async function completeHmpLine(commands: HmpCommands, line: string, ask: Ask): Promise<LineCompletion> {
  const { from, candidates, source } = commands.complete(line, line.length);
  if (source === null) return { from, candidates };
  return { from, candidates: [...candidates, ...(await liveNames(source, line.slice(from), ask))] };
}

function completeHelp(schema: Schema | null, names: readonly string[], line: string, from: number): LineCompletion {
  const rest = line.slice(from);
  if (!/\s/.test(rest)) {
    const known = schema === null ? names : [...schema.commands.keys(), ...schema.events.keys()];
    return { from, candidates: starting(known, rest) };
  }
  if (schema === null) return { from: line.length, candidates: [] };
  const inner = complete(schema, rest, rest.length);
  return { from: from + inner.from, candidates: inner.candidates };
}

function completeName(names: readonly string[], line: string): LineCompletion {
  const typed = line.trimStart();
  if (/\s/.test(typed)) return { from: line.length, candidates: [] };
  return { from: line.length - typed.length, candidates: starting([...names, HELP], typed) };
}

function starting(words: readonly string[], beginning: string): Candidate[] {
  return words
    .filter((word) => word.startsWith(beginning))
    .sort()
    .map((text) => ({ text, goesOn: false }));
}
