/** The other names of device types that rules know, against those that the installed QEMU lists. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { missing, qemuProgram } from '../../support/daemon/programs.js';
import { command, judge, policyOf } from '../../support/text/policies.js';

describe('a rule against a type of device', { skip: missing('qemu') }, () => {
  it('holds for each other name that QEMU has for it, either way', (context) => {
    const { stdout } = spawnSync(qemuProgram, ['-device', 'help'], { encoding: 'utf8' });
    const aliases = [...stdout.matchAll(/^name "([^"]+)".*alias "([^"]+)"/gm)].map(
      ([, name = '', alias = '']) => [name, alias] as const,
    );
    context.diagnostic(aliases.map(([name, alias]) => `${alias}: ${name}`).join(', '));
    assert.ok(aliases.length > 10);
    for (const pair of aliases) {
      for (const [denied, asked] of [pair, [pair[1], pair[0]]] as const) {
        assert.equal(
          judge(policyOf([`deny device_add driver=${denied}`], true), command('device_add', { driver: asked })).allowed,
          false,
          asked,
        );
      }
    }
  });
});
