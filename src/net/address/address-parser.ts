/** Reads addresses; see address.ts. */
import { isIPv4, isIPv6 } from 'node:net';
import { suggestion } from '../../shared/spelling.js';
import { parseDuration } from '../../shared/units.js';
import { LONGEST_KEEP_ALIVE, SHORTEST_KEEP_ALIVE } from '../link/tcp-watch.js';
import {
  type ExecAddress,
  type FdAddress,
  type LibvirtAddress,
  type ListenAddress,
  parseMode,
  type TcpListenAddress,
  type UnixListenAddress,
  type UpstreamAddress,
  URI_OPTION,
} from './address.js';
import { type AddressError, AddressText, controlCharacter, type OptionPart, quoted } from './address-text.js';
import { FOREIGN_SCHEMES, noAbstract, SCHEMES } from './address-words.js';
import { splitCommand } from './command-words.js';
import { isAlias } from './libvirt-conf.js';
import { parseLibvirtUri } from './libvirt-uri.js';

/** The address's purpose: QEMU's side (`upstream`) or the clients' (`listener`). */
type AddressRole = 'upstream' | 'listener';

/** Bytes of a path in a sockaddr_un, the closing NUL left out (unix(7)). */
export const MAX_PATH_BYTES = 107;

/**
 * Reads the address of an upstream.
 * @param served the options of clients, to say of one that it does not belong here
 * @throws AddressError
 */
export function parseUpstream(text: string, served: readonly string[] = []): UpstreamAddress {
  return new AddressParser(text, 'upstream', served).upstream();
}

/** Reads the address of a listener, without options of its clients. @param served as for `parseUpstream`. @throws AddressError */
export function parseListener(text: string, served: readonly string[] = []): ListenAddress {
  return new AddressParser(text, 'listener', served).listener();
}

/**
 * Reads the address of a listener and the options of its clients.
 * @param served the names of those options
 * @param beside options of the address that were given beside it
 * @returns the address, and the options of its clients, to be read by the caller
 * @throws AddressError, and the errors for faults of `beside`
 */
export function parseService(
  text: string,
  served: readonly string[],
  beside: readonly OptionPart[],
): {
  readonly address: ListenAddress;
  readonly options: readonly OptionPart[];
} {
  const reader = new AddressParser(text, 'listener', served, beside);
  return { address: reader.listener(), options: reader.serviceOptions };
}

/** One address while it is read. */
class AddressParser {
  readonly serviceOptions: OptionPart[] = [];
  readonly #text: AddressText;
  readonly #role: AddressRole;
  readonly #served: readonly string[];
  /** Null where options of clients are not taken. */
  readonly #beside: readonly OptionPart[] | null;

  constructor(text: string, role: AddressRole, served: readonly string[], beside: readonly OptionPart[] | null = null) {
    this.#text = new AddressText(text);
    this.#role = role;
    this.#served = served;
    this.#beside = beside;
  }

  upstream(): UpstreamAddress {
    const parsed = this.#parse();
    if (parsed.address.kind === 'exec' || parsed.address.kind === 'libvirt') return parsed.address;
    // #fd refuses it for an upstream; this is for the compiler.
    if (parsed.address.kind === 'fd') throw this.#fault(0, 'fd: is for a listener');
    if (parsed.server) return { kind: 'server', listen: parsed.address };
    return parsed.address;
  }

  listener(): ListenAddress {
    const { address } = this.#parse();
    // #parse refuses these for a listener; this is for the compiler.
    if (address.kind === 'exec' || address.kind === 'libvirt') throw this.#fault(0, 'a listener cannot be an upstream');
    return address;
  }

  #fault(at: number, problem: string): AddressError {
    return this.#text.fault(at, problem);
  }

  #parse(): { readonly address: ListenAddress | ExecAddress | LibvirtAddress; readonly server: boolean } {
    const { text } = this.#text;
    if (text === '') throw this.#fault(0, 'the address is empty; write unix:/path or tcp:HOST:PORT');
    if (text.startsWith('[')) throw this.#fault(0, `a scheme is missing; did you mean ${quoted(`tcp:${text}`)}?`);
    const colon = /^[^/,:]*:/.exec(text)?.[0].length;
    if (colon === undefined) return this.#unix('unix', 0);

    const scheme = text.slice(0, colon - 1);
    const known = SCHEMES.get(scheme.toLowerCase());
    if (known === undefined) throw this.#unknownScheme(scheme, colon);
    switch (known.transport) {
      case 'exec':
        return { address: this.#exec(colon), server: false };
      case 'fd':
        return { address: this.#fd(colon), server: false };
      case 'libvirt':
        return { address: this.#libvirt(colon), server: false };
      case 'tcp':
      case 'tcp-connect':
        return this.#tcp(known.transport, colon, known.family);
      case 'unix':
      case 'unix-connect':
      case 'unix-listen':
        return this.#unix(known.transport, colon);
    }
  }

  #unknownScheme(scheme: string, rest: number): AddressError {
    const foreign = FOREIGN_SCHEMES.get(scheme.toLowerCase());
    if (foreign !== undefined) return this.#fault(0, `${quoted(scheme)}: ${foreign}`);
    if (/^\d+($|,)/.test(this.#text.text.slice(rest))) {
      // Without a host it is this machine that is meant.
      const meant = `tcp:${scheme === '' ? 'localhost' : ''}${this.#text.text}`;
      return this.#fault(0, `a scheme is missing; did you mean ${quoted(meant)}?`);
    }
    const offered = this.#role === 'upstream' ? ['unix', 'tcp', 'exec', 'libvirt'] : ['unix', 'tcp', 'fd'];
    const near = suggestion(scheme, SCHEMES.keys());
    return this.#fault(0, `unknown scheme ${quoted(scheme)}${near || ` (known: ${offered.join(', ')})`}`);
  }

  #exec(from: number): ExecAddress {
    if (this.#role === 'listener') throw this.#fault(0, 'a listener cannot be a command; exec: is for an upstream');
    const command = splitCommand(this.#text.text.slice(from));
    if (!command.ok) throw this.#fault(from + command.at, command.problem);
    return { kind: 'exec', command: command.words };
  }

  #fd(from: number): FdAddress {
    if (this.#role === 'upstream') throw this.#fault(0, 'fd: is for a listener: an inherited listening socket');
    const { head, options } = this.#split(from);
    if (!/^[A-Za-z0-9_.@-]+$/.test(head)) throw this.#fault(from, 'fd: takes a number or a name from systemd');
    const [option] = options;
    if (option !== undefined) {
      throw option.fault(`"${option.name}" cannot be set on an inherited socket`);
    }
    return { kind: 'fd', name: head };
  }

  #libvirt(from: number): LibvirtAddress {
    if (this.#role === 'listener') throw this.#fault(0, 'a listener cannot be a VM; libvirt: is for an upstream');
    const text = this.#text.text.slice(from);
    const control = controlCharacter(text);
    if (control >= 0) throw this.#fault(from + control, 'a control character in the address');
    const option = text.indexOf(URI_OPTION);
    const domain = option < 0 ? text : text.slice(0, option);
    if (domain === '') throw this.#fault(from, 'the domain is missing: libvirt:NAME, an id or a UUID');
    const slash = domain.indexOf('/');
    if (slash >= 0) throw this.#fault(from + slash, "a domain's name has no slash; write libvirt:DOMAIN?uri=URI");
    if (option < 0) return { kind: 'libvirt', domain };
    const uri = text.slice(option + URI_OPTION.length);
    // libvirt.conf is looked up at each attempt.
    const parsed = isAlias(uri) ? null : parseLibvirtUri(uri);
    if (parsed?.ok === false) throw this.#fault(from + option + URI_OPTION.length, `${quoted(uri)}: ${parsed.problem}`);
    return { kind: 'libvirt', domain, uri };
  }

  #unix(spelling: 'unix' | 'unix-connect' | 'unix-listen', from: number) {
    if (this.#role === 'listener' && spelling === 'unix-connect') {
      throw this.#fault(0, 'a listener does not connect; write unix:/path or UNIX-LISTEN:/path');
    }
    const { head, options } = this.#split(from);
    if (head === '') throw this.#fault(from, 'the path is empty');
    if (/^\d+$/.test(head)) {
      // Node takes it for a port, too.
      throw this.#fault(
        from,
        `${quoted(head)} is only a port; did you mean "tcp:localhost:${head}"? (or ./${head}, a path)`,
      );
    }
    if (head.startsWith('@')) throw this.#fault(from, `${quoted(head)}: ${noAbstract} (a path may begin with ./@)`);
    if (head.startsWith('~')) {
      throw this.#fault(from, 'only a shell expands "~"; write the folder out (or ./~)');
    }
    const control = controlCharacter(head);
    if (control >= 0) throw this.#fault(from + control, 'a control character in the path');
    const bytes = Buffer.byteLength(head);
    if (bytes > MAX_PATH_BYTES) {
      throw this.#fault(
        from,
        `the path has ${bytes} bytes, and a unix socket's at most ${MAX_PATH_BYTES}; use a shorter one`,
      );
    }

    let server = this.#role === 'upstream' && spelling === 'unix-listen';
    let made: Omit<UnixListenAddress, 'kind' | 'path'> = {};
    let madeAt: OptionPart | null = null;
    let lines: boolean | undefined;
    for (const option of options) {
      switch (option.name) {
        case 'server': {
          const on = this.#serverOption(option);
          if (on && spelling === 'unix-connect') throw option.fault('"server" contradicts UNIX-CONNECT');
          server = on;
          break;
        }
        case 'mode': {
          const mode = parseMode(this.#text.value(option));
          if (mode === null) throw option.fault('mode must be octal, such as mode=0660', 0);
          made = { ...made, mode };
          madeAt ??= option;
          break;
        }
        case 'lines':
          lines = this.#lines(option);
          break;
        case 'user':
        case 'group':
          made = { ...made, [option.name]: this.#text.value(option) };
          madeAt ??= option;
          break;
        case 'shared-folder':
          if (this.#text.isOn(option)) made = { ...made, sharedFolder: true };
          madeAt ??= option;
          break;
        default:
          throw option.fault(`"${option.name}" is not an option of a unix socket`);
      }
    }
    if (madeAt !== null && this.#role === 'upstream' && !server) {
      throw madeAt.fault(`"${madeAt.name}" is for a socket that qmpmux creates, not for one it connects to`);
    }
    return {
      address: { kind: 'unix', path: head, ...(lines === undefined ? {} : { lines }), ...made } as const,
      server,
    };
  }

  #tcp(spelling: 'tcp' | 'tcp-connect', from: number, schemeFamily: 4 | 6 | undefined) {
    if (this.#role === 'listener' && spelling === 'tcp-connect') {
      throw this.#fault(0, 'a listener does not connect; write tcp:localhost:PORT');
    }
    const { head, options } = this.#split(from);
    const { host, port } = this.#hostAndPort(head, from);

    let server = false;
    let family = schemeFamily;
    let tls: string | undefined;
    let insecure = false;
    let telnet = false;
    let keepAlive: number | undefined;
    let lines: boolean | undefined;
    for (const option of options) {
      switch (option.name) {
        case 'telnet':
          if (this.#role === 'upstream') throw option.fault('"telnet" is for a listener; QMP needs none');
          telnet = this.#text.isOn(option);
          break;
        case 'lines':
          lines = this.#lines(option);
          break;
        case 'keepalive':
          keepAlive = this.#keepAlive(option);
          break;
        case 'tls':
        case 'insecure':
          if (this.#role === 'upstream') {
            throw option.fault(`"${option.name}" is for a listener; for an upstream over TLS use exec: with socat`);
          }
          if (option.name === 'tls') tls = this.#text.value(option);
          else insecure = this.#text.isOn(option);
          break;
        case 'server':
          server = this.#serverOption(option);
          if (server && spelling === 'tcp-connect') throw option.fault('"server" contradicts TCP-CONNECT');
          break;
        case 'ipv4':
        case 'ipv6': {
          const wanted = option.name === 'ipv4' ? 4 : 6;
          if (this.#text.isOn(option)) {
            if (family !== undefined && family !== wanted) throw option.fault('IPv4 and IPv6 contradict each other');
            family = wanted;
          }
          break;
        }
        default:
          throw option.fault(`"${option.name}" is not an option of a tcp address`);
      }
    }
    if ((family === 4 && isIPv6(host)) || (family === 6 && isIPv4(host))) {
      throw this.#fault(from, `${quoted(host)} is no IPv${family} address`);
    }
    if (port === 0 && this.#role === 'upstream' && !server)
      throw this.#fault(from + head.length - 1, 'port 0 cannot be reached');
    const address: TcpListenAddress = {
      kind: 'tcp',
      host,
      port,
      ...(family === undefined ? {} : { family }),
      ...(keepAlive === undefined ? {} : { keepAlive }),
      ...(lines === undefined ? {} : { lines }),
      ...(tls === undefined ? {} : { tls }),
      ...(insecure ? { insecure } : {}),
      ...(telnet ? { telnet } : {}),
    };
    return { address, server };
  }

  #lines(option: OptionPart): boolean | undefined {
    if (this.#role === 'listener') throw option.fault('"lines" is for an upstream; clients may end their lines or not');
    return option.value === 'auto' ? undefined : this.#text.isOn(option);
  }

  #keepAlive(option: OptionPart): number | undefined {
    if (option.value === null || option.value === 'on') return undefined;
    const time = option.value === 'off' ? 0 : parseDuration(this.#text.value(option));
    if (time === 0) return 0;
    if (time !== null && time >= SHORTEST_KEEP_ALIVE && time <= LONGEST_KEEP_ALIVE) return time;
    throw option.fault('"keepalive" must be off, or a time from 15s to 1h', 0);
  }

  #hostAndPort(head: string, from: number): { readonly host: string; readonly port: number } {
    let host: string;
    let portAt: number;
    if (head.startsWith('[')) {
      const close = head.indexOf(']');
      if (close < 0) throw this.#fault(from, '"[" without "]" around an IPv6 address');
      host = head.slice(1, close);
      if (!isIPv6(host)) throw this.#fault(from + 1, `${quoted(host)} is no IPv6 address`);
      if (head[close + 1] !== ':') throw this.#fault(from + close + 1, 'the port is missing: tcp:[ADDRESS]:PORT');
      portAt = close + 2;
    } else {
      const colon = head.lastIndexOf(':');
      if (colon < 0) throw this.#fault(from, 'the port is missing: tcp:HOST:PORT');
      host = head.slice(0, colon);
      portAt = colon + 1;
      if (host.includes(':')) throw this.#fault(from, 'put an IPv6 address in brackets: tcp:[::1]:4444');
      if (host === '') {
        // QEMU takes an empty host for this machine when dialling, and for every network address when listening.
        if (this.#role === 'listener') {
          throw this.#fault(
            from,
            `the host is missing; for this machine only, write tcp:localhost:${head.slice(portAt)}`,
          );
        }
        host = 'localhost';
      }
      if (!/^[\w.-]+$/.test(host)) throw this.#fault(from, `${quoted(host)} is no host name`);
      if (/^[\d.]+$/.test(host) && !isIPv4(host)) throw this.#fault(from, `${quoted(host)} is no IPv4 address`);
    }
    const digits = head.slice(portAt);
    if (!/^\d{1,5}$/.test(digits) || Number(digits) > 65535) {
      throw this.#fault(from + portAt, `the port must be a number up to 65535, not ${quoted(digits)}`);
    }
    return { host, port: Number(digits) };
  }

  #serverOption(option: OptionPart): boolean {
    if (this.#role === 'listener') {
      throw option.fault('"server" is for an upstream that QEMU connects to; a listener always listens, leave it out');
    }
    return this.#text.isOn(option);
  }

  /** Sets aside the options of a socket's clients. @returns the rest */
  #split(from: number): { readonly head: string; readonly options: readonly OptionPart[] } {
    const { head, options } = this.#text.split(from, this.#served, this.#beside ?? []);
    const isServed = ({ name }: OptionPart) => this.#served.includes(name);
    const served = options.filter(isServed);
    const [first] = served;
    if (first !== undefined && this.#beside === null) {
      throw first.fault(`"${first.name}" is for the clients of a socket that qmpmux serves`);
    }
    this.serviceOptions.push(...served);
    return { head, options: options.filter((option) => !isServed(option)) };
  }
}
