/**
 * The VM that `qmpmux demo` shares: a simulated one, or a real QEMU that is paused. When a client ends it with `quit`, a new
 * one takes its place, so that a demonstration can go on.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { QmpmuxError } from '../shared/errors.js';
import { SimulatedMonitor } from './simulated-monitor.js';

export interface DemoVm {
  /** `a simulated VM (…)`, for messages. */
  readonly description: string;
  /** Resolves when nothing of it is left. */
  stop(): Promise<void>;
}

export interface DemoVmEvents {
  /** A client has ended the VM, and a new one is on its way. */
  readonly ended: () => void;
  /** There is no VM any more, and will be none. */
  readonly failed: (reason: unknown) => void;
}

/** The VM of the demo cannot be started. */
class DemoVmError extends QmpmuxError {
  readonly code = 'QMPMUX_DEMO_VM';
}

const QEMU = 'qemu-system-x86_64';
/** Between looks for the socket of a QEMU that starts, in milliseconds. */
const POLL_INTERVAL_MS = 20;

/** @returns whether a program of that name is in PATH. */
export function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** @returns whether there is a QEMU to run. */
export function qemuIsInstalled(): boolean {
  return isInstalled(QEMU);
}

/** Starts a simulated VM. @param path where its monitor listens, a Unix socket */
export async function startSimulatedVm(path: string, { ended, failed }: DemoVmEvents): Promise<DemoVm> {
  let monitor = new SimulatedMonitor();
  let isStopping = false;
  const again = async (): Promise<void> => {
    await monitor.quitted;
    await monitor.stop();
    if (isStopping) return;
    ended();
    monitor = new SimulatedMonitor();
    await monitor.start(path);
    again().catch(failed);
  };
  await monitor.start(path);
  again().catch(failed);
  return {
    description: `a simulated VM with the recorded answers of QEMU ${monitor.vm.qemuVersion}`,
    stop: async () => {
      isStopping = true;
      await monitor.stop();
    },
  };
}

/** Starts a real QEMU that is paused, with a monitor at `path`, and waits until it listens; otherwise as `startSimulatedVm`. */
export async function startRealVm(path: string, { ended, failed }: DemoVmEvents): Promise<DemoVm> {
  if (!qemuIsInstalled()) {
    throw new DemoVmError(`${QEMU} is not installed; without --real the demo simulates a VM`);
  }
  let qemu: ChildProcess | null = null;
  let isStopping = false;
  const start = (): void => {
    const monitor = `unix:${path.replaceAll(',', ',,')},server=on,wait=off`;
    const args = ['-machine', 'q35', '-S', '-display', 'none', '-nodefaults', '-name', 'demo', '-qmp', monitor];
    // In its own process group: Ctrl-C is meant for us.
    const child = spawn(QEMU, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    qemu = child;
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-1000);
    });
    child.once('error', (error) =>
      failed(new DemoVmError(`${QEMU} cannot be run: ${error.message}`, { cause: error })),
    );
    child.once('close', (code) => {
      qemu = null;
      if (isStopping) return;
      if (code !== null && code !== 0) {
        failed(new DemoVmError(`${QEMU} ended (exit code ${code}): ${errors.trim().split('\n').at(-1) ?? ''}`));
        return;
      }
      ended();
      start();
    });
  };
  start();
  const listensOrEnded = (): boolean => existsSync(path) || qemu === null;
  while (!listensOrEnded()) await setTimeout(POLL_INTERVAL_MS);
  return {
    description: 'a real VM, paused',
    stop: async () => {
      isStopping = true;
      const child = qemu;
      if (child === null) return;
      const closed = new Promise<void>((resolve) => {
        child.once('close', () => resolve());
      });
      child.kill('SIGKILL');
      await closed;
    },
  };
}
