/** Lines for a stream that takes some, none, or fails. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LineSink, MOST_WAITING } from '../../../dist/daemon/observe/line-sink.js';

/** A stream whose behaviour the test sets, and that keeps the text it took. */
class Stream {
  text = '';
  /** How many bytes it takes with each call; an error's code to fail with. */
  takes: number | string = Number.POSITIVE_INFINITY;
  /** How many it takes in all. */
  room = Number.POSITIVE_INFINITY;
  calls = 0;

  readonly write = (bytes: Uint8Array): number => {
    this.calls++;
    if (typeof this.takes === 'string') throw Object.assign(new Error('write'), { code: this.takes });
    const taken = Math.min(this.takes, this.room, bytes.length);
    this.room -= taken;
    this.text += Buffer.from(bytes.subarray(0, taken)).toString();
    return taken;
  };
}

const notice = (lines: number, reason: string) => `lost ${lines} ${reason}\n`;

describe('a sink of lines', () => {
  it('writes a line at once', () => {
    const stream = new Stream();
    new LineSink(stream.write, notice).write('a\n');
    assert.equal(stream.text, 'a\n');
  });

  it('keeps lines in their order for a stream that takes none, or a part of one, now', () => {
    const stream = new Stream();
    const sink = new LineSink(stream.write, notice);
    stream.room = 3;
    sink.write('abcdef\n');
    sink.write('2\n');
    assert.equal(stream.text, 'abc');
    stream.room = Number.POSITIVE_INFINITY;
    stream.takes = 2;
    sink.write('3\n');
    assert.equal(stream.text, 'abcdef\n2\n3\n');
    assert.equal(sink.lost, 0);
  });

  it('goes on by itself when the stream takes lines again', async () => {
    const stream = new Stream();
    const sink = new LineSink(stream.write, notice);
    stream.takes = 0;
    sink.write('a\n');
    stream.takes = Number.POSITIVE_INFINITY;
    await sink.end();
    assert.equal(stream.text, 'a\n');
  });

  it('holds no more than its bound, counts the lines beyond it, and says so where they were lost', () => {
    const stream = new Stream();
    const sink = new LineSink(stream.write, notice);
    stream.takes = 0;
    const line = `${'x'.repeat(1023)}\n`;
    const room = MOST_WAITING / line.length;
    for (let count = 0; count < room + 7; count++) sink.write(line);
    assert.equal(sink.lost, 7);
    stream.takes = Number.POSITIVE_INFINITY;
    sink.write('next\n');
    assert.equal(stream.text, `${line.repeat(room)}lost 7 nobody reads them\nnext\n`);
  });

  it('takes one line of any length if none waits', () => {
    const stream = new Stream();
    const line = `${'x'.repeat(2 * MOST_WAITING)}\n`;
    new LineSink(stream.write, notice).write(line);
    assert.equal(stream.text, line);
  });

  for (const code of ['ENOSPC', 'EIO', 'EPIPE']) {
    it(`drops lines that cannot be written for ${code}, and says how many when it can`, () => {
      const stream = new Stream();
      const sink = new LineSink(stream.write, notice);
      stream.takes = code;
      sink.write('1\n');
      sink.write('2\n');
      assert.equal(sink.lost, 2);
      stream.takes = Number.POSITIVE_INFINITY;
      sink.write('3\n');
      sink.write('4\n');
      assert.equal(stream.text, `3\nlost 2 ${code}\n4\n`);
      assert.equal(sink.lost, 2);
    });
  }

  it('says it by itself, without another line', async () => {
    const stream = new Stream();
    const sink = new LineSink(stream.write, notice);
    stream.takes = 'ENOSPC';
    sink.write('1\n');
    stream.takes = Number.POSITIVE_INFINITY;
    await sink.end();
    assert.equal(stream.text, 'lost 1 ENOSPC\n');
  });

  it('begins a new line after one whose rest was lost', () => {
    const stream = new Stream();
    const sink = new LineSink(stream.write, notice);
    stream.room = 3;
    sink.write('abcdef\n');
    stream.takes = 'ENOSPC';
    sink.write('lost\n');
    stream.takes = Number.POSITIVE_INFINITY;
    stream.room = Number.POSITIVE_INFINITY;
    sink.write('whole\n');
    assert.equal(stream.text, 'abc\nwhole\nlost 2 ENOSPC\n');
    assert.equal(sink.lost, 2);
  });

  it('is not held up at its end by a stream that takes nothing', async () => {
    const stream = new Stream();
    const sink = new LineSink(stream.write, notice);
    stream.takes = 0;
    sink.write('1\n');
    await sink.end();
    assert.equal(stream.text, '');
  });

  it('asks a stream that fails once for each line, and now and then by itself', async () => {
    const stream = new Stream();
    const sink = new LineSink(stream.write, notice);
    stream.takes = 'EIO';
    for (let count = 0; count < 1000; count++) sink.write('x\n');
    assert.equal(stream.calls, 1000);
    await sink.end();
    assert.ok(stream.calls < 1010);
  });
});
