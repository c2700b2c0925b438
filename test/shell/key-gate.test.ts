import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KeyGate } from '../../dist/shell/key-gate.js';

const BEGIN = '\x1b[200~';
const END = '\x1b[201~';

class Typist {
  readonly passed: string[] = [];
  interrupts = 0;
  readonly gate = new KeyGate((keys) => this.passed.push(keys.toString()));

  constructor() {
    this.gate.onInterrupt = () => this.interrupts++;
  }

  push(text: string): this {
    this.gate.push(Buffer.from(text));
    return this;
  }

  /** What came through since the last call. */
  take(): string {
    return this.passed.splice(0).join('');
  }

  /** Opens the gate as often as something waits. @returns what came through each time */
  steps(): string[] {
    const steps: string[] = [];
    for (this.gate.open(); ; this.gate.open()) {
      const step = this.take();
      if (step === '') return steps;
      steps.push(step);
    }
  }
}

describe('the gate before the line editor', () => {
  it('lets a line through, and the next only when it is opened again', () => {
    const typist = new Typist().push('stop\rcont\rque');
    assert.deepEqual(typist.steps(), ['stop\r', 'cont\r', 'que']);
    assert.equal(typist.gate.hasMore, false);
  });

  it('holds keys typed after a Tab until the completion is there, and after Ctrl-C until the next prompt', () => {
    assert.deepEqual(new Typist().push('que\tst\r').steps(), ['que\t', 'st\r']);
    const typist = new Typist();
    typist.gate.open();
    assert.equal(typist.push('que\x03stop\r').take(), 'que\x03');
    assert.deepEqual(typist.steps(), ['stop\r']);
  });

  it('takes CR LF for one end of a line, also where it comes in two pieces', () => {
    const typist = new Typist().push('stop\r');
    assert.deepEqual(typist.steps(), ['stop\r']);
    assert.deepEqual(typist.push('\ncont\n').steps(), ['cont\n']);
  });

  it('makes blanks of the Tabs of a paste, and drops other control characters', () => {
    const typist = new Typist().push(`${BEGIN}{"execute":\r\t\t"stop"}\x1b[A\x03\x04\r${END}\t`);
    assert.deepEqual(typist.steps(), ['{"execute":\r', '  "stop"}[A\r', '\t']);
    assert.equal(typist.interrupts, 0);
  });

  it('knows the marks of a paste in whatever pieces they come', () => {
    const text = `a${BEGIN}b\tc${END}d`;
    for (let size = 3; size < text.length; size++) {
      const typist = new Typist();
      typist.gate.open();
      for (let at = 0; at < text.length; at += size) typist.push(text.slice(at, at + size));
      assert.equal(typist.take(), 'ab cd', `pieces of ${size}`);
    }
  });

  it('passes keys of more than one byte, and a lone Escape', () => {
    const typist = new Typist();
    typist.gate.open();
    assert.equal(typist.push('\x1b').take(), '\x1b');
    assert.equal(typist.push('\x1b[A\x1b[2~ä').take(), '\x1b[A\x1b[2~ä');
  });

  it('while it is shut reports Ctrl-C, and forgets the keys before it', () => {
    const typist = new Typist().push('stop\r');
    typist.gate.open();
    typist.take();
    typist.push('cont\r').push('quit\r\x03st');
    assert.equal(typist.interrupts, 1);
    assert.deepEqual(typist.steps(), ['st']);
    typist.gate.open();
    typist.push('stop\r\x03st');
    assert.equal(typist.take(), 'stop\r');
    assert.equal(typist.interrupts, 2);
    assert.deepEqual(typist.steps(), ['st']);
  });
});
