import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as loopTurned } from 'node:timers/promises';
import { PacedReader } from '../../dist/client/paced-reader.js';

/** A reader and what it has told, in order. @param taken what is done with each message */
function recorded(taken: (reader: PacedReader, text: string) => void = () => {}) {
  const told: string[] = [];
  const reader: PacedReader = new PacedReader(1024, {
    read: (bytes) => told.push(`read ${bytes.toString()}`),
    take: (bytes) => {
      told.push(`take ${bytes.toString()}`);
      taken(reader, bytes.toString());
    },
    malformed: (reason) => told.push(`malformed: ${reason}`),
  });
  return { reader, told };
}

describe('a paced reader', () => {
  it('gives out messages as they come', () => {
    const { reader, told } = recorded();
    reader.push(Buffer.from('{"a":1}{"b":2}{"c'));
    assert.deepEqual(told, ['read {"a":1}', 'take {"a":1}', 'read {"b":2}', 'take {"b":2}']);
    assert.equal(reader.isInsideMessage, true);
  });

  it('that is held reads nothing more in this turn of the event loop, whatever comes', async () => {
    const { reader, told } = recorded((self, text) => {
      if (text === '{"a":1}') self.hold();
    });
    reader.push(Buffer.from('{"a":1}{"b":2}'));
    reader.push(Buffer.from('{"c":3}'));
    assert.equal(reader.isHolding, true);
    assert.deepEqual(told, ['read {"a":1}', 'take {"a":1}']);
    await loopTurned();
    assert.equal(reader.isHolding, false);
    assert.deepEqual(told.slice(2), ['read {"b":2}', 'take {"b":2}', 'read {"c":3}', 'take {"c":3}']);
  });

  it('gives out a message that was handed back again, before later ones, but reports only once that it was read', async () => {
    const { reader, told } = recorded((self, text) => {
      if (text === '{"a":1}') self.answered();
      else if (self.hasAnswered) self.hold(Buffer.from(text));
    });
    reader.push(Buffer.from('{"a":1}{"b":2}{"c":3}'));
    await loopTurned();
    assert.deepEqual(told, [
      'read {"a":1}',
      'take {"a":1}',
      'read {"b":2}',
      'take {"b":2}',
      'take {"b":2}',
      'read {"c":3}',
      'take {"c":3}',
    ]);
  });

  it('forgets with the next chunk that a command was answered: chunks come in turns of their own', () => {
    const { reader } = recorded((self) => {
      self.answered();
    });
    reader.push(Buffer.from('{"a":1}'));
    assert.equal(reader.hasAnswered, true);
    reader.push(Buffer.from(' '));
    assert.equal(reader.hasAnswered, false);
  });

  it('that was stopped gives out nothing more, not even messages it held', async () => {
    const { reader, told } = recorded((self, text) => {
      self.hold(Buffer.from(text));
    });
    reader.push(Buffer.from('{"a":1}'));
    reader.stop();
    await loopTurned();
    reader.push(Buffer.from('{"b":2}'));
    assert.deepEqual(told, ['read {"a":1}', 'take {"a":1}']);
  });

  it('describes malformed input', () => {
    const { reader, told } = recorded();
    reader.push(Buffer.from('{"a":1}x'));
    assert.equal(told.length, 3);
    assert.match(told[2] ?? '', /^malformed: /);
  });
});
