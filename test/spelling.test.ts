import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest, suggestion } from '../dist/spelling.js';

const words = ['serve', 'events', 'exec', 'shell', 'unix', 'tcp'];

test('the nearest word is offered for a slip of the fingers', () => {
  assert.equal(nearest('srve', words), 'serve');
  assert.equal(nearest('sevre', words), 'serve');
  assert.equal(nearest('tpc', words), 'tcp');
  assert.equal(nearest('SERVE', words), 'serve');
  assert.equal(nearest('ev', words), 'events');
});

test('nothing is offered when nothing is near', () => {
  assert.equal(nearest('zzzzzz', words), null);
  assert.equal(nearest('', words), null);
  assert.equal(nearest('x'.repeat(1000), words), null);
  assert.equal(suggestion('zzzzzz', words), '');
  assert.equal(suggestion('srve', words), '; did you mean "serve"?');
});
