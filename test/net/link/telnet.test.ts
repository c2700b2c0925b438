import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TelnetFilter } from '../../../dist/net/link/telnet.js';

describe('the input of a telnet client', () => {
  // AYT; WONT ECHO; DO SGA; window size with a doubled 255 in it; a doubled 255; a command that ends the text
  const stream = [
    [0x61, 255, 246, 0x62, 255, 252, 1, 255, 253, 3, 0x63],
    [255, 250, 31, 0, 80, 255, 255, 0, 24, 255, 240, 0x64, 255, 255, 0x65],
  ].flat();
  const expected = [0x61, 0x62, 0x63, 0x64, 255, 0x65];

  it('is all that is left of it', () => {
    assert.deepEqual(Array.from(new TelnetFilter().filter(Uint8Array.from(stream))), expected);
  });

  it('is the same however it is cut', () => {
    for (let size = 1; size < 5; size++) {
      const filter = new TelnetFilter();
      const kept: number[] = [];
      for (let at = 0; at < stream.length; at += size) {
        kept.push(...filter.filter(Uint8Array.from(stream.slice(at, at + size))));
      }
      assert.deepEqual(kept, expected);
    }
  });
});
