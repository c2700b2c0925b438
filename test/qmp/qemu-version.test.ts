import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isAtLeast, isBefore } from '../../dist/qmp/qemu-version.js';

describe('the version of a QEMU', () => {
  it('is compared part by part, as numbers', () => {
    const order = ['7.2.22', '8.0.0', '9.0.4', '9.1.0', '9.2.50', '10.0.13', '10.2.2', '11.0.0', '11.1.3', '12.0.0'];
    order.forEach((version, index) => {
      const [major = 0, minor = 0] = version.split('.').map(Number);
      order.forEach((other, otherIndex) => {
        assert.equal(isAtLeast(other, major, minor), otherIndex >= index, `${other} and ${version}`);
        assert.equal(isBefore(other, major, minor), otherIndex < index, `${other} and ${version}`);
      });
    });
  });

  it('is neither old nor new if it cannot be read', () => {
    for (const version of ['unknown', '', 'undefined.undefined.undefined', 'v10.2', '-']) {
      assert.equal(isAtLeast(version, 0, 0), false, version);
      assert.equal(isBefore(version, 99, 0), false, version);
    }
  });
});
