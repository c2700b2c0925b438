/** Logging in to a libvirt daemon, by the way that it asks for. */
import { Action, demand, LibvirtRefusal } from './libvirt-calls.js';
import { type LibvirtRpc, Program } from './libvirt-rpc.js';
import { XdrWriter } from './xdr.js';

/** Of src/remote/remote_protocol.x. */
const Procedure = { authList: 66, authPolkit: 70 } as const;
const Auth = { none: 0, sasl: 1, polkit: 2 } as const;

/** Logs in. Never resolves when the connection ends meanwhile. @throws LibvirtRefusal with the reason */
export async function logIn(rpc: LibvirtRpc): Promise<void> {
  const list = await demand(rpc, Program.remote, Procedure.authList, new XdrWriter(), Action.open);
  const kinds = Array.from({ length: Math.min(list.unsigned(), 20) }, () => list.int());
  if (kinds.length === 0 || kinds.includes(Auth.none)) return;
  if (kinds.includes(Auth.polkit)) {
    await demand(rpc, Program.remote, Procedure.authPolkit, new XdrWriter(), Action.open);
    return;
  }
  const how = kinds.includes(Auth.sasl) ? 'SASL' : `a method that is unknown here (${kinds.join(', ')})`;
  throw new LibvirtRefusal(
    `permission denied by libvirt: it asks for a log-in by ${how}, which qmpmux cannot do; allow its user by auth_unix_rw in libvirtd.conf`,
  );
}
