/** The words of addresses: ours, and those of QEMU and socat that mean something else here, with their replacements. */

/** How an address is spelt: the -connect and -listen forms of socat choose the side that dials. */
type Transport = 'unix' | 'unix-connect' | 'unix-listen' | 'tcp' | 'tcp-connect' | 'exec' | 'fd' | 'libvirt';

/** Every scheme in lower case, QEMU's and socat's spellings. */
export const SCHEMES = new Map<string, { readonly transport: Transport; readonly family?: 4 | 6 }>([
  ['unix', { transport: 'unix' }],
  ['tcp', { transport: 'tcp' }],
  ['exec', { transport: 'exec' }],
  ['fd', { transport: 'fd' }],
  ['libvirt', { transport: 'libvirt' }],
  ['unix-connect', { transport: 'unix-connect' }],
  ['unix-client', { transport: 'unix-connect' }],
  ['unix-listen', { transport: 'unix-listen' }],
  ['tcp-connect', { transport: 'tcp-connect' }],
  ['tcp4', { transport: 'tcp', family: 4 }],
  ['tcp6', { transport: 'tcp', family: 6 }],
  ['tcp4-connect', { transport: 'tcp-connect', family: 4 }],
  ['tcp6-connect', { transport: 'tcp-connect', family: 6 }],
]);

/** Why there are no abstract sockets here. */
export const noAbstract =
  'abstract sockets have no owner and no mode, so anyone on this host could connect; use a path';
const noTcpListen = 'TCP-LISTEN means every network address, qmpmux listens on loopback: write tcp:localhost:PORT';

/** Other programs' schemes that cannot be adopted, with their replacements. */
export const FOREIGN_SCHEMES = new Map([
  ['abstract', noAbstract],
  ['abstract-connect', noAbstract],
  ['abstract-listen', noAbstract],
  ['abstract-client', noAbstract],
  ['tcp-listen', noTcpListen],
  ['tcp4-listen', noTcpListen],
  ['tcp6-listen', noTcpListen],
  ['system', "qmpmux starts no shell by itself: write exec:sh -c '…'"],
  ['shell', "qmpmux starts no shell by itself: write exec:sh -c '…'"],
  ['telnet', 'write tcp:HOST:PORT,telnet'],
]);

/** An option of an address itself; options of a socket's clients belong to the daemon. */
export interface AddressOption {
  readonly name: string;
  /** How it is written, in the reference. */
  readonly form: string;
  /** Which addresses have it, in the reference. */
  readonly of: string;
  readonly what: string;
  /** What it must be as a key beside the address of a listener; not there for an option of an upstream. A switch may be true or false. */
  readonly key?: string;
  readonly isSwitch?: true;
}

/** Every option of addresses; which of them one takes depends on its kind. */
export const ADDRESS_OPTIONS: readonly AddressOption[] = [
  {
    name: 'mode',
    form: 'mode=0660',
    of: 'a unix socket that qmpmux makes',
    what: 'its permissions, octal; 0600 when not given. It is born 0600, and opened wider before the ready line',
    key: 'permission bits as a string, such as "0660"',
  },
  {
    name: 'user',
    form: 'user=NAME',
    of: 'a unix socket that qmpmux makes',
    what: 'its owner, by a name of /etc/passwd or by number',
    key: 'the name or number of a user, as a string',
  },
  {
    name: 'group',
    form: 'group=NAME',
    of: 'a unix socket that qmpmux makes',
    what: 'its group, by a name of /etc/group or by number',
    key: 'the name or number of a group, as a string',
  },
  {
    name: 'shared-folder',
    form: 'shared-folder=on',
    of: 'a unix socket that qmpmux makes',
    what: 'others may write to its folder (see below)',
    key: 'true or false',
    isSwitch: true,
  },
  {
    name: 'server',
    form: 'server',
    of: 'an upstream',
    what: 'QEMU dials us',
  },
  {
    name: 'ipv4',
    form: 'ipv4',
    of: 'tcp',
    what: 'the name may resolve to IPv4 addresses alone',
    key: 'true or false',
    isSwitch: true,
  },
  {
    name: 'ipv6',
    form: 'ipv6',
    of: 'tcp',
    what: 'the name may resolve to IPv6 addresses alone',
    key: 'true or false',
    isSwitch: true,
  },
  {
    name: 'keepalive',
    form: 'keepalive=30s',
    of: 'tcp',
    what: 'how long the other side may be gone without a word: 15s to 1h, or off; 30s when not given',
    key: 'a time such as "30s", or "off"',
  },
  {
    name: 'lines',
    form: 'lines=on',
    of: 'an upstream',
    what: 'whether a line feed goes behind commands, for relays that read lines; found out when not given',
  },
  {
    name: 'tls',
    form: 'tls=FOLDER',
    of: 'a TCP listener',
    what: "TLS, with certificates on both sides. FOLDER has ca-cert.pem, server-cert.pem and server-key.pem, as QEMU's own `tls-creds-x509`",
    key: 'a folder with certificates, as a string',
  },
  {
    name: 'insecure',
    form: 'insecure',
    of: 'a TCP listener',
    what: 'it may be reached from other machines, without TLS: whoever can reach it, controls the VM',
    key: 'true or false',
    isSwitch: true,
  },
  {
    name: 'telnet',
    form: 'telnet',
    of: 'a TCP listener',
    what: "as QEMU's `telnet=on`, telnet sends each key as it is typed",
    key: 'true or false',
    isSwitch: true,
  },
];

const neverBlocks = 'qmpmux always waits and reconnects; leave it out';

const writeKeepAlive = 'write keepalive=30s: how long the peer may stay silent';

/** Options of QEMU and socat that have no place here, and why. */
export const FOREIGN_OPTIONS = new Map([
  ['abstract', noAbstract],
  ['tight', noAbstract],
  ['wait', `${neverBlocks}, and leave "server" out too if QEMU listens`],
  ['nowait', `${neverBlocks}, and leave "server" out too if QEMU listens`],
  ['reconnect', neverBlocks],
  ['reconnect-ms', neverBlocks],
  ['retry', neverBlocks],
  ['forever', neverBlocks],
  ['interval', neverBlocks],
  ['fork', 'a listener always serves many clients; leave it out'],
  ['reuseaddr', 'always on; leave it out'],
  ['unlink-early', 'a stale socket is always replaced; leave it out'],
  ['unlink-close', 'a socket is always removed at exit; leave it out'],
  ['nodelay', 'always on; leave it out'],
  ['delay', 'TCP_NODELAY is always on; leave it out'],
  ['keep-alive', 'on by default; write keepalive=30s or keepalive=off'],
  ['keep-alive-idle', writeKeepAlive],
  ['keep-alive-interval', writeKeepAlive],
  ['keep-alive-count', writeKeepAlive],
  ['keepidle', writeKeepAlive],
  ['keepintvl', writeKeepAlive],
  ['keepcnt', writeKeepAlive],
  ['perm', 'write mode='],
  ['umask', 'write mode='],
  ['uid', 'write user='],
  ['gid', 'write group='],
  ['owner', 'write user='],
]);
