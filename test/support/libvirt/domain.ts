/** A domain of a test's libvirt behind qmpmux, with helpers for tests. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type Daemon, type LogLine, startDaemon } from '../daemon/daemon.js';
import { type Scope, scratch } from '../files/scratch.js';
import { RawClient, type Target } from '../world/raw-client.js';
import type { Libvirt, LibvirtVm } from './libvirt.js';

export interface Shared {
  readonly daemon: Daemon;
  readonly mux: string;
}

/** How a test file shares domains of its libvirt. */
export interface Sharing {
  /** Starts the daemon before that domain, whether there is one or not. `options` follow the clients' address. */
  readonly share: (scope: Scope, domain: string, extra?: readonly string[], options?: string) => Shared;
  /** A new domain, and the daemon before it, ready. */
  readonly shareVm: (scope: Scope, extra?: readonly string[]) => Promise<Shared & { readonly vm: LibvirtVm }>;
}

export function sharing(libvirt: Libvirt): Sharing {
  const share = (scope: Scope, domain: string, extra: readonly string[] = [], options = ''): Shared => {
    const mux = join(scratch(scope), 'mux');
    const upstream = `libvirt:${domain}?uri=${libvirt.uri}`;
    return { daemon: startDaemon(scope, ['--upstream', upstream, '--listen', `${mux}${options}`, ...extra]), mux };
  };
  return {
    share,
    async shareVm(scope, extra = []) {
      const vm = await libvirt.newVm(scope);
      const shared = share(scope, vm.name, extra);
      await shared.daemon.ready();
      return { ...shared, vm };
    },
  };
}

/** A client that has negotiated. It is closed with `scope`. */
export async function negotiated(scope: Scope, mux: Target): Promise<RawClient> {
  const client = await RawClient.connect(mux);
  scope.after(() => client.close());
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities"}');
  assert.equal(await client.readLine(), '{"return": {}}');
  return client;
}

/** Sends a command. @returns the next line, whatever it is */
export async function ask(client: RawClient, command: string): Promise<string> {
  await client.write(command);
  return await client.readLine();
}

export const isLost = (line: LogLine): boolean => line.msg.startsWith('lost QEMU');
export const isWaiting = (line: LogLine): boolean => line.msg === 'waiting for QEMU';

/** All warnings and errors of the log: those about the upstream as `lost: REASON` and `waiting: REASON`. */
export function warnings(daemon: Daemon): string[] {
  return daemon.log
    .filter((line) => line.level >= 40)
    .map((line) => {
      if (isLost(line)) return `lost: ${line.reason}`;
      return isWaiting(line) ? `waiting: ${line.reason}` : line.msg;
    });
}
