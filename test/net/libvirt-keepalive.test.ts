/** When a silent libvirtd is asked whether it is there, and when it is given up. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { KEEP_ALIVE, KeepAlive } from '../../dist/net/libvirt-keepalive.js';

function watch(t: TestContext): { readonly alive: KeepAlive; readonly said: string[]; readonly pass: () => void } {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const said: string[] = [];
  const alive = new KeepAlive(
    KEEP_ALIVE,
    () => said.push('ask'),
    (silence) => said.push(`dead after ${silence}`),
  );
  const pass = () => {
    t.mock.timers.tick(KEEP_ALIVE.interval);
  };
  return { alive, said, pass };
}

test('who is silent is asked, five times by default, and given up after 30 seconds', (t) => {
  const { said, pass } = watch(t);
  for (let count = 0; count < 20; count++) pass();
  assert.deepEqual(said, ['ask', 'ask', 'ask', 'ask', 'ask', 'dead after 30000']);
});

test('who answers, or says anything else, is not given up', (t) => {
  const { alive, said, pass } = watch(t);
  for (let round = 0; round < 10; round++) {
    for (let count = 0; count < 5; count++) pass();
    alive.heard();
    pass();
  }
  assert.deepEqual(new Set(said), new Set(['ask']));
});

test('who talks is not asked', (t) => {
  const { alive, said, pass } = watch(t);
  for (let count = 0; count < 20; count++) {
    alive.heard();
    pass();
  }
  assert.deepEqual(said, []);
});

test('while we do not read, nobody is given up', (t) => {
  const { alive, said, pass } = watch(t);
  alive.isPaused = true;
  for (let count = 0; count < 20; count++) pass();
  assert.deepEqual(said, []);
});

test('nothing is asked any more when it is over', (t) => {
  const { alive, said, pass } = watch(t);
  alive.stop();
  for (let count = 0; count < 20; count++) pass();
  assert.deepEqual(said, []);
});
