/**
 * `@monitors`: commands that may add, change or remove another monitor of the same QEMU. From QEMU 11.1 on monitors are objects that any
 * monitor can add; commands on one that a client has added bypass qmpmux and its audit log.
 *
 * An id does not show the type of its object, so `object-del` and the commands of character devices match whatever they name: rules before
 * this one can allow some. A `qtest` object carries a protocol that reads and writes the guest's memory. The remote stub of gdb, which only
 * HMP starts, runs lines of HMP (gdbstub, `qRcmd`). HMP commands are judged by their verb alone.
 */

/** Any of it may be of a monitor. */
const BY_ID: ReadonlySet<string> = new Set(['object-del', 'chardev-add', 'chardev-change', 'chardev-remove']);
const TYPES: ReadonlySet<string> = new Set(['monitor-qmp', 'monitor-hmp', 'qtest']);
/** As HMP calls them. */
const VERBS: ReadonlySet<string> = new Set([
  'object_add',
  'object_del',
  'chardev-add',
  'chardev-change',
  'chardev-remove',
  'gdbserver',
]);

/** Whether a command is on the list: for certain, only if its `qom-type` is one of these, or not at all. */
export function concernsMonitors(name: string): 'always' | 'by type' | 'never' {
  if (BY_ID.has(name)) return 'always';
  return name === 'object-add' ? 'by type' : 'never';
}

/** @returns whether an object of this type is a monitor, or as good as one */
export function isMonitorType(type: string): boolean {
  return TYPES.has(type);
}

/** @returns whether an HMP command may add, change or remove one, by its first name */
export function isMonitorVerb(verb: string): boolean {
  return VERBS.has(verb);
}

/**
 * @param version of QEMU, such as `11.1.3`
 * @returns whether monitors can be added to it while it runs: from 11.1 on, and in development builds shortly before
 */
export function canAddMonitors(version: string): boolean {
  const [major = 0, minor = 0, micro = 0] = version.split('.').map(Number);
  return major > 11 || (major === 11 && (minor > 0 || micro >= 50));
}
