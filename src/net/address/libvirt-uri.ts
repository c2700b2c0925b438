/**
 * libvirt's connection URIs, as far as they lead to QEMU's driver: where the daemon is, and how it is reached.
 *
 *     qemu:///system, qemu:///session          this host; also qemu+unix://, and ?socket=/path
 *     qemu+ssh://[user@]host[:port]/system     through ssh and, over there, virt-ssh-helper or nc
 *     qemu+tls://host[:port]/system            encrypted; also qemu://host/system
 *     qemu+tcp://host[:port]/system            in the clear
 *     qemu+ext:///system?command=/path         over the input and output of a program
 *
 * Parameters have the meaning that libvirt gives them (its uri.html). Those that would have to do something and can't are refused.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { HOST, isUnverified, type SshPlace, sshCommand } from './libvirt-ssh.js';

/** Which way leads to a daemon. */
type LibvirtReach =
  | {
      readonly kind: 'unix';
      /** Tried in this order. */
      readonly paths: readonly string[];
    }
  /** Through the input and output of a program. */
  | { readonly kind: 'command'; readonly command: readonly [string, ...string[]] }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | {
      readonly kind: 'tls';
      readonly host: string;
      readonly port: number;
      /** The folder of the certificates; libvirt's usual places when null. */
      readonly pki: string | null;
      /** Whether the daemon's certificate must be good. */
      readonly verifies: boolean;
    };

/** A connection to a server: `unverified` when somebody else may be in the server's place, `clear` when anybody may read and write along. */
export type Wire = 'private' | 'unverified' | 'clear';

/** A URI's settings for logging in. */
export interface LogIn {
  /** Whose credentials are looked up. */
  readonly host: string;
  /** The file they are in, if it is given. */
  readonly file: string | null;
  /** The way that must be taken, and for SASL the mechanism; null for whatever the daemon asks for. */
  readonly way:
    | { readonly kind: 'none' | 'polkit' }
    | { readonly kind: 'sasl'; readonly mechanism: string | null }
    | null;
  readonly wire: Wire;
}

/** How a libvirt daemon is reached. */
export interface LibvirtTarget {
  /** The URI that the daemon is asked to open: one without transport, host and parameters. */
  readonly name: string;
  readonly reach: LibvirtReach;
  readonly logIn: LogIn;
}

type ParsedLibvirtUri =
  | { readonly ok: true; readonly target: LibvirtTarget }
  | { readonly ok: false; readonly problem: string };

const SHAPE = /^([a-z][a-z\d]*)(?:\+([a-z\d]+))?:\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/i;

const MODES = new Map([
  ['auto', ['virtqemud-sock', 'libvirt-sock']],
  ['direct', ['virtqemud-sock']],
  ['legacy', ['libvirt-sock']],
]);

/** Of IANA for libvirt; LIBVIRTD_TCP_PORT and LIBVIRTD_TLS_PORT. */
const PORTS = { tcp: 16509, tls: 16514 } as const;

const PARAMETERS = [
  'socket',
  'mode',
  'name',
  'command',
  'keyfile',
  'netcat',
  'proxy',
  'known_hosts',
  'known_hosts_verify',
  'pkipath',
  'auth',
  'authfile',
  'no_verify',
  // Without a meaning here: nobody is asked anything, and our own certificate is left to the daemon's judgement.
  'no_tty',
  'no_sanity',
];
/** Of libvirt's parameters, those that have no place here. */
const FOREIGN = new Map([
  ['sshauth', 'put it into ~/.ssh/config, because qmpmux runs the program ssh'],
  ['tls_priority', "this is for GnuTLS, and qmpmux uses Node's TLS, version 1.2 or later: leave it out"],
]);

/** Reads a URI. Whether anybody is there is found out by dialling. */
export function parseLibvirtUri(uri: string, environment: NodeJS.ProcessEnv = process.env): ParsedLibvirtUri {
  const shape = SHAPE.exec(uri);
  if (shape === null) return fault('is not a libvirt URI; write qemu:///system or qemu+ssh://HOST/system');
  const [, driver = '', transport = '', host = '', path = '', query = ''] = shape;
  if (driver.toLowerCase() !== 'qemu') return fault(`${JSON.stringify(driver)} is not QEMU's driver; write qemu://…`);
  if (path !== '/system' && path !== '/session') {
    return fault(`the path is /system or /session, not ${JSON.stringify(path)}`);
  }
  const parameters = readParameters(query);
  if (typeof parameters === 'string') return fault(parameters);
  const mode = parameters.get('mode') ?? 'auto';
  const files = MODES.get(mode);
  if (files === undefined) return fault(`"mode" is auto, direct or legacy, not ${JSON.stringify(mode)}`);
  const socket = parameters.get('socket') ?? null;
  if (socket !== null && !socket.startsWith('/')) return fault('"socket" is a path that begins with /');
  const trust = parameters.get('no_verify') ?? '0';
  // As libvirt: anything but a number, such as "no", is refused, and never switches the check off.
  if (!/^\d{1,9}$/.test(trust)) return fault(`"no_verify" is 0 or 1, not ${JSON.stringify(trust)}`);
  const name = parameters.get('name') ?? `qemu://${path}`;
  if (!/^qemu:\/\/\/(?:system|session)$/.test(name)) return fault('"name" is qemu:///system or qemu:///session');

  const reach = readReach(transport.toLowerCase() || (host === '' ? 'unix' : 'tls'), {
    place: host,
    name,
    path,
    socket,
    files,
    parameters,
    environment,
  });
  if (typeof reach === 'string') return fault(reach);
  const way = readWay(parameters.get('auth'));
  if (typeof way === 'string') return fault(way);
  const logIn = {
    host: hostName(host),
    file: parameters.get('authfile') ?? null,
    way,
    wire: wireOf(reach, parameters),
  };
  return { ok: true, target: { name, reach, logIn } };
}

interface Parts extends SshPlace {
  readonly environment: NodeJS.ProcessEnv;
}

/** @returns how the transport reads the rest, or the fault */
function readReach(transport: string, parts: Parts): LibvirtReach | string {
  const { place, path, socket, files, parameters } = parts;
  switch (transport) {
    case 'unix': {
      if (place !== '') return 'a unix socket is always on this host: write three slashes';
      const folder = path === '/system' ? '/run/libvirt' : sessionFolder(parts.environment);
      return { kind: 'unix', paths: socket === null ? files.map((file) => join(folder, file)) : [socket] };
    }
    // The same to libvirt, by libraries in place of the program.
    case 'ssh':
    case 'libssh':
    case 'libssh2': {
      const command = sshCommand(parts);
      return typeof command === 'string' ? command : { kind: 'command', command };
    }
    case 'ext': {
      const command = parameters.get('command') ?? '';
      return command === '' ? 'qemu+ext:// takes a program, as command=/path' : { kind: 'command', command: [command] };
    }
    case 'tcp':
    case 'tls': {
      const address = readHost(place, PORTS[transport]);
      if (typeof address === 'string') return address;
      if (transport === 'tcp') return { kind: 'tcp', ...address };
      const pki = parameters.get('pkipath') ?? null;
      return { kind: 'tls', ...address, pki, verifies: Number(parameters.get('no_verify') ?? '0') === 0 };
    }
    default:
      return `the transport ${JSON.stringify(transport)} is not supported (known: unix, ssh, tls, tcp, ext)`;
  }
}

function hostName(place: string): string {
  const host = HOST.exec(place)?.[2] ?? 'localhost';
  return host.startsWith('[') ? host.slice(1, -1) : host;
}

function wireOf(reach: LibvirtReach, parameters: ReadonlyMap<string, string>): LogIn['wire'] {
  if (reach.kind === 'tcp') return 'clear';
  const isBlind = reach.kind === 'tls' ? !reach.verifies : reach.kind === 'command' && isUnverified(parameters);
  return isBlind ? 'unverified' : 'private';
}

/** `auth=`: sasl, sasl.MECHANISM, polkit or none. @returns it, or the fault */
function readWay(value: string | undefined): LogIn['way'] | string {
  if (value === undefined) return null;
  const sasl = /^sasl(?:\.([\w-]+))?$/i.exec(value);
  if (sasl !== null) return { kind: 'sasl', mechanism: sasl[1]?.toUpperCase() ?? null };
  if (value === 'polkit' || value === 'none') return { kind: value };
  return `"auth" is sasl, sasl.MECHANISM, polkit or none, not ${JSON.stringify(value)}`;
}

function readHost(place: string, usual: number): { readonly host: string; readonly port: number } | string {
  // As libvirt: without a name, it is this host.
  const match = HOST.exec(place === '' ? 'localhost' : place);
  if (match === null) return `${JSON.stringify(place)} is not HOST[:PORT]`;
  const [, user, host = '', number] = match;
  if (user !== undefined) return `${JSON.stringify(place)}: a user works only with ssh`;
  const port = number === undefined ? usual : Number(number);
  if (port < 1 || port > 65_535) return `the port must be 1 to 65535, not ${port}`;
  return { host: host.startsWith('[') ? host.slice(1, -1) : host, port };
}

/** @returns parameters by name, or a fault in one */
function readParameters(query: string): ReadonlyMap<string, string> | string {
  const parameters = new Map<string, string>();
  for (const part of query.split(/[&;]/).filter((text) => text !== '')) {
    const equals = part.indexOf('=');
    const name = equals < 0 ? part : part.slice(0, equals);
    const value = decode(equals < 0 ? '' : part.slice(equals + 1));
    if (value === null) return `the parameter ${JSON.stringify(name)} has a bad %-sequence`;
    const foreign = FOREIGN.get(name);
    if (foreign !== undefined) return `the parameter ${JSON.stringify(name)}: ${foreign}`;
    if (!PARAMETERS.includes(name))
      return `unknown parameter ${JSON.stringify(name)} (known: ${PARAMETERS.join(', ')})`;
    parameters.set(name, value);
  }
  return parameters;
}

function fault(problem: string): ParsedLibvirtUri {
  return { ok: false, problem };
}

/** Null where it is none, or would end a path or a word early. */
function decode(text: string): string | null {
  try {
    const decoded = decodeURIComponent(text);
    return decoded.includes('\0') ? null : decoded;
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
