/** A disk that fails on demand, by a library between the daemon and libc: the kernel's own ways to get EIO need hardware. */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SOURCE = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int fd, const char *what) {
  const char *file = getenv("BROKEN_FILE"), *control = getenv("BROKEN_CONTROL");
  char link[64], target[4096], when[4096];
  if (!file || !control) return 0;
  snprintf(when, sizeof when, "%s.%s", control, what);
  if (access(when, F_OK) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, target, sizeof target - 1);
  if (length < 0) return 0;
  target[length] = 0;
  return strcmp(target, file) == 0;
}

ssize_t write(int fd, const void *bytes, size_t count) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  if (fails(fd, "write")) { errno = EIO; return -1; }
  if (fails(fd, "short") && count > 1) return real(fd, bytes, count / 2);
  return real(fd, bytes, count);
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  if (fails(fd, "sync")) { errno = EIO; return -1; }
  if (fails(fd, "count")) {
    char when[4096];
    snprintf(when, sizeof when, "%s.count", getenv("BROKEN_CONTROL"));
    FILE *counter = fopen(when, "a");
    if (counter) { fputc('.', counter); fclose(counter); }
  }
  return real(fd);
}
`;

/**
 * The failure: every write, every fdatasync, or no write gets through with more than half of its bytes. With `count` nothing fails, but
 * each fdatasync is counted.
 */
export type Fault = 'write' | 'sync' | 'short' | 'count';

export interface BrokenDisk {
  /** For the process whose file is to fail. */
  readonly environment: Readonly<Record<string, string>>;
  break(fault: Fault): void;
  mend(fault: Fault): void;
  /** How many times fdatasync was called since `break('count')`. */
  syncs(): number;
}

/**
 * @param folder to build the library in
 * @param file that fails, by its full path
 */
export function brokenDisk(folder: string, file: string): BrokenDisk {
  const library = join(folder, 'broken-disk.so');
  writeFileSync(join(folder, 'broken-disk.c'), SOURCE);
  execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, join(folder, 'broken-disk.c'), '-ldl']);
  const control = join(folder, 'fault');
  return {
    environment: { LD_PRELOAD: library, BROKEN_FILE: file, BROKEN_CONTROL: control },
    break: (fault) => {
      writeFileSync(`${control}.${fault}`, '');
    },
    mend: (fault) => {
      rmSync(`${control}.${fault}`);
    },
    syncs: () => readFileSync(`${control}.count`).length,
  };
}
