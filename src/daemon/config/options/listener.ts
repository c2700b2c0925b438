/** The options of a listener: `[[monitor.NAME.listen]]`, and the words after its address. */
import { eventPatterns, ids, type PolicyChoice, policyChoice } from './listener-types.js';
import { defaultsOf, namesOf, option, type Settings } from './row.js';
import { count, duration, oneOf, onOff } from './types.js';

const NO_LIMIT = 'no limit';
const FOR_UNIX = 'works only on unix sockets: TCP does not identify users';

export const LISTENER = {
  protocol: option({
    name: 'protocol',
    type: oneOf(['qmp', 'hmp']),
    default: 'qmp',
    reload: 'clients are disconnected',
    what: 'what its clients speak: QMP, or the human monitor, as -monitor of QEMU serves it',
  }),
  negotiate: option({
    name: 'negotiate',
    type: oneOf(['always', 'auto']),
    default: 'always',
    reload: 'clients are disconnected',
    unless: { hmp: 'is for QMP: the human monitor has no negotiation; leave it out' },
    what: 'auto: clients that send no `qmp_capabilities` are served too, without events',
  }),
  policy: option<PolicyChoice>({
    name: 'policy',
    type: policyChoice,
    default: { kind: 'full' },
    reload: 'clients are disconnected',
    what: 'what its clients may run: full, read-only, learn, the name of a `[policy.NAME]`, or a /file of rules',
  }),
  events: option<readonly string[] | null>({
    name: 'events',
    type: eventPatterns,
    default: null,
    defaultText: 'all',
    reload: 'clients are disconnected',
    unless: { hmp: 'is for QMP: the human monitor has no events; leave it out' },
    what: 'which events its clients get: all, none, or patterns such as BLOCK_*+STOP',
  }),
  commandTime: option({
    name: 'command-timeout',
    type: duration(NO_LIMIT),
    default: 0,
    flag: 'command-timeout',
    reload: 'clients are disconnected',
    what: 'how long a command may take before its client gets an error instead',
  }),
  clients: option<number | null>({
    name: 'max-clients',
    type: count(NO_LIMIT),
    default: null,
    defaultText: "the monitor's listener-clients",
    reload: 'clients are disconnected',
    what: 'how many clients it may have at a time',
  }),
  clientsPerUid: option({
    name: 'max-clients-per-uid',
    type: count(NO_LIMIT),
    default: 0,
    reload: 'clients are disconnected',
    unless: { tcp: FOR_UNIX },
    what: 'how many clients each user may have on a unix socket at a time',
  }),
  connectionRate: option({
    name: 'connection-rate',
    type: count(NO_LIMIT),
    default: 1000,
    reload: 'clients are disconnected',
    what: 'how many clients may connect in a second, in the long run; twice as many at once',
  }),
  allowUid: option<ReadonlySet<number> | null>({
    name: 'allow-uid',
    type: ids('user'),
    default: null,
    defaultText: 'all',
    reload: 'clients are disconnected',
    unless: { tcp: FOR_UNIX },
    what: "which users may connect to a unix socket, by the kernel's word; with allow-gid, either is enough",
  }),
  allowGid: option<ReadonlySet<number> | null>({
    name: 'allow-gid',
    type: ids('group'),
    default: null,
    defaultText: 'all',
    reload: 'clients are disconnected',
    unless: { tcp: FOR_UNIX },
    what: 'which groups may connect: the primary group of the process counts',
  }),
  extensions: option({
    name: 'extensions',
    type: onOff,
    default: false,
    reload: 'clients are disconnected',
    what: "whether its clients have qmpmux's own commands, `__org.qmpmux_…`",
  }),
  fds: option({
    name: 'fds',
    type: onOff,
    default: true,
    reload: 'clients are disconnected',
    unless: { tcp: 'works only on unix sockets: TCP carries no file descriptors' },
    what: 'whether clients of a unix socket may send open files (SCM_RIGHTS) with getfd and add-fd',
  }),
  http: option({
    name: 'http',
    type: oneOf(['refuse', 'pass']),
    default: 'refuse',
    reload: 'clients are disconnected',
    unless: { unix: 'works only on TCP: no web page reaches a unix socket' },
    what: 'what becomes of TCP clients that speak HTTP, such as web browsers: pass serves them as QEMU does',
  }),
};
/** How the clients of one socket are served. */
export type ListenerSettings = Settings<typeof LISTENER>;
export const DEFAULT_LISTENER: ListenerSettings = defaultsOf(LISTENER);
export const LISTENER_WORDS: readonly string[] = namesOf(LISTENER);
