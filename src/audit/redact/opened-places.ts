/**
 * The places in a command whose value QEMU executes, or opens unchanged: a file, a device, a socket of this host. QEMU takes no such value
 * for a URL or JSON, whatever it looks like, so it holds no secret, and all of it is recorded.
 *
 * Sources: QEMU's qapi/*.json and hmp-commands.hx; for block drivers, block.c (path_has_protocol, the prefix `file:`).
 */

/** QEMU's names for the other side of a migration; after `exec:` all is a command. */
const MIGRATION_URI = /^(?:exec|fd|tcp|unix|vsock|rdma|file):/;
const LONGEST_PREFIX = 8;

/** @returns whether QEMU takes `text` for the other side of a migration. */
export function isMigrationUri(text: string): boolean {
  return MIGRATION_URI.test(text.slice(0, LONGEST_PREFIX));
}

/** Texts that QEMU's block layer executes, takes for an open file, or opens as the name of a file begin like this: with no scheme. */
const PLAIN = ['exec:', 'cmd:', 'fd:', 'file:', '/', './', '../'];

/** @returns whether a text, as a name of a file anywhere, is one of this host, or a command. */
export function isPlainName(text: string): boolean {
  return PLAIN.some((prefix) => text.startsWith(prefix));
}

/** Members that are executed whatever the command. */
const EXECUTED: ReadonlySet<string> = new Set(['helper', 'script', 'downscript']);
/** Members of a command's arguments, at any depth, that are opened as they are. */
const OPENED = new Map<string, ReadonlySet<string>>(
  Object.entries({
    screendump: 'filename',
    pmemsave: 'filename',
    memsave: 'filename',
    'dump-guest-memory': 'protocol',
    'xen-save-devices-state': 'filename',
    'xen-load-devices-state': 'filename',
    'chardev-add': 'out in device logfile path',
    'chardev-change': 'out in device logfile path',
    migrate: 'filename path',
    'migrate-incoming': 'filename path',
    'object-add': 'mem-path filename file evdev dir path device sev-device dh-cert-file session-file',
    netdev_add: 'smb tftp vhostdev path str',
    'nbd-server-start': 'path',
    'blockdev-add': 'path',
    device_add: 'romfile sysfsdev',
    'guest-exec': 'path arg',
    'guest-file-open': 'path',
  }).map(([command, names]) => [command, new Set(names.split(' '))]),
);
const MIGRATIONS: ReadonlySet<string> = new Set(['migrate', 'migrate-incoming', 'migrate-recover']);
/** Block drivers that open their `filename` as it is. */
const FILE_DRIVERS: ReadonlySet<string> = new Set(['file', 'host_device', 'host_cdrom']);

const OPENED_NAMES = new Set(['args', 'filename', 'uri', ...EXECUTED]);
for (const names of OPENED.values()) for (const name of names) OPENED_NAMES.add(name);

/** @returns whether a member of this name is executed or opened as it is in any command: then `isOpenedAsItIs` says the rest. */
export function isNameOfOpened(name: string): boolean {
  return OPENED_NAMES.has(name);
}

/** A member that is judged. */
interface OpenedMember {
  /** The name of the command, null in messages from QEMU. */
  readonly command: string | null;
  readonly name: string;
  /** Its value, if that is a text. */
  readonly text: () => string | null;
  /** Members beside it. */
  readonly transport: () => string | null;
  readonly driver: () => string | null;
}

/** @returns whether the member's value is executed or opened as it is. */
export function isOpenedAsItIs({ command, name, text, transport, driver }: OpenedMember): boolean {
  if (EXECUTED.has(name)) return true;
  if (name === 'args' && transport() === 'exec') return true;
  if (name === 'filename' && FILE_DRIVERS.has(driver() ?? '')) return true;
  if (command === null) return false;
  if (OPENED.get(command)?.has(name) === true) return true;
  return name === 'uri' && MIGRATIONS.has(command) && isMigrationUri(text() ?? '');
}

/**
 * @param name of the member that holds the text, or of the list it is in
 * @param beginning of the text
 * @returns whether the text is a command that QEMU, or the guest's agent, executes, or a name that QEMU opens unchanged
 */
export function isDeed(command: string, name: string, beginning: string): boolean {
  if (isPlainName(beginning) || EXECUTED.has(name)) return true;
  if (name === 'args') return MIGRATIONS.has(command);
  return command === 'guest-exec' && (name === 'path' || name === 'arg');
}

/** Arguments of HMP's commands, and options within them, that are opened or executed as they are. */
const OPENED_ARGUMENTS: ReadonlySet<string> = new Set([
  'screendump filename',
  'memsave filename',
  'pmemsave filename',
  'dump-guest-memory filename',
  'logfile filename',
  'wavcapture path',
  'trace-file arg',
  'gdbserver device',
  'nbd_server_start uri',
]);
const OPENED_OPTIONS = new Map<string, ReadonlySet<string>>(
  Object.entries({
    'chardev-add': 'path logfile input-path',
    'chardev-change': 'path logfile input-path',
    netdev_add: 'script downscript helper smb tftp vhostdev guestfwd path addr.path',
    object_add: 'mem-path filename file evdev dir path device sev-device dh-cert-file session-file',
    device_add: 'romfile sysfsdev',
  }).map(([verb, names]) => [verb, new Set(names.split(' '))]),
);
const NONE: ReadonlySet<string> = new Set();

/** @returns whether an HMP command's argument is opened as it is. */
export function isOpenedArgument(verb: string, argument: string): boolean {
  return OPENED_ARGUMENTS.has(`${verb} ${argument}`);
}

/** @returns the options of an HMP command that are executed or opened as they are. */
export function openedOptions(verb: string): ReadonlySet<string> {
  return OPENED_OPTIONS.get(verb) ?? NONE;
}
