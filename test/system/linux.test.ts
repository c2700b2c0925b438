import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { linuxNumbers } from '../../dist/system/linux.js';

describe('the numbers of Linux’s system calls', () => {
  test('are those of each architecture', () => {
    // Of linux-libc-dev for each architecture: SOL_SOCKET, SO_PEERCRED, SOCK_DGRAM, SOCK_CLOEXEC, O_PATH.
    const generic = [1, 17, 2, 0x80000, 0x200000];
    const mips = [0xffff, 18, 1, 0x80000, 0x200000];
    for (const [arch, expected] of [
      ['x64', generic],
      ['ia32', generic],
      ['arm', generic],
      ['arm64', generic],
      ['riscv64', generic],
      ['loong64', generic],
      ['s390x', generic],
      ['ppc64', [1, 21, 2, 0x80000, 0x200000]],
      ['mips', mips],
      ['mipsel', mips],
      ['mips64el', mips],
    ] as const) {
      const { SOL_SOCKET, SO_PEERCRED, SOCK_DGRAM, SOCK_CLOEXEC, O_PATH } = linuxNumbers(arch, 'linux');
      assert.deepEqual([SOL_SOCKET, SO_PEERCRED, SOCK_DGRAM, SOCK_CLOEXEC, O_PATH], expected, arch);
    }
  });

  test('are not guessed for an architecture or a system that is not in the table', () => {
    assert.throws(() => linuxNumbers('sparc64', 'linux'), /unknown for the architecture sparc64, only for arm, arm64/);
    assert.throws(() => linuxNumbers('toString', 'linux'), /unknown for the architecture toString/);
    assert.throws(() => linuxNumbers('x64', 'freebsd'), /freebsd is not Linux/);
  });

  test('are written in their table alone', () => {
    const source = fileURLToPath(new URL('../../src', import.meta.url));
    for (const entry of readdirSync(source, { withFileTypes: true, recursive: true })) {
      if (!entry.name.endsWith('.ts') || entry.name === 'linux.ts') continue;
      const text = readFileSync(join(entry.parentPath, entry.name), 'utf8');
      assert.equal(/const (SOL?|SOCK|SCM|MSG|F|FD|LOCK|O|PR|TCP)_[A-Z_]+ = \d/.exec(text), null, entry.name);
      assert.equal(/const (FIONREAD|EAGAIN|EINTR|EWOULDBLOCK) = \d/.exec(text), null, entry.name);
    }
  });
});
