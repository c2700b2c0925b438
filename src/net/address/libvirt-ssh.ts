/**
 * The ssh that reaches a libvirt daemon of another host: the programs run here and there. The text that a shell reads there is ours, except
 * for plain paths.
 */

/** The parts of a URI it depends on. */
export interface SshPlace {
  /** `[USER@]HOST[:PORT]`. */
  readonly place: string;
  /** The URI that the daemon is asked to open. */
  readonly name: string;
  /** `/system` or `/session`. */
  readonly path: string;
  /** The daemon's socket over there, if it is given. */
  readonly socket: string | null;
  /** The names of the sockets there. */
  readonly files: readonly string[];
  readonly parameters: ReadonlyMap<string, string>;
}

/** `[USER@]HOST[:PORT]`, of which the second is the host, with the brackets of IPv6. */
export const HOST = /^(?:([\w.-]+)@)?([A-Za-z\d][\w.-]*|\[[\da-f:.]+\])(?::(\d{1,5}))?$/i;
/** In words of a command line that a shell over there reads; everything that means nothing to any shell. */
const PLAIN_PATH = /^\/[\w@%+=:,./-]*$/;

/** libssh's `known_hosts_verify`, in ssh's words. */
const CHECKING = new Map([
  ['normal', 'yes'],
  ['auto', 'accept-new'],
  ['ignore', 'no'],
]);

/** @returns the program and its words, or the fault */
export function sshCommand({
  place,
  name,
  path,
  socket,
  files,
  parameters,
}: SshPlace): readonly [string, ...string[]] | string {
  const match = HOST.exec(place);
  if (match === null) return `${JSON.stringify(place)} is not [USER@]HOST[:PORT]`;
  const [, user, host = '', port] = match;
  const netcat = parameters.get('netcat') ?? 'nc';
  for (const word of [socket ?? '/', netcat.startsWith('/') ? netcat : `/${netcat}`]) {
    if (!PLAIN_PATH.test(word)) return `${JSON.stringify(word)}: letters, digits and @%+=:,./-_ only, over ssh`;
  }
  const byDefault = path === '/session' ? 'native' : 'auto';
  const proxy = parameters.get('proxy') ?? (socket === null && !parameters.has('netcat') ? byDefault : 'netcat');
  if (!['auto', 'netcat', 'native'].includes(proxy)) return `"proxy" is auto, netcat or native, not ${proxy}`;
  if (proxy !== 'netcat' && socket !== null) return '"socket" works only with proxy=netcat';
  if (path === '/session' && proxy !== 'native' && socket === null) {
    return "the path of the session daemon's socket on the other host is unknown: add socket=/path, or leave proxy out";
  }
  const remote = socket ?? `/run/libvirt/${files.at(-1)}`;
  const byHelper = `virt-ssh-helper ${name}`;
  const byNetcat = `${netcat} -U ${remote}`;
  const program = {
    native: `exec ${byHelper}`,
    netcat: `exec ${byNetcat}`,
    auto: `if command -v virt-ssh-helper >/dev/null 2>&1; then exec ${byHelper}; else exec ${byNetcat}; fi`,
  }[proxy === 'native' || proxy === 'netcat' ? proxy : 'auto'];
  const checking = hostChecking(parameters);
  if (typeof checking === 'string') return checking;
  const keyfile = parameters.get('keyfile');
  const options = [
    '-T',
    '-e',
    'none',
    '-o',
    'BatchMode=yes',
    ...checking,
    ...(port === undefined ? [] : ['-p', port]),
    ...(user === undefined ? [] : ['-l', user]),
    ...(keyfile === undefined ? [] : ['-i', keyfile]),
  ];
  const bare = host.startsWith('[') ? host.slice(1, -1) : host;
  return [parameters.get('command') ?? 'ssh', ...options, '--', bare, `sh -c '${program}'`];
}

/** Whether ssh may end up on any host that answers, since nobody looks at its key. */
export function isUnverified(parameters: ReadonlyMap<string, string>): boolean {
  return Number(parameters.get('no_verify') ?? '0') > 0 || parameters.get('known_hosts_verify') === 'ignore';
}

/** Options that check the other host's key; or the fault. */
function hostChecking(parameters: ReadonlyMap<string, string>): readonly string[] | string {
  const file = parameters.get('known_hosts');
  if (file !== undefined && !PLAIN_PATH.test(file)) {
    return `"known_hosts" is a path of letters, digits and @%+=:,./-_, not ${JSON.stringify(file)}`;
  }
  const wanted = parameters.get('known_hosts_verify');
  const verify = wanted === undefined ? undefined : CHECKING.get(wanted);
  if (wanted !== undefined && verify === undefined) {
    return `"known_hosts_verify" is normal, auto or ignore, not ${JSON.stringify(wanted)}`;
  }
  const checking = isUnverified(parameters) ? 'no' : verify;
  return [
    ...(checking === undefined ? [] : ['-o', `StrictHostKeyChecking=${checking}`]),
    ...(file === undefined ? [] : ['-o', `UserKnownHostsFile=${file}`]),
  ];
}
