/**
 * One domain of a libvirt daemon: found by id, UUID or name, its monitor's commands and events, and its end.
 *
 * Procedures and structures are those of libvirt's src/remote/remote_protocol.x and qemu_protocol.x.
 */
import { Action, ask, Code, demand, describeFault, LibvirtRefusal } from './calls.js';
import { type LibvirtFault, type LibvirtRpc, Program } from './rpc.js';
import { XdrReader, XdrWriter } from './xdr.js';

const Remote = {
  connectOpen: 1,
  domainLookupById: 22,
  domainLookupByName: 23,
  domainLookupByUuid: 24,
  registerDomainEvent: 316,
  lifecycleEvent: 318,
} as const;
const Qemu = { monitorCommand: 1, registerMonitorEvent: 4, monitorEvent: 6 } as const;

/** VIR_DOMAIN_EVENT_ID_LIFECYCLE, and of its events VIR_DOMAIN_EVENT_STOPPED. */
const LIFECYCLE = 0;
const STOPPED = 5;
/** VIR_DOMAIN_EVENT_STOPPED_…, by number. */
const STOPPED_HOW = [
  'the domain was shut down',
  'the domain was destroyed',
  'the domain crashed',
  'the domain was migrated away',
  'the domain was saved and stopped',
  'libvirt lost its QEMU: it was killed, crashed or quit',
  'the domain was stopped to load a snapshot',
];
/** libvirt's codes for a lost monitor, and for other faults too: internal error, operation failed, system error. */
const LOSSES = new Set<number>([1, 9, 38, Code.operationInvalid]);

const UUID = /^[\da-f]{8}-?[\da-f]{4}-?[\da-f]{4}-?[\da-f]{4}-?[\da-f]{12}$/i;
const NOT_RUNNING = 'the domain is not running';
const QUERY_VERSION = Buffer.from('{"execute":"query-version"}');

/** A running domain. */
export interface Domain {
  /** As it goes into calls: name, UUID and id. */
  readonly encoded: Uint8Array;
  readonly uuid: Uint8Array;
  /** Of this run: another one after a restart. */
  readonly id: number;
}

/** Unrequested messages from the daemon about a domain. */
type DomainMessage =
  | {
      readonly kind: 'event';
      readonly name: string;
      readonly seconds: number;
      readonly microseconds: number;
      /** JSON of the event's data, as libvirt writes it; null when there is none. */
      readonly data: Uint8Array | null;
    }
  /** The domain has ended, or another run of it has begun; with the reason. */
  | { readonly kind: 'stopped'; readonly reason: string };

/** The fault of a command, for the person who can mend it. */
export function describeCommandFault(fault: LibvirtFault): string {
  // It cannot put its own answer into its protocol.
  if (fault.code === Code.rpc) {
    return `libvirt cannot pass on the reply (${fault.message}): the limit is 4194304 bytes. The command was executed`;
  }
  return describeFault(fault, Action.command);
}

/** Why a domain that runs cannot be asked for anything. */
export function describeSilence(fault: LibvirtFault): string {
  const problem = describeFault(fault, Action.command);
  return mayBeLoss(fault)
    ? `${problem}; if that lasts, libvirtd has lost this VM's monitor: restart libvirtd`
    : problem;
}

/** @returns whether the fault may mean that QEMU is gone; then libvirt reports the domain's end soon. */
export function mayBeLoss(fault: LibvirtFault): boolean {
  return LOSSES.has(fault.code);
}

/**
 * Opens QEMU's driver, finds the domain and subscribes to its events. Never resolves when the connection ends meanwhile.
 * @throws LibvirtRefusal with the reason
 */
export async function openDomain(rpc: LibvirtRpc, driver: string, wanted: string): Promise<Domain> {
  await demand(rpc, Program.remote, Remote.connectOpen, new XdrWriter().optionalText(driver).int(0), Action.open);
  const domain = await findDomain(rpc, wanted);
  if (domain.id < 0) throw new LibvirtRefusal(NOT_RUNNING);
  // Its end first, so that none is missed.
  const lifecycle = new XdrWriter().int(LIFECYCLE).int(1).raw(domain.encoded);
  await demand(rpc, Program.remote, Remote.registerDomainEvent, lifecycle, Action.subscribe);
  const events = new XdrWriter().int(1).raw(domain.encoded).optionalText(null).int(0);
  await demand(rpc, Program.qemu, Qemu.registerMonitorEvent, events, Action.subscribe);
  if (!(await isSameRun(rpc, domain))) throw new LibvirtRefusal(NOT_RUNNING);
  return domain;
}

/** As virsh does: a number is an id, a text that looks like a UUID is one, and anything else is a name. */
async function findDomain(rpc: LibvirtRpc, wanted: string): Promise<Domain> {
  const lookups: [number, XdrWriter][] = [];
  if (/^\d{1,9}$/.test(wanted)) lookups.push([Remote.domainLookupById, new XdrWriter().int(Number(wanted))]);
  if (UUID.test(wanted)) {
    lookups.push([Remote.domainLookupByUuid, new XdrWriter().raw(Buffer.from(wanted.replaceAll('-', ''), 'hex'))]);
  }
  lookups.push([Remote.domainLookupByName, new XdrWriter().text(wanted)]);
  for (const [procedure, body] of lookups) {
    const answer = await ask(rpc, Program.remote, procedure, body);
    if (answer.ok) return readDomain(answer.body);
    if (answer.fault.code !== Code.noDomain) throw new LibvirtRefusal(describeFault(answer.fault, Action.find));
  }
  const advice = wanted.includes('?') ? '; write what follows its name into a URI: libvirt:DOMAIN?uri=URI' : '';
  throw new LibvirtRefusal(`libvirt knows no domain ${JSON.stringify(wanted)}${advice}`);
}

function readDomain(body: XdrReader): Domain {
  const start = body.position;
  body.bytes();
  const uuid = body.opaque(16);
  const id = body.int();
  return { encoded: body.since(start), uuid, id };
}

/** @returns whether this run of the domain goes on; never resolves when the connection ends meanwhile. */
export async function isSameRun(rpc: LibvirtRpc, domain: Domain): Promise<boolean> {
  const answer = await ask(rpc, Program.remote, Remote.domainLookupByUuid, new XdrWriter().raw(domain.uuid));
  return answer.ok && readDomain(answer.body).id === domain.id;
}

/** Hands a command to the domain's QEMU; `done` gets its reply, as libvirt writes it, or the fault that libvirt reports. */
export function monitorCommand(
  rpc: LibvirtRpc,
  domain: Domain,
  command: Uint8Array,
  done: (reply: Uint8Array | LibvirtFault) => void,
): void {
  const body = new XdrWriter().raw(domain.encoded).bytes(command).int(0).finish();
  rpc.call(Program.qemu, Qemu.monitorCommand, body, (answer) => {
    done(answer.ok ? answer.body.bytes() : answer.fault);
  });
}

/** Asks QEMU for its version. */
export function askVersion(rpc: LibvirtRpc, domain: Domain): Promise<Uint8Array | LibvirtFault> {
  return new Promise((resolve) => {
    monitorCommand(rpc, domain, QUERY_VERSION, resolve);
  });
}

/** Reads a message of the daemon; null when it is of no concern to `domain`. */
export function readDomainMessage(
  program: number,
  procedure: number,
  body: XdrReader,
  domain: Domain,
): DomainMessage | null {
  // Events of libvirt were asked for with this domain's UUID, so they are all about it.
  body.int();
  if (program === Program.qemu && procedure === Qemu.monitorEvent) {
    const { id } = readDomain(body);
    if (id !== domain.id && id >= 0) return { kind: 'stopped', reason: 'the domain was started again' };
    const name = body.text();
    const seconds = body.hyper();
    const microseconds = body.unsigned();
    const data = body.optionalBytes();
    return body.isShort ? null : { kind: 'event', name, seconds, microseconds, data };
  }
  if (program === Program.remote && procedure === Remote.lifecycleEvent) {
    readDomain(body);
    if (body.int() !== STOPPED) return null;
    const how = body.int();
    return { kind: 'stopped', reason: STOPPED_HOW[how] ?? `the domain has stopped (${how})` };
  }
  return null;
}
