/**
 * The schema of the QEMU that is installed, walked for what may hold a secret: string members of commands whose names sound like one are
 * redacted, or have been looked at and are none; so have the commands whose answers have values of any type.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Redactor } from '../../../dist/audit/redact/redaction.js';
import { PROPERTY_ANSWERS } from '../../../dist/audit/redact/redaction-table.js';
import type { Scope } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { QEMU_VERSIONS } from '../../support/qemu/recorded-commands.js';

/** As qapi/introspect.json has it, of all kinds together. */
interface Entry {
  readonly name: string;
  readonly 'meta-type': string;
  readonly 'json-type'?: string;
  readonly 'arg-type'?: string;
  readonly 'ret-type'?: string;
  readonly 'element-type'?: string;
  readonly tag?: string;
  readonly members?: readonly (string | { readonly name?: string; readonly type?: string })[];
  readonly variants?: readonly { readonly case: string; readonly type: string }[];
}

const SOUNDS_SECRET = /pass|pwd|secret|key|token|cookie|cred|auth|data|nonce|seed|priv|osk|psk|session|login|user/;
/** A name that is no part of any other text. */
const VALUE = 'hush-hush-0123456789';

/** Names of string members that stay in the log, and why. */
const NO_SECRET: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'cookie-secret key-secret new-secret old-secret password-secret passwordid proxy-password-secret':
      'ids of secret objects',
    keyid: 'the id of a secret object that another one is encrypted with',
    'tls-authz tls-creds': 'ids of objects',
    'user username proxy-username': 'who, not by what',
    'session-file data-file': 'names of files',
    'host-data id-auth': 'of sev-snp-guest: what attestation shows to the world',
    data: 'ringbuf-write, base64 or not: what a serial line is to say; of an object that is a secret it is redacted',
    mnonce: 'of sev attestation: given to show that a report is new',
  }).flatMap(([names, why]) => names.split(' ').map((name) => [name, why] as const)),
);

/** Commands whose answers have values of any type, and why they hold no secret. */
const OPEN_ANSWERS: ReadonlyMap<string, string> = new Map([
  ['query-qmp-schema', 'defaults'],
  ['qom-list', 'default values of classes'],
  ['qom-list-properties', 'default values of classes'],
  ['device-list-properties', 'default values of classes'],
  ['query-cpu-model-expansion', 'features of CPUs'],
  ['query-cpu-model-baseline', 'features of CPUs'],
]);

async function schemaOf(scope: Scope) {
  const vm = await startQemu(scope);
  // the shape is that of qapi/introspect.json
  const entries = (await vm.execute('query-qmp-schema')) as Entry[];
  const isRecorded = QEMU_VERSIONS.some((version) => vm.version.startsWith(`${version}.`));
  return { vm, isRecorded, types: new Map(entries.map((entry) => [entry.name, entry])), entries };
}

interface Found {
  readonly name: string;
  /** The arguments, with the value in this member. */
  readonly args: object;
}

/** Walks all that a command takes. Each type is entered once. */
function* secretSounding(
  types: ReadonlyMap<string, Entry>,
  name: string,
  build: (members: object) => object,
  entered: Set<string>,
): Generator<Found> {
  const type = types.get(name);
  if (type === undefined || entered.has(name)) return;
  entered.add(name);
  if (type['element-type'] !== undefined) {
    yield* secretSounding(types, type['element-type'], (members) => build([members]), entered);
  }
  for (const member of type.members ?? []) {
    if (typeof member === 'string' || member.type === undefined) continue;
    const { name: key, type: of } = member;
    if (key === undefined) {
      yield* secretSounding(types, of, build, entered);
      continue;
    }
    if (SOUNDS_SECRET.test(key) && takesText(types, of)) yield { name: key, args: build({ [key]: VALUE }) };
    yield* secretSounding(types, of, (members) => build({ [key]: members }), entered);
  }
  for (const { case: value, type: of } of type.variants ?? []) {
    yield* secretSounding(types, of, (members) => build({ [type.tag ?? 'type']: value, ...members }), entered);
  }
}

function takesText(types: ReadonlyMap<string, Entry>, name: string): boolean {
  const type = types.get(name);
  if (type?.['meta-type'] === 'builtin') return type['json-type'] === 'string' || type['json-type'] === 'value';
  if (type?.['meta-type'] !== 'alternate') return false;
  return (type.members ?? []).some(
    (member) => typeof member !== 'string' && member.type !== undefined && takesText(types, member.type),
  );
}

/** Whether a value of any type can be in it. */
function isOpen(types: ReadonlyMap<string, Entry>, name: string, entered = new Set<string>()): boolean {
  const type = types.get(name);
  if (type === undefined || entered.has(name)) return false;
  entered.add(name);
  if (type['meta-type'] === 'builtin') return type['json-type'] === 'value';
  const parts = [
    type['element-type'] ?? '',
    ...(type.members ?? []).map((member) => (typeof member === 'string' ? '' : (member.type ?? ''))),
    ...(type.variants ?? []).map((variant) => variant.type),
  ];
  return parts.some((part) => isOpen(types, part, entered));
}

describe('redaction, held against the schema of the installed QEMU', { skip: missing('qemu') }, () => {
  it('takes out each member that sounds like a secret, but for those that were looked at', async (t) => {
    const { vm, isRecorded, types, entries } = await schemaOf(t);
    const redactor = new Redactor();
    const removed = new Set<string>();
    const kept = new Map<string, string>();
    for (const { 'meta-type': kind, name: command, 'arg-type': args = '' } of entries) {
      if (kind !== 'command') continue;
      for (const found of secretSounding(types, args, (members) => members, new Set())) {
        const raw = Buffer.from(JSON.stringify({ execute: command, arguments: found.args }));
        const message = redactor.command(command, raw)?.message ?? null;
        const text = message === null ? raw.toString() : Buffer.from(message.bytes).toString();
        if (text.includes(VALUE)) kept.set(found.name, raw.toString());
        else removed.add(found.name);
      }
    }
    t.diagnostic(`QEMU ${vm.version}, redacted: ${[...removed].sort().join(' ')}`);
    t.diagnostic(`kept: ${[...kept.keys()].sort().join(' ')}`);
    for (const name of ['password', 'cookie', 'secret', 'data']) assert.ok(removed.has(name), name);
    const unseen = [...kept].filter(([name]) => !NO_SECRET.has(name));
    for (const [name, example] of unseen) t.diagnostic(`nobody has looked at ${name}: ${example}`);
    // Of a version that was looked at there is none.
    if (isRecorded) assert.deepEqual(unseen, []);
  });

  it('searches the answer of each command that can return a property', async (t) => {
    const { vm, isRecorded, types, entries } = await schemaOf(t);
    const open = entries
      .filter((entry) => entry['meta-type'] === 'command' && isOpen(types, entry['ret-type'] ?? ''))
      .map(({ name }) => name);
    t.diagnostic(`QEMU ${vm.version}, values of any type in answers: ${open.sort().join(' ')}`);
    assert.ok(open.includes('qom-get'));
    const unseen = open.filter((name) => !PROPERTY_ANSWERS.has(name) && !OPEN_ANSWERS.has(name));
    for (const name of unseen) t.diagnostic(`nobody has looked at what ${name} tells`);
    if (isRecorded) assert.deepEqual(unseen, []);
  });
});
