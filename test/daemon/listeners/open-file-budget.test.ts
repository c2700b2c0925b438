import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OpenFileBudget, openFilesLimit } from '../../../dist/daemon/listeners/open-file-budget.js';

describe('the descriptors of clients', () => {
  it('are as many as the process may open, less those it needs itself', () => {
    assert.equal(new OpenFileBudget(1, 1024).limit, 952);
    assert.equal(new OpenFileBudget(100, 1024).limit, 160);
    assert.equal(new OpenFileBudget(1, 10).limit, 1);
  });

  it('are taken and given back', () => {
    const descriptors = new OpenFileBudget(1, 74);
    assert.deepEqual([descriptors.take(), descriptors.take(), descriptors.take()], [true, true, false]);
    descriptors.giveBack();
    assert.equal(descriptors.take(), true);
  });

  it('are limited by the kernel’s number', () => {
    assert.equal(openFilesLimit('Limit  Soft\nMax open files            4096   8192   files\n'), 4096);
    assert.equal(openFilesLimit('Max open files            unlimited   unlimited   files\n'), Number.POSITIVE_INFINITY);
    assert.equal(openFilesLimit(''), 1024);
    assert.ok(openFilesLimit() > 0);
  });
});
