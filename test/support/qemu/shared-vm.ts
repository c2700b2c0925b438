/** A real QEMU with the real daemon in front of it, as clients of qmpmux use it. */
import { join } from 'node:path';
import { type Daemon, startDaemon } from '../daemon/daemon.js';
import type { Scope } from '../files/scratch.js';
import type { Target } from '../world/raw-client.js';
import { type Qemu, type QemuOptions, startQemu } from './qemu.js';

export interface SharedVm {
  readonly qemu: Qemu;
  readonly daemon: Daemon;
  /** Where clients connect, in the order of the listeners. */
  readonly targets: readonly Target[];
  /** The first of them. */
  readonly target: Target;
}

export interface SharedVmOptions extends QemuOptions {
  /** Listeners besides the Unix socket, such as `tcp:127.0.0.1:0`. */
  readonly listen?: readonly string[];
  /** Sits between the daemon and QEMU's first monitor: given its address, returns the one to use instead. */
  readonly between?: (monitor: Target) => Promise<Target>;
  /** Further flags of `qmpmux serve`. */
  readonly flags?: readonly string[];
  /** Variables of its environment. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Starts both, and waits until clients are served. They end with `scope`. */
export async function shareVm(scope: Scope, options: SharedVmOptions = {}): Promise<SharedVm> {
  const qemu = await startQemu(scope, options);
  const upstream = (await options.between?.(qemu.monitor)) ?? qemu.monitor;
  const listeners = [`unix:${join(qemu.folder, 'mux')}`, ...(options.listen ?? [])];
  const listen = listeners.flatMap((address) => ['--listen', address]);
  const daemon = startDaemon(scope, ['--upstream', upstream, ...listen, ...(options.flags ?? [])], options.environment);
  const targets = await daemon.ready();
  return { qemu, daemon, targets, target: targets[0] ?? '' };
}
