/** The commands of several QEMUs and their arguments, as recorded by record-commands.ts. */
import { readFileSync } from 'node:fs';

export const QEMU_VERSIONS = ['7.2', '10.0', '11.1'] as const;

interface Entry {
  readonly name: string;
  readonly 'meta-type': string;
  readonly 'arg-type'?: string;
  readonly 'element-type'?: string;
  readonly tag?: string;
  readonly members?: readonly { readonly name?: string; readonly type?: string }[];
  readonly variants?: readonly { readonly case: string; readonly type: string }[];
}

/** @returns for each command its arguments by name; actions of transactions as `transaction/TYPE` */
export function recordedCommands(version: (typeof QEMU_VERSIONS)[number]): ReadonlyMap<string, readonly string[]> {
  const text = readFileSync(new URL(`../../../test/mux/policy/commands/qemu-${version}.txt`, import.meta.url), 'utf8');
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const [name = '', ...members] = line.split(' ');
      return [name, members];
    }),
  );
}

/**
 * Reads a schema: also finds arguments that carry commands: a list of objects distinguished by a `type`, most of whose values are commands.
 * @param schema the result of query-qmp-schema
 */
export function commandLines(schema: unknown): string[] {
  // the shape is that of qapi/introspect.json
  const entries = schema as readonly Entry[];
  const types = new Map(entries.map((entry) => [entry.name, entry]));
  const commands = entries.filter((entry) => entry['meta-type'] === 'command');
  const names = new Set(commands.map(({ name }) => name));
  const lines: string[] = [];
  for (const { name, 'arg-type': argType = '' } of commands) {
    const args = types.get(argType);
    const members = membersOf(args, types);
    lines.push([name, ...members.map((member) => member.name ?? '').sort()].join(' '));
    for (const { type = '' } of members) {
      const item = types.get(types.get(type)?.['element-type'] ?? '');
      const cases = item?.variants?.map((variant) => variant.case) ?? [];
      const carried = cases.filter((each) => names.has(each));
      if (carried.length > 0) lines.push(...cases.map((each) => `${name}/${each}`));
    }
  }
  return lines.sort();
}

function membersOf(entry: Entry | undefined, types: ReadonlyMap<string, Entry>): { name?: string; type?: string }[] {
  if (entry === undefined) return [];
  const found = new Map<string, { name?: string; type?: string }>();
  for (const member of entry.members ?? []) if (member.name !== undefined) found.set(member.name, member);
  for (const variant of entry.variants ?? []) {
    for (const member of membersOf(types.get(variant.type), types)) found.set(member.name ?? '', member);
  }
  return [...found.values()];
}
