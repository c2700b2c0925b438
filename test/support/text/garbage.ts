/** Node's garbage collector, for tests of memory that is held. */
import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const exposed: unknown = runInNewContext('gc');

/** Frees objects that nobody holds. The memory of buffers is freed after the collection that finds them, so it takes two. */
export function collectGarbage(): void {
  assert.ok(typeof exposed === 'function');
  exposed();
  exposed();
}
