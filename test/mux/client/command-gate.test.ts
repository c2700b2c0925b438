import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClientOptions } from '../../../dist/mux/client/client-options.js';
import { CommandGate } from '../../../dist/mux/client/command-gate.js';
import { CommandIntake } from '../../../dist/mux/client/command-intake.js';
import { ClientDescriptors } from '../../../dist/mux/descriptors/client-descriptors.js';
import { RulePolicy } from '../../../dist/mux/policy/policy.js';
import { policyOf } from '../../support/text/policies.js';
import { anyClient, idleOwner, type PartsOptions, SessionParts } from '../../support/world/session-parts.js';
import { bytesOf, FakeDescriptor } from '../../support/world/world.js';

const denyAll = new RulePolicy('none', [], false);

interface Situation {
  readonly parts?: PartsOptions;
  readonly client?: Partial<ClientOptions>;
  /** Whether QEMU has gone. */
  readonly isLost?: boolean;
  /** Whether a descriptor comes with the command. */
  readonly descriptor?: FakeDescriptor;
}

/** @returns the fate of one command, in words */
function fateOf(input: string, situation: Situation = {}): string {
  const parts = new SessionParts(situation.parts);
  if (situation.isLost === true) parts.qemu.closed('gone');
  const intake = new CommandIntake(parts, idleOwner(), parts.qemu.dialect);
  const descriptors = new ClientDescriptors();
  if (situation.descriptor !== undefined) descriptors.arrive(0, [situation.descriptor], null);
  const options = { listener: 'unix:/a', peer: { kind: 'unix' as const }, ...situation.client };
  const gate = new CommandGate(parts, anyClient, descriptors, options);
  intake.push(bytesOf(input));
  const found = intake.next(true);
  assert.ok(found.kind === 'command');
  const fate = gate.judge(found.message, intake.readBytes);
  switch (fate.kind) {
    case 'passed on':
      return fate.use === null ? 'passed on' : `passed on with ${fate.use.descriptor?.path ?? 'no descriptor'}`;
    case 'carried out here':
      return 'carried out here';
    case 'refused':
      return `refused by ${fate.rule}: ${fate.desc}`;
  }
}

describe('a command that was read', () => {
  const ours = '{"execute":"__org.qmpmux_query-status"}';
  const getfd = '{"execute":"getfd","arguments":{"fdname":"a"}}';

  it('is passed on to QEMU if nothing is against it', () => {
    assert.equal(fateOf('{"execute":"stop"}'), 'passed on');
    assert.equal(fateOf('{"exec-oob":"yank"}'), 'passed on');
    assert.equal(fateOf(ours), 'passed on');
  });

  it('is carried out here if it is one of ours and its client may have them, with or without QEMU', () => {
    const client = { extensions: true };
    assert.equal(fateOf(ours, { client }), 'carried out here');
    assert.equal(fateOf(ours, { client, isLost: true }), 'carried out here');
    assert.equal(fateOf('{"execute":"__org.qmpmux_nothing"}', { client }), 'passed on');
  });

  it('is judged by its client’s policy before anything else', () => {
    const client = { policy: denyAll, extensions: true };
    assert.equal(
      fateOf(ours, { client, isLost: true }),
      "refused by policy none: default deny: Command '__org.qmpmux_query-status' is not allowed here (policy none)",
    );
    const long = 'x'.repeat(150);
    assert.equal(
      fateOf(`{"execute":"${long}"}`, { client }),
      `refused by policy none: default deny: Command '${long.slice(0, 100)}' is not allowed here (policy none)`,
    );
  });

  it('is refused for an action that it carries, which the record and the client’s error name', () => {
    const client = { policy: policyOf(['deny drive-backup'], true) };
    const actions = '[{"type":"abort","data":{}},{"type":"drive-backup","data":{}}]';
    assert.equal(
      fateOf(`{"execute":"transaction","arguments":{"actions":${actions}}}`, { client }),
      "refused by policy test: deny drive-backup, for action drive-backup: Action 'drive-backup' of command 'transaction' is not allowed here (policy test)",
    );
  });

  it('is refused while QEMU is away', () => {
    assert.equal(
      fateOf('{"execute":"stop"}', { isLost: true }),
      'refused by no upstream: qmpmux has lost QEMU and waits for it; this command was not executed',
    );
  });

  it('is refused out-of-band if the QEMU that is connected now knows no such thing', () => {
    assert.equal(
      fateOf('{"exec-oob":"yank"}', { parts: { oob: false } }),
      'refused by no oob: the QEMU that is connected now does not support out-of-band commands',
    );
  });

  it('takes the descriptor that came with it; one that is denied closes it', () => {
    const descriptor = new FakeDescriptor('/disk');
    assert.equal(fateOf(getfd, { descriptor, parts: { carries: true } }), 'passed on with /disk');
    assert.equal(descriptor.isClosed, false);
    const other = new FakeDescriptor('/other');
    assert.match(
      fateOf(getfd, { descriptor: other, client: { policy: denyAll } }),
      /^refused by policy none: default deny/,
    );
    assert.equal(other.isClosed, true);
    const third = new FakeDescriptor('/third');
    assert.match(fateOf(getfd, { descriptor: third }), /^refused by no way for descriptors/);
    assert.equal(third.isClosed, true);
    assert.equal(
      fateOf(getfd, { client: { noDescriptors: 'not here' } }),
      'refused by no descriptors on this socket: not here',
    );
  });
});
