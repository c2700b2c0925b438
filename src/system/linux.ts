/**
 * Numbers of Linux's system calls that Node has no names for. Some differ by architecture, and a wrong one is no error but another
 * question: 17 asks for the credentials of the peer on most machines, and for a low-water mark on POWER, whose answer looks like root.
 * So each architecture is listed, and one that is not has no numbers.
 *
 * From Linux's include/uapi/asm-generic/{socket,fcntl}.h and linux/socket.h, and what arch/ has instead:
 * - powerpc: socket.h (SO_PEERCRED);
 * - mips: socket.h (SOL_SOCKET, SO_PEERCRED), asm/socket.h (SOCK_DGRAM is 1 there).
 *
 * Numbers that Node names, and knows for its own architecture, are taken from it: O_NOFOLLOW, O_NONBLOCK and error numbers differ as well.
 */

export interface LinuxNumbers {
  /** The level of socket options, and of what comes beside a message's bytes. */
  readonly SOL_SOCKET: number;
  readonly SO_PEERCRED: number;
  /** Since Linux 6.5; before, asking for it fails. */
  readonly SO_PEERPIDFD: number;
  readonly SOCK_DGRAM: number;
  readonly SOCK_CLOEXEC: number;
  readonly O_PATH: number;
}

const generic: LinuxNumbers = {
  SOL_SOCKET: 1,
  SO_PEERCRED: 17,
  SO_PEERPIDFD: 77,
  SOCK_DGRAM: 2,
  SOCK_CLOEXEC: 0o2000000,
  O_PATH: 0o10000000,
};
const mips: LinuxNumbers = { ...generic, SOL_SOCKET: 0xffff, SO_PEERCRED: 18, SOCK_DGRAM: 1 };

/** By Node's names of the architectures (process.arch). */
const byArchitecture: ReadonlyMap<string, LinuxNumbers> = new Map([
  ['arm', generic],
  ['arm64', generic],
  ['ia32', generic],
  ['loong64', generic],
  ['mips', mips],
  ['mipsel', mips],
  ['mips64el', mips],
  ['ppc64', { ...generic, SO_PEERCRED: 21 }],
  ['riscv64', generic],
  ['s390x', generic],
  ['x64', generic],
]);

/** The same on every architecture in the table: from linux/socket.h, asm-generic/fcntl.h and linux/tcp.h. */
export const SCM_RIGHTS = 1;
export const MSG_PEEK = 0x02;
export const MSG_CTRUNC = 0x08;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x4000_0000;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;
export const FD_CLOEXEC = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const IPPROTO_TCP = 6;
export const TCP_INFO = 11;

/**
 * @param arch as process.arch has it
 * @throws Error that names an architecture whose numbers are not known, or a system that is not Linux
 */
export function linuxNumbers(arch: string = process.arch, platform: string = process.platform): LinuxNumbers {
  if (platform !== 'linux') throw new Error(`${platform} is not Linux, and this needs Linux's system calls`);
  const numbers = byArchitecture.get(arch);
  if (numbers === undefined) {
    const known = [...byArchitecture.keys()].join(', ');
    throw new Error(`the numbers of Linux's system calls are unknown for the architecture ${arch}, only for ${known}`);
  }
  return numbers;
}
