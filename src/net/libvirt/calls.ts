/** Calls of a libvirt daemon whose refusal ends the dialogue, and the fault in that case, for the person who can mend it. */
import type { LibvirtFault, LibvirtRpc, RpcAnswer } from './rpc.js';
import type { XdrReader, XdrWriter } from './xdr.js';

/** Of libvirt/virterror.h. */
export const Code = {
  operationDenied: 29,
  rpc: 39,
  noDomain: 42,
  authFailed: 45,
  operationInvalid: 55,
  authCancelled: 79,
  accessDenied: 88,
  authUnavailable: 94,
} as const;
const REFUSALS = new Set<number>([Code.authFailed, Code.authCancelled, Code.authUnavailable]);

/** The actions that libvirt's access control (`access_drivers` in libvirtd.conf) checks in these calls, by polkit's names. */
export const Action = {
  open: 'connect.getattr',
  find: 'domain.getattr',
  subscribe: 'connect.search-domains and connect.write',
  command: 'domain.write',
} as const;

/** A dialogue with the daemon that cannot go on; the message is for the log. */
export class LibvirtRefusal extends Error {}

/** The fault, for the person who can mend it. @param action the one requested, of `Action` */
export function describeFault(fault: LibvirtFault, action: string): string {
  const denied = `permission denied by libvirt (${fault.message}): `;
  if (isLogInRefused(fault)) {
    return `${denied}run qmpmux as a user who may manage VMs (on most systems, of the group libvirt)`;
  }
  switch (fault.code) {
    case Code.accessDenied:
      return `${denied}its access control must allow this user org.libvirt.api.${action}`;
    case Code.operationDenied:
      return `${denied}this socket is for reading only; use the one whose name does not end in -ro`;
    default:
      return `libvirt: ${fault.message}`;
  }
}

/** Whether the daemon has refused our log-in. */
export function isLogInRefused(fault: LibvirtFault): boolean {
  return REFUSALS.has(fault.code);
}

/** Calls a procedure. Never resolves when the connection ends meanwhile. */
export function ask(rpc: LibvirtRpc, program: number, procedure: number, body: XdrWriter): Promise<RpcAnswer> {
  return new Promise((resolve) => {
    rpc.call(program, procedure, body.finish(), resolve);
  });
}

/**
 * Calls a procedure that must succeed. Never resolves when the connection ends meanwhile.
 * @param action the one requested, of `Action`
 * @throws LibvirtRefusal with the reason
 */
export async function demand(
  rpc: LibvirtRpc,
  program: number,
  procedure: number,
  body: XdrWriter,
  action: string,
): Promise<XdrReader> {
  const answer = await ask(rpc, program, procedure, body);
  if (answer.ok) return answer.body;
  throw new LibvirtRefusal(describeFault(answer.fault, action));
}
