/**
 * libvirt's connection URIs, as far as they lead to QEMU's driver: where the daemon's socket is, or which ssh reaches it.
 *
 *     qemu:///system, qemu:///session          this host; also qemu+unix://, and ?socket=/path
 *     qemu+ssh://[user@]host[:port]/system     through ssh and, over there, virt-ssh-helper or nc
 *
 * Parameters have the meaning that libvirt gives them (its uri.html). Those that would have to do something and can't are refused.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** How a libvirt daemon is reached. */
export interface LibvirtTarget {
  /** What the daemon is asked to open: a URI without transport, host and parameters. */
  readonly name: string;
  readonly reach:
    | {
        readonly kind: 'unix';
        /** Tried in this order. */
        readonly paths: readonly string[];
      }
    | { readonly kind: 'ssh'; readonly command: readonly [string, ...string[]] };
}

export type ParsedLibvirtUri =
  | { readonly ok: true; readonly target: LibvirtTarget }
  | { readonly ok: false; readonly problem: string };

const SHAPE = /^([a-z][a-z\d]*)(?:\+([a-z\d]+))?:\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/i;
const HOST = /^(?:([\w.-]+)@)?([A-Za-z\d][\w.-]*|\[[\da-f:.]+\])(?::(\d{1,5}))?$/i;
/** In words of a command line that a shell over there reads; everything that means nothing to any shell. */
const PLAIN_PATH = /^\/[\w@%+=:,./-]*$/;

const MODES = new Map([
  ['auto', ['virtqemud-sock', 'libvirt-sock']],
  ['direct', ['virtqemud-sock']],
  ['legacy', ['libvirt-sock']],
]);

const IN_SSH_CONFIG = 'put it into ~/.ssh/config';
/** Of libvirt's parameters, those that have no place here. */
const FOREIGN = new Map([
  ['sshauth', `${IN_SSH_CONFIG}: qmpmux runs the program ssh`],
  ['known_hosts', IN_SSH_CONFIG],
  ['known_hosts_verify', IN_SSH_CONFIG],
  ['pkipath', 'TLS is not supported; use qemu+ssh://'],
  ['tls_priority', 'TLS is not supported; use qemu+ssh://'],
  ['authfile', 'logging in by SASL is not supported; use qemu+ssh://'],
]);

/** The URI that is meant when none is given: as for virsh. */
export function defaultLibvirtUri(environment: NodeJS.ProcessEnv = process.env): string {
  const named = environment['LIBVIRT_DEFAULT_URI'] ?? '';
  if (named !== '') return named;
  return process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session';
}

/** Reads a URI. Whether anybody is there is found out by dialling. */
export function parseLibvirtUri(uri: string, environment: NodeJS.ProcessEnv = process.env): ParsedLibvirtUri {
  const shape = SHAPE.exec(uri);
  if (shape === null) return fault('is no libvirt URI; write qemu:///system or qemu+ssh://HOST/system');
  const [, driver = '', transport = '', host = '', path = '', query = ''] = shape;
  if (driver.toLowerCase() !== 'qemu') return fault(`${JSON.stringify(driver)} is not QEMU's driver; write qemu://…`);
  if (path !== '/system' && path !== '/session') {
    return fault(`the path is /system or /session, not ${JSON.stringify(path)}`);
  }
  const parameters = new Map<string, string>();
  for (const part of query.split(/[&;]/).filter((text) => text !== '')) {
    const equals = part.indexOf('=');
    const name = equals < 0 ? part : part.slice(0, equals);
    const value = decode(equals < 0 ? '' : part.slice(equals + 1));
    if (value === null) return fault(`the parameter ${JSON.stringify(name)} has a bad %-sequence`);
    const foreign = FOREIGN.get(name);
    if (foreign !== undefined) return fault(`the parameter ${JSON.stringify(name)}: ${foreign}`);
    if (!PARAMETERS.has(name)) {
      return fault(`unknown parameter ${JSON.stringify(name)} (known: ${[...PARAMETERS].join(', ')})`);
    }
    parameters.set(name, value);
  }
  const mode = parameters.get('mode') ?? 'auto';
  const files = MODES.get(mode);
  if (files === undefined) return fault(`"mode" is auto, direct or legacy, not ${JSON.stringify(mode)}`);
  const socket = parameters.get('socket') ?? null;
  if (socket !== null && !socket.startsWith('/')) return fault('"socket" is a path that begins with /');

  const name = `qemu://${path}`;
  switch (transport.toLowerCase() || (host === '' ? 'unix' : 'tls')) {
    case 'unix': {
      if (host !== '') return fault('a unix socket is on this host: write three slashes');
      const folder = path === '/system' ? '/run/libvirt' : sessionFolder(environment);
      const paths = socket === null ? files.map((file) => join(folder, file)) : [socket];
      return { ok: true, target: { name, reach: { kind: 'unix', paths } } };
    }
    case 'ssh': {
      const command = sshCommand(host, name, path, socket, files, parameters);
      return typeof command === 'string'
        ? fault(command)
        : { ok: true, target: { name, reach: { kind: 'ssh', command } } };
    }
    case 'libssh':
    case 'libssh2':
      return fault(`qmpmux runs the program ssh: write qemu+ssh://${host}${path}`);
    case 'tcp':
    case 'tls':
      return fault(`libvirt over ${transport || 'TLS'} is not supported; write qemu+ssh://${host || 'HOST'}${path}`);
    default:
      return fault(`the transport ${JSON.stringify(transport)} is not supported (known: unix, ssh)`);
  }
}

const PARAMETERS = new Set(['socket', 'mode', 'command', 'keyfile', 'netcat', 'proxy', 'no_verify', 'no_tty']);

function fault(problem: string): ParsedLibvirtUri {
  return { ok: false, problem };
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function sessionFolder(environment: NodeJS.ProcessEnv): string {
  const runtime = environment['XDG_RUNTIME_DIR'] ?? '';
  if (runtime !== '') return join(runtime, 'libvirt');
  const cache = environment['XDG_CACHE_HOME'] ?? '';
  return join(cache === '' ? join(environment['HOME'] ?? homedir(), '.cache') : cache, 'libvirt');
}

/** The ssh that reaches the daemon, or what is wrong. What a shell reads, over there, is ours but for plain paths. */
function sshCommand(
  place: string,
  name: string,
  path: string,
  socket: string | null,
  files: readonly string[],
  parameters: ReadonlyMap<string, string>,
): readonly [string, ...string[]] | string {
  const match = HOST.exec(place);
  if (match === null) return `${JSON.stringify(place)} is no [USER@]HOST[:PORT]`;
  const [, user, host = '', port] = match;
  const netcat = parameters.get('netcat') ?? 'nc';
  for (const word of [socket ?? '/', netcat.startsWith('/') ? netcat : `/${netcat}`]) {
    if (!PLAIN_PATH.test(word)) return `${JSON.stringify(word)}: letters, digits and @%+=:,./-_ only, over ssh`;
  }
  const byDefault = path === '/session' ? 'native' : 'auto';
  const proxy = parameters.get('proxy') ?? (socket === null && !parameters.has('netcat') ? byDefault : 'netcat');
  if (!['auto', 'netcat', 'native'].includes(proxy)) return `"proxy" is auto, netcat or native, not ${proxy}`;
  if (proxy !== 'netcat' && socket !== null) return '"socket" goes with proxy=netcat';
  if (path === '/session' && proxy !== 'native' && socket === null) {
    return 'where the session daemon listens over there is not known: give its socket=/path, or leave proxy out';
  }
  const remote = socket ?? `/run/libvirt/${files.at(-1)}`;
  const byHelper = `virt-ssh-helper ${name}`;
  const byNetcat = `${netcat} -U ${remote}`;
  const program = {
    native: `exec ${byHelper}`,
    netcat: `exec ${byNetcat}`,
    auto: `if command -v virt-ssh-helper >/dev/null 2>&1; then exec ${byHelper}; else exec ${byNetcat}; fi`,
  }[proxy === 'native' || proxy === 'netcat' ? proxy : 'auto'];
  const keyfile = parameters.get('keyfile');
  const options = [
    '-T',
    '-e',
    'none',
    '-o',
    'BatchMode=yes',
    ...(parameters.get('no_verify') === '1' ? ['-o', 'StrictHostKeyChecking=no'] : []),
    ...(port === undefined ? [] : ['-p', port]),
    ...(user === undefined ? [] : ['-l', user]),
    ...(keyfile === undefined ? [] : ['-i', keyfile]),
  ];
  const bare = host.startsWith('[') ? host.slice(1, -1) : host;
  return [parameters.get('command') ?? 'ssh', ...options, '--', bare, `sh -c '${program}'`];
}
