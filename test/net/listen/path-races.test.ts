/** Whoever may write to a socket's folder cannot have us act on a file of their choice, however they change what the path names. */

import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { parseListener } from '../../../dist/net/address/address-parser.js';
import { ListenError } from '../../../dist/net/listen/listen-error.js';
import { Listener } from '../../../dist/net/listen/listener.js';
import { Takeover } from '../../../dist/net/listen/takeover.js';
import { makeDeadSocket } from '../../support/files/dead-socket.js';
import { scratch } from '../../support/files/scratch.js';
import { startRacer } from '../../support/world/racer.js';

const ROUNDS = 400;
const OTHER = 12345;
const isRoot = process.geteuid?.() === 0;

function newListener(text: string, like?: string): Listener {
  const address = parseListener(text);
  return new Listener({
    address: address.kind === 'unix' && like !== undefined ? { ...address, like } : address,
    accept: (socket) => socket.destroy(),
    trouble: () => undefined,
  });
}

/** A file that nobody else may read, beside the folder of the race, on the same file system. */
function victim(folder: string): string {
  const path = join(folder, 'shadow');
  writeFileSync(path, 'secret', { mode: 0o600 });
  return path;
}

function assertUntouched(path: string): void {
  const { mode, uid } = statSync(path);
  assert.equal(mode & 0o7777, 0o600);
  assert.equal(uid, process.geteuid?.());
  assert.equal(readFileSync(path, 'utf8'), 'secret');
}

/** Opens and closes, whatever comes of it. */
async function openAgainAndAgain(t: TestContext, make: () => Listener): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const listener = make();
    try {
      await listener.open();
    } catch (error) {
      assert.ok(error instanceof ListenError, String(error));
    } finally {
      listener.close();
    }
  }
  t.diagnostic(`${ROUNDS} rounds`);
}

describe('a socket whose file is replaced while it is made', () => {
  for (const bait of ['link', 'name', 'both'] as const) {
    test(`gives its mode and owner to no other file (${bait})`, async (t) => {
      const folder = scratch(t);
      const path = join(folder, 'd', 's');
      mkdirSync(dirname(path));
      const target = victim(folder);
      await startRacer(t, path, target, bait);
      const owner = isRoot ? `,user=${OTHER}` : '';
      await openAgainAndAgain(t, () => newListener(`${path},mode=0666${owner}`));
      assertUntouched(target);
    });
  }

  test('gives no other file the owner of the QEMU whose place it takes', async (t) => {
    const folder = scratch(t);
    const path = join(folder, 'd', 's');
    mkdirSync(dirname(path));
    const model = join(folder, 'd', 'model');
    makeDeadSocket(model);
    chmodSync(model, 0o777);
    if (isRoot) chownSync(model, OTHER, OTHER);
    const target = victim(folder);
    await startRacer(t, path, target, 'both');
    await openAgainAndAgain(t, () => newListener(path, model));
    assertUntouched(target);
  });
});

test('a stale socket that is replaced by a living one while it is removed leaves the living one', async (t) => {
  // Two daemons begin at once on what a crash has left: one of them has the path, and can be reached.
  const path = join(scratch(t), 's');
  for (let round = 0; round < 20; round++) {
    makeDeadSocket(path);
    const both = [newListener(path), newListener(path)];
    const results = await Promise.allSettled(both.map((listener) => listener.open()));
    const open = both.filter((_, index) => results[index]?.status === 'fulfilled');
    assert.equal(open.length, 1);
    assert.equal(open[0]?.hasLostFile, false);
    for (const listener of both) listener.close();
    assert.equal(lstatSync(path, { throwIfNoEntry: false }), undefined);
  }
});

test('a takeover moves nothing but sockets while the path is replaced again and again', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'd', 'q');
  mkdirSync(dirname(path));
  const target = victim(folder);
  await startRacer(t, path, target, 'both');
  for (let round = 0; round < ROUNDS / 4; round++) {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => {
      server.once('error', () => {
        resolve();
      });
      server.listen(path, resolve);
    });
    const takeover = new Takeover(path);
    for (const step of [() => takeover.prepare(), () => takeover.restore()]) {
      try {
        await step();
      } catch (error) {
        assert.ok(error instanceof ListenError, String(error));
      }
      const aside = lstatSync(takeover.aside, { throwIfNoEntry: false });
      assert.ok(aside === undefined || aside.isSocket() || aside.isSymbolicLink());
    }
    await new Promise((resolve) => server.close(resolve));
  }
  assertUntouched(target);
});

describe('as root, a socket', { skip: !isRoot && 'needs root' }, () => {
  /** A folder with one in it that is `mode` and of `uid` and `gid`. */
  function shared(t: TestContext, mode: number, uid: number, gid: number): string {
    const folder = join(scratch(t), 'd');
    mkdirSync(folder);
    chownSync(folder, uid, gid);
    chmodSync(folder, mode);
    return folder;
  }

  const refused: readonly (readonly [what: string, mode: number, uid: number, gid: number, why: RegExp])[] = [
    [
      'of another user',
      0o755,
      OTHER,
      0,
      /: the folder \S+ belongs to uid 12345, and qmpmux runs as root: .* shared-folder=on/,
    ],
    [
      'that a group may write to',
      0o775,
      0,
      OTHER,
      /: group 12345 can write to the folder \S+ \(mode 0775\), and qmpmux runs as root/,
    ],
    ['of another user, with the sticky bit', 0o1777, OTHER, 0, /belongs to uid 12345/],
    ['that anyone may write to', 0o757, 0, 0, /anyone can write to the folder/],
  ];
  for (const [what, mode, uid, gid, why] of refused) {
    test(`is refused in a folder ${what}`, async (t) => {
      const folder = shared(t, mode, uid, gid);
      const listener = newListener(join(folder, 's'));
      await assert.rejects(listener.check(), why);
      await assert.rejects(listener.open(), why);
      mkdirSync(join(folder, 'below'));
      await assert.rejects(newListener(join(folder, 'below', 's')).open(), why);
    });
  }

  test('is refused where a link on the way is in such a folder, though it leads elsewhere', async (t) => {
    const folder = shared(t, 0o755, OTHER, 0);
    const safe = scratch(t);
    symlinkSync(safe, join(folder, 'link'));
    await assert.rejects(newListener(join(folder, 'link', 's')).open(), /belongs to uid 12345/);
    symlinkSync(join(folder, 'link'), join(safe, 'first'));
    await assert.rejects(newListener(join(safe, 'first', 's')).open(), /belongs to uid 12345/);
  });

  test('is made there with shared-folder=on, and in a folder of root’s group, or one that is sticky', async (t) => {
    const places = [
      `${join(shared(t, 0o775, OTHER, OTHER), 's')},shared-folder=on`,
      join(shared(t, 0o775, 0, 0), 's'),
      join(shared(t, 0o1777, 0, OTHER), 's'),
    ];
    for (const place of places) {
      const listener = newListener(place);
      await listener.check();
      assert.equal(await listener.open(), true);
      listener.close();
    }
  });

  test('takes the place of a QEMU in a folder of that QEMU’s account, and of no other', async (t) => {
    const folder = shared(t, 0o755, OTHER, OTHER);
    const aside = join(folder, 'q.qemu');
    // Nothing can be said before there is a QEMU; it is asked again when there is.
    await newListener(join(folder, 'q'), aside).check();
    makeDeadSocket(aside);
    await assert.rejects(newListener(join(folder, 'q'), aside).open(), /belongs to uid 12345/);
    chownSync(aside, OTHER, OTHER);
    const listener = newListener(join(folder, 'q'), aside);
    assert.equal(await listener.open(), true);
    assert.equal(lstatSync(join(folder, 'q')).uid, OTHER);
    listener.close();
  });

  test('takes owner and mode only from QEMU’s socket', async (t) => {
    const folder = scratch(t);
    const aside = join(folder, 'q.qemu');
    symlinkSync('/etc/passwd', aside);
    await assert.rejects(newListener(join(folder, 'q'), aside).open(), /a symbolic link is at .*q\.qemu/);
    assert.equal(lstatSync(join(folder, 'q'), { throwIfNoEntry: false }), undefined);
  });
});

describe('a socket whose place aside would be too long', () => {
  /** A path of `bytes` bytes in a new folder. */
  function pathOf(t: TestContext, bytes: number): string {
    const folder = scratch(t);
    return join(folder, 'q'.repeat(bytes - folder.length - 1));
  }

  test('is not moved, and the refusal says by how much', async (t) => {
    for (const [bytes, excess] of [
      [103, '1 byte longer'],
      [107, '5 bytes longer'],
    ] as const) {
      const path = pathOf(t, bytes);
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(path, resolve));
      t.after(() => server.close());
      await assert.rejects(new Takeover(path).prepare(), new RegExp(`${excess} than a socket's path may be`));
      assert.ok(lstatSync(path).isSocket());
      assert.equal(lstatSync(`${path}.qemu`, { throwIfNoEntry: false }), undefined);
    }
  });

  test('is moved where it fits', async (t) => {
    const path = pathOf(t, 102);
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(path, resolve));
    t.after(() => server.close());
    const takeover = new Takeover(path);
    assert.deepEqual(await takeover.prepare(), { ready: true, moved: true });
    assert.equal(await takeover.restore(), true);
  });

  test('is put back where an earlier version has moved it', async (t) => {
    const path = pathOf(t, 107);
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(path, resolve));
    t.after(() => server.close());
    const { ino } = lstatSync(path);
    renameSync(path, `${path}.qemu`);
    await assert.rejects(new Takeover(path).prepare(), /move back what an earlier version left there with --restore/);
    assert.equal(await new Takeover(path).restore(), true);
    assert.equal(lstatSync(path).ino, ino);
    assert.equal(lstatSync(`${path}.qemu`, { throwIfNoEntry: false }), undefined);
  });
});

describe('QEMU’s socket is lost by none of these', () => {
  async function live(t: TestContext, path: string) {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(path, resolve));
    t.after(() => server.close());
  }

  for (const [what, put] of [
    ['a folder', (path: string) => mkdirSync(path)],
    ['a regular file', (path: string) => writeFileSync(path, 'precious')],
    ['a symbolic link', (path: string) => symlinkSync('/nowhere', path)],
  ] as const) {
    test(`${what} where it would be moved to`, async (t) => {
      const takeover = new Takeover(join(scratch(t), 'q'));
      await live(t, takeover.path);
      put(takeover.aside);
      const { ino } = lstatSync(takeover.aside);
      await assert.rejects(takeover.prepare(), new RegExp(`${what} is there, and only sockets are moved`));
      assert.ok(lstatSync(takeover.path).isSocket());
      assert.equal(lstatSync(takeover.aside).ino, ino);
    });
  }

  test('a folder by way of a link, or named relative to the one that was entered', async (t) => {
    const folder = scratch(t);
    mkdirSync(join(folder, 'real'));
    symlinkSync('real', join(folder, 'link'));
    await live(t, join(folder, 'real', 'q'));
    const before = process.cwd();
    process.chdir(folder);
    t.after(() => {
      process.chdir(before);
    });
    for (const path of [join(folder, 'link', 'q'), 'real/q', './link/q', join(folder, 'real/../link/q')]) {
      const takeover = new Takeover(path);
      assert.deepEqual(await takeover.prepare(), { ready: true, moved: true });
      assert.ok(lstatSync(join(folder, 'real', 'q.qemu')).isSocket());
      assert.equal(await takeover.restore(), true);
      assert.ok(lstatSync(join(folder, 'real', 'q')).isSocket());
    }
  });

  test('a folder that may not be written to, or a sticky one in which it is another’s', {
    skip: !isRoot && 'needs root',
  }, async (t) => {
    for (const [mode, uid] of [
      [0o755, 0],
      [0o1777, 0],
    ] as const) {
      const folder = scratch(t);
      const takeover = new Takeover(join(folder, 'q'));
      await live(t, takeover.path);
      chmodSync(takeover.path, 0o666);
      chmodSync(folder, mode);
      process.seteuid?.(OTHER);
      try {
        await assert.rejects(takeover.prepare(), /cannot rename \S+q to \S+q\.qemu: permission denied/);
      } finally {
        process.seteuid?.(uid);
      }
      assert.ok(lstatSync(takeover.path).isSocket());
    }
  });
});
