import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { demanded } from '../daemon/programs.js';
import { cannotMount } from './filesystem.js';

describe('tests that mount a file system', () => {
  test('are skipped for others than root; root fails where they are demanded and cannot be run', (t) => {
    const fault = 'no file system can be mounted here';
    demanded(t, false);
    assert.equal(cannotMount(false, false), 'needs root to mount a file system');
    assert.equal(cannotMount(true, fault), fault);
    demanded(t, true);
    assert.equal(cannotMount(true, false), false);
    assert.equal(cannotMount(false, false), 'needs root to mount a file system');
    assert.throws(() => cannotMount(true, fault), /^Error: no file system .*, and QMPMUX_REQUIRE_QEMU is set$/);
  });
});
