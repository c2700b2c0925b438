import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest, suggestion } from '../../dist/shared/spelling.js';

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

test('another form of a word is near, and its beginning alone is not', () => {
  assert.equal(nearest('complete', [...words, 'completion']), 'completion');
  assert.equal(nearest('query-statu', ['query-stats', 'query-status']), 'query-status');
  assert.equal(nearest('query-x', ['query-tpm-models']), null);
});

test('of many words that begin with it, none is picked; few are all named', () => {
  const names = ['query-tpm', 'query-status', 'query-block', 'query-stats', 'query-name'];
  assert.equal(suggestion('query', names.values()), '; 5 begin with it: query-block, query-name, query-stats, …');
  assert.equal(suggestion('query-stat', names), '; did you mean "query-stats" or "query-status"?');
  assert.equal(suggestion('query-nam', [...names, 'query-named-block-nodes']), '; did you mean "query-name"?');
  assert.equal(suggestion('query-t', names), '; did you mean "query-tpm"?');
});
