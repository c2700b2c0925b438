/**
 * The monitors that a VM has, for `qmpmux status`: what is said on others than qmpmux's goes past its policies and its audit log. From
 * QEMU 11.1 on they are objects, and can be listed (qapi/qom.json: qom-list; `monitor-qmp` and `monitor-hmp`).
 */
import { canAddMonitors } from '../../../mux/policy/monitor-commands.js';
import { Report } from '../../screen/json-view.js';
import type { OwnCommands } from './extension-client.js';

const KINDS: ReadonlyMap<string, string> = new Map([
  ['child<monitor-qmp>', 'QMP'],
  ['child<monitor-hmp>', 'HMP'],
]);
/** For a QEMU that does not answer now, in milliseconds: how qmpmux stands can be said without it. */
const PATIENCE = 1000;

/**
 * @param status what qmpmux has told
 * @returns each monitor as `ID (QMP)`, qmpmux's own among them; null where QEMU cannot list them, does not answer now, or is not to be
 *   asked on this socket
 */
export async function vmMonitors({ client }: OwnCommands, status: Report): Promise<string[] | null> {
  if (!canAddMonitors(status.at('upstream', 'version').text) || status.at('in-flight').number > 0) return null;
  const signal = AbortSignal.timeout(PATIENCE);
  try {
    const listed = new Report(await client.execute('qom-list', { path: '/objects' }, { signal }));
    return listed.items.flatMap((item) => {
      const kind = KINDS.get(item.at('type').text);
      return kind === undefined ? [] : [`${item.at('name').text} (${kind})`];
    });
  } catch {
    return null;
  }
}
