/**
 * The monitors that a VM has, for `qmpmux status`: commands on others than qmpmux's bypass its policies and its audit log. From
 * QEMU 11.1 on they are objects, and can be listed (qapi/qom.json: qom-list; `monitor-qmp` and `monitor-hmp`).
 */
import { canAddMonitors } from '../../../mux/policy/monitor-commands.js';
import { Report } from '../../screen/json-view.js';
import type { OwnCommands } from './extension-client.js';

const PROTOCOLS: ReadonlyMap<string, VmMonitor['protocol']> = new Map([
  ['child<monitor-qmp>', 'QMP'],
  ['child<monitor-hmp>', 'HMP'],
]);
/** How long QEMU may take to list them, in milliseconds: the rest of the status needs no QEMU. */
const LISTING_TIMEOUT_MS = 1000;

/** A monitor of a VM: the id of its object, and its protocol. */
export interface VmMonitor {
  readonly id: string;
  readonly protocol: 'QMP' | 'HMP';
}

/**
 * @param status the answer to `query-status` of qmpmux
 * @returns each monitor of the VM by id, qmpmux's own included; null if QEMU cannot list them, does not answer now, or refuses the question
 *   on this socket
 */
export async function vmMonitors({ client }: OwnCommands, status: Report): Promise<VmMonitor[] | null> {
  if (!canAddMonitors(status.at('upstream', 'version').text) || status.at('in-flight').number > 0) return null;
  const signal = AbortSignal.timeout(LISTING_TIMEOUT_MS);
  try {
    const listed = new Report(await client.execute('qom-list', { path: '/objects' }, { signal }));
    const monitors = listed.items.flatMap((item) => {
      const protocol = PROTOCOLS.get(item.at('type').text);
      return protocol === undefined ? [] : [{ id: item.at('name').text, protocol }];
    });
    // QEMU lists objects in the order of its hash table.
    return monitors.sort((a, b) => (a.id < b.id ? -1 : 1));
  } catch {
    return null;
  }
}
