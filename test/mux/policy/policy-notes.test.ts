/** Notes on a policy: each way that a rule leaves open is named, with a rule that closes it, and with that rule there is no note on it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { HMP_COMMANDS } from '../../../dist/hmp/commands.js';
import {
  HMP_WAYS,
  RUNS_PROGRAMS,
  SAME_ARGUMENT,
  SAME_DEED,
  SHARED_ARGUMENT,
} from '../../../dist/mux/policy/other-ways.js';
import { notesOn } from '../../../dist/mux/policy/policy-notes.js';
import { QEMU_VERSIONS, recordedCommands } from '../../support/qemu/recorded-commands.js';
import { ruleOf } from '../../support/text/policies.js';

function notes(rules: readonly string[], allowByDefault = true): string[] {
  return notesOn(rules.map(ruleOf), allowByDefault);
}

describe('notes on a policy', () => {
  const open: readonly (readonly [rule: string, added: string])[] = [
    ['deny drive-backup', 'deny blockdev-backup'],
    ['deny blockdev-mirror target=*', 'deny drive-mirror'],
    ['deny chardev-add backend.type=socket', 'deny chardev-change'],
    ['deny migrate uri=exec:*', 'deny migrate-incoming uri=exec:*'],
    ['deny migrate uri=exec:*', 'deny migrate-recover uri=exec:*'],
    ['deny migrate uri=exec:*', 'deny migrate-set-parameters cpr-exec-command.**=*'],
    ['deny migrate uri=exec:*', 'deny netdev_add script=*'],
    ['deny eject device=cd0', 'deny eject id=*'],
    ['deny block_resize node-name=n', 'deny block_resize device=*'],
    ['deny block-stream base=/x', 'deny block-stream base-node=*'],
    ['deny job-cancel', 'deny block-job-cancel'],
    ['deny blockdev-add driver=nbd', 'deny blockdev-add **.driver=nbd'],
    ['deny blockdev-add **.driver=nbd', 'deny blockdev-reopen **.driver=nbd'],
    ['deny blockdev-add **.filename=/x', 'deny blockdev-add **.dir=*'],
    ['deny blockdev-add **.filename=/x', 'deny drive-mirror target=/x'],
    ['deny qom-get path=/objects/*', 'deny qom-list-get'],
    ['deny watchdog-set-action', 'deny set-action'],
    ['deny device_add driver=virtio-9p-pci', 'deny device_add driver=virtio-9p-pci-*'],
    ['deny device_add host=0000:01:00.0', 'deny device_add sysfsdev=*'],
    ['deny send-key keys.*.data=ctrl', 'deny send-key keys.*.type=*'],
  ];
  for (const [rule, added] of open) {
    it(`${rule}: add ${added}`, () => {
      const has = (said: readonly string[]) =>
        said.some((note) => note.startsWith(JSON.stringify(rule)) && note.includes(JSON.stringify(added)));
      assert.ok(has(notes([rule])), notes([rule]).join('\n'));
      assert.ok(!has(notes([rule, added])), notes([rule, added]).join('\n'));
      if (!added.includes('=')) assert.ok(!has(notes([rule], false)), 'what is denied by default is not open');
    });
  }

  const lines: readonly (readonly [rule: string, verb: string])[] = [
    ['deny drive-backup', 'drive_backup'],
    ['deny snapshot-load', 'loadvm'],
    ['deny blockdev-snapshot-sync', 'snapshot_blkdev'],
    ['deny migrate uri=exec:*', 'migrate'],
    ['deny object-add', 'object_add'],
    ['deny query-block', 'info block'],
    ['deny system_reset', 'system_reset'],
  ];
  for (const [rule, line] of lines) {
    it(`${rule}: the human monitor's ${line} is open if a rule for hmp allows it`, () => {
      const add = `"deny hmp ${line}"`;
      assert.ok(notes([rule, 'allow hmp *']).some((note) => note.includes(add)));
      assert.ok(notes([rule, 'allow human-monitor-command']).some((note) => note.includes(add)));
      for (const closed of [[rule], [`deny hmp ${line}`, rule, 'allow hmp *']]) {
        assert.ok(!notes(closed).some((note) => note.includes(add)), closed.join(', '));
      }
    });
  }

  it('say that no rule over names of files is a fence', () => {
    assert.match(notes(['deny blockdev-add **.filename=/etc/*'], false).join(), /does not confine: links, mounts/);
    assert.deepEqual(notes(['allow blockdev-add **.driver=file **.filename=/vm/*'], false), []);
  });

  it('name the drivers that a rule over names of files lets pass beside them', () => {
    assert.match(
      notes(['allow blockdev-add **.filename=/vm/*'], false).join(),
      /vvfat's; add the condition \*\*\.driver=file/,
    );
  });

  it('name a host that nobody meant if there is a star in one', () => {
    assert.match(notes(['allow migrate uri=tcp:10.0.0.*']).join(), /a host such as 10\.0\.0\.9\.evil\.example;/);
    assert.match(notes(['allow migrate uri=tcp:10.0.0.*:4444']).join(), /10\.0\.0\.9\.evil\.example/);
    assert.match(notes(['allow migrate uri=tcp:*.vm.example:*']).join(), /evil\.example:1,\.vm\.example/);
    assert.match(notes(['allow migrate channels.*.addr.host=10.0.*']).join(), /evil/);
    for (const rule of ['uri=tcp:10.0.0.9:*', 'uri=tcp:*', 'uri=unix:/run/*', '**.host=*.vm.example', '**.host=*']) {
      assert.deepEqual(notes([`allow migrate ${rule}`]), [], rule);
    }
  });

  it('say nothing of a policy that allows the commands it names and denies the rest', () => {
    assert.deepEqual(
      notes(['allow @read-only', 'allow blockdev-*', 'allow migrate uri=unix:/run/vm/*', 'allow hmp info *'], false),
      [],
    );
  });
});

describe('the table of other ways', () => {
  const known = new Map<string, Set<string>>();
  for (const version of QEMU_VERSIONS) {
    for (const [name, members] of recordedCommands(version)) {
      known.set(name, new Set([...(known.get(name) ?? []), ...members]));
    }
  }

  it('names commands, arguments and HMP commands that QEMU has', () => {
    const commands = [
      ...SAME_DEED.flatMap(([one, other]) => [one, other]),
      ...SAME_ARGUMENT.map(([name]) => name),
      ...SHARED_ARGUMENT.flatMap(([name, , other]) => [name, other]),
      ...RUNS_PROGRAMS.map(([name]) => name),
      ...HMP_WAYS.map(([name]) => name),
    ];
    for (const name of commands) assert.ok(known.has(name), name);
    for (const [name, one, other] of SAME_ARGUMENT) {
      // Its properties are those of the device, which the schema does not have.
      if (name === 'device_add') continue;
      for (const argument of [one, other]) {
        const first = argument.split('.').find((part) => !part.includes('*')) ?? '';
        assert.ok(known.get(name)?.has(first), `${name} ${argument}`);
      }
    }
    for (const [name, argument] of RUNS_PROGRAMS)
      assert.ok(known.get(name)?.has(argument.split('.')[0] ?? ''), `${name} ${argument}`);
    for (const [, verb] of HMP_WAYS) assert.ok(HMP_COMMANDS.has(verb), verb);
  });

  it('has all commands that name a device by device and by id, or by device and by node', () => {
    for (const [name, members] of known) {
      for (const [one, other] of [
        ['device', 'id'],
        ['device', 'node-name'],
        ['base', 'base-node'],
        ['top', 'top-node'],
      ] as const) {
        if (!members.has(one) || !members.has(other) || NOT_THE_SAME.has(name)) continue;
        assert.ok(
          SAME_ARGUMENT.some((row) => row[0] === name && [one, other].every((each) => row.includes(each))),
          `${name} takes ${one} and ${other}: nobody has looked at it`,
        );
      }
    }
  });

  it('is the only place besides spellings.ts: no other argument is taken in two ways, and only transactions carry commands', () => {
    for (const version of QEMU_VERSIONS) {
      const carrying = [...recordedCommands(version).keys()]
        .filter((name) => name.includes('/'))
        .map((name) => name.split('/')[0]);
      assert.deepEqual([...new Set(carrying)], ['transaction'], version);
    }
  });

  it('is in docs/reference/policy.md', () => {
    const page = readFileSync(new URL('../../../docs/reference/policy.md', import.meta.url), 'utf8');
    for (const [one, other] of SAME_DEED) {
      assert.ok(
        page.split('\n').some((line) => line.includes(`\`${one}\``) && line.includes(`\`${other}\``)),
        `${one}, ${other}`,
      );
    }
    for (const [name, argument] of RUNS_PROGRAMS)
      assert.ok(page.includes(name) && page.includes(argument.split('.')[0] ?? ''), argument);
  });
});

/** `device` is something else there: the name of a copy's node, a snapshot's id, a job. */
const NOT_THE_SAME: ReadonlySet<string> = new Set([
  'drive-mirror',
  'blockdev-snapshot-delete-internal-sync',
  'netdev_add',
  'object-add',
  'blockdev-add',
  'device_add',
]);
