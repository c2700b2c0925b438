import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Recorder } from '../../../dist/audit/write/recorder.js';
import { LogObserver } from '../../../dist/daemon/observe/log-observer.js';
import { ObserverGroup } from '../../../dist/daemon/observe/observer-group.js';
import type { Observer } from '../../../dist/mux/ports/observer.js';

function methodsOf(observer: { readonly prototype: object }): string[] {
  return Object.getOwnPropertyNames(observer.prototype).filter((name) => name !== 'constructor');
}

test('several observers get every report that any observer takes, in order, with its arguments', () => {
  const told: unknown[][] = [];
  // Takes every call there may be.
  const observer = (name: string) =>
    new Proxy(
      {},
      {
        get: (_, method) =>
          method === 'wantsRaw'
            ? name === 'b'
            : (...args: unknown[]) => {
                told.push([name, method, ...args]);
                return method === 'flush' && name === 'b' ? 'trouble' : null;
              },
      },
    );
  // No type can describe a proxy.
  const all = new ObserverGroup([observer('a'), observer('b')] as Observer[]);
  assert.equal(all.wantsRaw, true);
  const methods = new Set([...methodsOf(Recorder), ...methodsOf(LogObserver)]);
  assert.ok(methods.size > 10);
  for (const method of methods) {
    told.length = 0;
    // The same.
    const call = Reflect.get(all, method) as ((...args: unknown[]) => unknown) | undefined;
    assert.ok(call !== undefined, `${method} is not passed on`);
    const given = Array.from({ length: call.length }, (_, index) => `${method} ${index}`);
    const result = call.apply(all, given);
    assert.deepEqual(told, [
      ['a', method, ...given],
      ['b', method, ...given],
    ]);
    assert.equal(result, method === 'flush' ? 'trouble' : undefined);
  }
});
