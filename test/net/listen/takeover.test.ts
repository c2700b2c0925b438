/**
 * Taking QEMU's place. A crash can come between any two steps, and each step is one rename or one bind, so every state that a crash can
 * leave is one of those that are made here by hand: sockets that live, that are dead, or that are not there, at both paths.
 */
import assert from 'node:assert/strict';
import { existsSync, lstatSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Takeover } from '../../../dist/net/listen/takeover.js';
import { makeDeadSocket } from '../../support/files/dead-socket.js';
import { scratch } from '../../support/files/scratch.js';

type Stand = 'nothing' | 'dead' | 'live';

/** Makes both paths as wanted. @returns the takeover, and who is where: inode numbers by place */
async function make(context: TestContext, aside: Stand, path: Stand) {
  const takeover = new Takeover(join(scratch(context), 'q'));
  for (const [place, stand] of [
    [takeover.aside, aside],
    [takeover.path, path],
  ] as const) {
    if (stand === 'dead') makeDeadSocket(place);
    if (stand !== 'live') continue;
    const server = createServer((socket) => socket.on('error', () => {}));
    await new Promise<void>((resolve) => server.listen(place, resolve));
    context.after(() => server.close());
  }
  return takeover;
}

function inode(path: string): number | null {
  return lstatSync(path, { throwIfNoEntry: false })?.ino ?? null;
}

describe('before each attempt to dial', () => {
  const cases: readonly (readonly [aside: Stand, path: Stand, outcome: 'wait' | 'move' | 'dial' | 'refuse'])[] = [
    ['nothing', 'nothing', 'wait'],
    ['nothing', 'dead', 'wait'],
    ['nothing', 'live', 'move'],
    ['dead', 'nothing', 'dial'],
    ['dead', 'dead', 'dial'],
    ['dead', 'live', 'move'],
    ['live', 'nothing', 'dial'],
    ['live', 'dead', 'dial'],
    ['live', 'live', 'refuse'],
  ];
  for (const [aside, path, outcome] of cases) {
    it(`${aside} aside and ${path} at the path: ${outcome}`, async (context) => {
      const takeover = await make(context, aside, path);
      const [asideBefore, pathBefore] = [inode(takeover.aside), inode(takeover.path)];
      if (outcome === 'refuse') {
        await assert.rejects(
          takeover.prepare(),
          /two programs listen: takeover\.test\.js \(pid \d+, [^()]+\) at that path, and takeover\.test\.js .* stop one of them/,
        );
      } else {
        const prepared = await takeover.prepare();
        assert.equal(prepared.ready, outcome !== 'wait');
        assert.equal(prepared.ready && prepared.moved, outcome === 'move');
      }
      if (outcome === 'move') {
        assert.equal(inode(takeover.aside), pathBefore);
        assert.equal(inode(takeover.path), null);
      } else assert.deepEqual([inode(takeover.aside), inode(takeover.path)], [asideBefore, pathBefore]);
    });
  }

  it('twice is the same as once', async (context) => {
    const takeover = await make(context, 'nothing', 'live');
    assert.deepEqual(await takeover.prepare(), { ready: true, moved: true });
    assert.deepEqual(await takeover.prepare(), { ready: true, moved: false });
  });
});

describe('putting QEMU’s socket back', () => {
  const cases: readonly (readonly [aside: Stand, path: Stand, outcome: 'back' | 'nothing' | 'clear' | 'refuse'])[] = [
    ['nothing', 'nothing', 'nothing'],
    ['nothing', 'dead', 'nothing'],
    ['nothing', 'live', 'nothing'],
    ['dead', 'nothing', 'back'],
    ['live', 'nothing', 'back'],
    ['live', 'dead', 'back'],
    ['live', 'live', 'refuse'],
    // QEMU was started again and stands there; what it had before is dead.
    ['dead', 'live', 'clear'],
  ];
  for (const [aside, path, outcome] of cases) {
    it(`${aside} aside and ${path} at the path: ${outcome}`, async (context) => {
      const takeover = await make(context, aside, path);
      const [asideBefore, pathBefore] = [inode(takeover.aside), inode(takeover.path)];
      if (outcome === 'refuse') await assert.rejects(takeover.restore(), /listens there; stop it first/);
      else assert.equal(await takeover.restore(), outcome === 'back');
      if (outcome === 'back') assert.deepEqual([inode(takeover.aside), inode(takeover.path)], [null, asideBefore]);
      else if (outcome === 'clear') assert.deepEqual([inode(takeover.aside), inode(takeover.path)], [null, pathBefore]);
      else assert.deepEqual([inode(takeover.aside), inode(takeover.path)], [asideBefore, pathBefore]);
    });
  }
});

describe('a file that is not a socket', () => {
  it('is never touched, at either path', async (context) => {
    for (const place of ['path', 'aside'] as const) {
      const takeover = new Takeover(join(scratch(context), 'q'));
      writeFileSync(takeover[place], 'precious');
      await assert.rejects(takeover.prepare(), /a regular file is there, and only sockets are moved; move it away/);
      await assert.rejects(takeover.restore(), /a regular file is there/);
      assert.ok(existsSync(takeover[place]));
    }
  });

  it('is not followed: a link to a socket is refused', async (context) => {
    const takeover = await make(context, 'nothing', 'nothing');
    const server = createServer();
    const target = `${takeover.path}-target`;
    await new Promise<void>((resolve) => server.listen(target, resolve));
    context.after(() => server.close());
    symlinkSync(target, takeover.path);
    await assert.rejects(takeover.prepare(), /a symbolic link is there/);
    assert.equal(readdirSync(join(takeover.path, '..')).length, 2);
  });
});
