/** The words of addresses: ours, and those of QEMU and socat that mean something else here, with what to write instead. */

/** How an address is spelt: the -connect and -listen forms of socat say who dials. */
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

/** Schemes of others that cannot be taken over, and what to write instead. */
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

/** What may be said of the clients of a socket, behind its address: not the address's business, but that of who serves them. */
export const SERVICE_OPTIONS = [
  'protocol',
  'negotiate',
  'policy',
  'events',
  'command-timeout',
  'max-clients',
  'connection-rate',
  'allow-uid',
  'allow-gid',
  'extensions',
  'fds',
  'http',
];

/** Every option there is; which of them an address takes depends on what it is. */
export const OPTIONS = [
  'mode',
  'user',
  'group',
  'shared-folder',
  'server',
  'ipv4',
  'ipv6',
  'keepalive',
  'lines',
  'tls',
  'insecure',
  'telnet',
  ...SERVICE_OPTIONS,
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
