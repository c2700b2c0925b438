import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Gathering } from '../../../dist/mux/upstream/gathering.js';

/** How often in a row it is worthwhile to look again, at most `most` times. */
function looks(gathering: Gathering, inFlight: number, waiting: number, most = 100): number {
  let count = 0;
  while (count < most && gathering.isWorthwhile(inFlight, waiting, 1, 0)) count++;
  return count;
}

describe('waiting for more commands', () => {
  it('is not done where few are under way', () => {
    const gathering = new Gathering();
    for (let waiting = 1; waiting <= 31; waiting++) assert.equal(looks(gathering, 0, waiting), 0);
    assert.equal(looks(gathering, 15, 16), 0);
  });

  it('is done until half of what is usual is there', () => {
    const gathering = new Gathering();
    assert.equal(gathering.isWorthwhile(0, 64, 1, 0), false);
    for (const waiting of [1, 8, 20, 31]) assert.equal(gathering.isWorthwhile(30, waiting, 1, 0), true, `${waiting}`);
    assert.equal(gathering.isWorthwhile(30, 33, 1, 0), false);
  });

  it('ends when two looks in a row bring nothing, and is begun anew for what comes later', () => {
    const gathering = new Gathering();
    assert.equal(looks(gathering, 50, 50), 0);
    for (let again = 0; again < 3; again++) assert.equal(looks(gathering, 40, 2), 2);
    assert.equal(gathering.isWorthwhile(40, 3, 1, 0), true);
    assert.equal(gathering.isWorthwhile(40, 4, 1, 0), true);
    assert.equal(looks(gathering, 40, 5), 2);
  });

  it('is not done for a crowd with a command each', () => {
    const gathering = new Gathering();
    assert.equal(gathering.isWorthwhile(0, 100, 51, 0), false);
    assert.equal(gathering.isWorthwhile(50, 10, 51, 0), false);
    assert.equal(gathering.isWorthwhile(50, 10, 40, 0), true);
  });

  it('is done for no longer than a moment, however much comes', () => {
    const gathering = new Gathering();
    assert.equal(gathering.isWorthwhile(0, 100, 1, 1000), false);
    for (const [waiting, now] of [
      [1, 2000],
      [2, 2100],
      [3, 2200],
    ] as const) {
      assert.equal(gathering.isWorthwhile(40, waiting, 1, now), true);
    }
    assert.equal(gathering.isWorthwhile(40, 4, 1, 2201), false);
    assert.equal(gathering.isWorthwhile(44, 1, 1, 2300), true);
  });

  it('never asks for more than a good number', () => {
    const gathering = new Gathering();
    assert.equal(gathering.isWorthwhile(512, 5000, 1, 0), false);
    assert.equal(gathering.isWorthwhile(0, 128, 1, 0), false);
    assert.equal(gathering.isWorthwhile(0, 127, 1, 0), true);
  });

  it('follows when less becomes usual, and forgets with the upstream', () => {
    const gathering = new Gathering();
    assert.equal(gathering.isWorthwhile(0, 100, 1, 0), false);
    let asked = 0;
    while (gathering.isWorthwhile(0, 2, 1, 0) || asked % 3 !== 2) asked++;
    for (let at = 0; at < 500; at++) gathering.isWorthwhile(0, 2, 1, 0);
    assert.equal(looks(gathering, 0, 2), 0);
    assert.equal(gathering.isWorthwhile(0, 100, 1, 0), false);
    gathering.reset();
    assert.equal(looks(gathering, 0, 2), 0);
  });
});
