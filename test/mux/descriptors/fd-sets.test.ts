import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FdSets } from '../../../dist/mux/descriptors/fd-sets.js';
import type { NameOwner } from '../../../dist/mux/descriptors/names.js';

interface Owner extends NameOwner {
  isConnected: boolean;
}

function client(): Owner {
  // The rest of a client is not looked at.
  return { isConnected: true } as Owner;
}

const leaf = (text: string) => ({ path: ['filename'], text });

describe('a file in a set', () => {
  it('is left over once its client has left, and only once', () => {
    const sets = new FdSets();
    const [one, other] = [client(), client()];
    sets.added({ set: 1, fd: 20 }, one);
    sets.added({ set: 1, fd: 21 }, other);
    sets.added({ set: 2, fd: 22 }, one);
    assert.equal(sets.hasLeftovers, false);
    one.isConnected = false;
    assert.equal(sets.hasLeftovers, true);
    const left = sets.takeLeftovers().map(({ set, fd }) => [set, fd]);
    assert.deepEqual(left, [
      [1, 20],
      [2, 22],
    ]);
    assert.equal(sets.hasLeftovers, false);
    assert.equal(sets.isTracking, true);
    sets.clear();
    assert.equal(sets.isTracking, false);
  });

  const uses: readonly (readonly [string, boolean])[] = [
    ['/dev/fdset/7', true],
    ['drive_add 0 if=none,file=/dev/fdset/7', true],
    ['json:{"driver":"file","filename":"/dev/fdset/7"}', true],
    [String.raw`json:{"filename":"\/dev\/fd\u0073et\/7"}`, true],
    ['/dev/fdset/x', true],
    ['/dev/fdset/8', false],
    ['/dev/fdset/77', false],
    ['/dev/null', false],
    ['json:{"driver":"null-co"}', false],
  ];
  for (const [text, isUse] of uses) {
    it(`is ${isUse ? '' : 'not '}used, as far as is known, by a command that says ${text}`, () => {
      const sets = new FdSets();
      const owner = client();
      sets.added({ set: 7, fd: 20 }, owner);
      sets.mentioned([leaf('x'), leaf(text)]);
      owner.isConnected = false;
      assert.equal(sets.takeLeftovers().length, isUse ? 0 : 1);
      // adding to a set that is used keeps it as it is
      sets.added({ set: 7, fd: 21 }, client());
      assert.equal(sets.isTracking, !isUse);
    });
  }

  it('is used, as far as is known, by a command with too many arguments to be looked at', () => {
    const sets = new FdSets();
    sets.added({ set: 7, fd: 20 }, client());
    sets.mentioned(null);
    assert.equal(sets.isTracking, false);
  });

  it('may be taken out by a client', () => {
    const sets = new FdSets();
    sets.added({ set: 7, fd: 20 }, client());
    sets.removed(7);
    assert.equal(sets.isTracking, false);
  });
});
