/**
 * Addresses: where QEMU is reached, and where clients reach us.
 *
 *     /run/vm.qmp                   a unix socket; also vm.qmp, unix:/run/vm.qmp, UNIX-CONNECT:/run/vm.qmp, UNIX-LISTEN:/run/vm.mux
 *     tcp:host:port                 also tcp:[::1]:4444, TCP:…, TCP4:…, TCP6:…
 *     fd:3, fd:NAME                 listeners only: a listening socket that systemd, or whoever started us, has handed over
 *     exec:command word 'a word'    upstream only: QMP over the standard input and output of a command (see command-words.ts)
 *     libvirt:domain                upstream only: a VM of libvirt's, by name, id or UUID; also libvirt:domain?uri=qemu+ssh://host/system
 *
 * Options follow after commas, in the words of QEMU and socat: `mode=0660`, `user=`, `group=` where we make a unix socket;
 * `server` on an upstream (QEMU dials us, as with `-qmp unix:/path,reconnect=1`); `ipv4`, `ipv6` on tcp; `tls=FOLDER`, `insecure` on a
 * tcp listener; on a listener also what is
 * said of its clients (`policy=`, `events=`, …: see daemon/listener-settings.ts). A comma that belongs to a
 * path or a value is written `,,`. All that follows `exec:` is the command, commas included, and all that
 * follows `libvirt:` the domain.
 *
 * An address that parses is well-formed; whether it can be used is found out by who uses it.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { QmpmuxError } from '../errors.js';
import { suggestion } from '../spelling.js';
import { FOREIGN_OPTIONS, FOREIGN_SCHEMES, noAbstract, OPTIONS, SCHEMES, SERVICE_OPTIONS } from './address-words.js';
import { joinCommand, splitCommand } from './command-words.js';
import { parseLibvirtUri } from './libvirt-uri.js';

/** A unix socket that exists already. */
export interface UnixAddress {
  readonly kind: 'unix';
  readonly path: string;
}

/** A unix socket that we make. */
export interface UnixListenAddress extends UnixAddress {
  /** Permission bits, 0 to 0o777; 0600 when absent. */
  readonly mode?: number;
  /** Name or number of the account that is to own the socket file. */
  readonly user?: string;
  readonly group?: string;
  /** A socket whose owner and mode it is to have where nothing else is said: that of the QEMU whose place it takes. Never in a text. */
  readonly like?: string;
}

export interface TcpAddress {
  readonly kind: 'tcp';
  /** An IP address (without brackets) or a name. */
  readonly host: string;
  /** 0, when listening only: the kernel picks one. */
  readonly port: number;
  /** What a name may resolve to; both when absent. */
  readonly family?: 4 | 6;
}

export interface ExecAddress {
  readonly kind: 'exec';
  /** The program and its arguments. */
  readonly command: readonly [string, ...string[]];
}

/** A TCP address that we listen on: on this machine alone, unless one of these is said. */
export interface TcpListenAddress extends TcpAddress {
  /** A folder with certificates (see tls-files.ts): TLS, and clients must have one too. */
  readonly tls?: string;
  /** Whether anyone who can reach the port may connect, unencrypted. */
  readonly insecure?: boolean;
}

/** A listening socket that was handed over to us; see inherited.ts. */
export interface FdAddress {
  readonly kind: 'fd';
  /** A number, or the name systemd gave it. */
  readonly name: string;
}

/** A VM that libvirt owns. */
export interface LibvirtAddress {
  readonly kind: 'libvirt';
  /** Its name, id or UUID. */
  readonly domain: string;
  /** Of the libvirt daemon; virsh's default when absent. */
  readonly uri?: string;
}

/** Where we listen. */
export type ListenAddress = UnixListenAddress | TcpListenAddress | FdAddress;

/** An upstream that we dial. */
export type DialAddress = UnixAddress | TcpAddress | ExecAddress | LibvirtAddress;

/** An upstream for which we listen: QEMU dials us. */
export interface ServerAddress {
  readonly kind: 'server';
  readonly listen: UnixListenAddress | TcpListenAddress;
}

export type UpstreamAddress = DialAddress | ServerAddress;

/** What the address is for: QEMU's side (`upstream`) or the clients' (`listener`). */
export type AddressRole = 'upstream' | 'listener';

/** A text that is no address; the message says what is wrong and where. */
export class AddressError extends QmpmuxError {
  readonly code = 'QMPMUX_ADDRESS';
  readonly text: string;
  /** Where in `text` the fault is, from 1. */
  readonly column: number;

  constructor(text: string, at: number, problem: string) {
    super(`address ${quoted(text)}, column ${at + 1}: ${problem}`);
    this.text = text;
    this.column = at + 1;
  }
}

/** Bytes of a path in a sockaddr_un, the closing NUL left out (unix(7)). */
const MAX_PATH_BYTES = 107;
/** Between a domain and the URI of its libvirt, which may have any character. */
const URI_OPTION = '?uri=';

/** Reads the address of an upstream. @throws AddressError */
export function parseUpstream(text: string): UpstreamAddress {
  return new AddressText(text, 'upstream').upstream();
}

/** Reads the address of a listener. @throws AddressError */
export function parseListener(text: string): ListenAddress {
  return new AddressText(text, 'listener').listener();
}

/** An option that says how the clients of a socket are served. */
export interface ServiceOption {
  readonly name: string;
  /** null for an option without `=`. */
  readonly value: string | null;
  /** Makes the error that names the option's place. */
  fault(problem: string): AddressError;
}

/** Reads the address of a listener and what is said of its clients. @throws AddressError */
export function parseService(text: string): {
  readonly address: ListenAddress;
  readonly options: readonly ServiceOption[];
} {
  const reader = new AddressText(text, 'listener', true);
  return { address: reader.listener(), options: reader.serviceOptions };
}

/** The canonical spelling of an address; it parses back to the same address. */
export function formatAddress(address: UpstreamAddress | ListenAddress): string {
  switch (address.kind) {
    case 'exec':
      return `exec:${joinCommand(address.command)}`;
    case 'fd':
      return formatPlace(address);
    case 'libvirt':
      return `libvirt:${address.domain}${address.uri === undefined ? '' : `${URI_OPTION}${address.uri}`}`;
    case 'server':
      return `${formatAddress(address.listen)},server=on`;
    case 'tcp': {
      const { family, tls, insecure }: TcpListenAddress = address;
      return (
        formatPlace(address) +
        (family === undefined ? '' : `,ipv${family}=on`) +
        (tls === undefined ? '' : `,tls=${doubleCommas(tls)}`) +
        (insecure === true ? ',insecure=on' : '')
      );
    }
    case 'unix': {
      // An address without these options and one we only dial look alike; both are written the same.
      const { mode, user, group }: UnixListenAddress = address;
      return (
        formatPlace(address) +
        (mode === undefined ? '' : `,mode=${formatMode(mode)}`) +
        (user === undefined ? '' : `,user=${doubleCommas(user)}`) +
        (group === undefined ? '' : `,group=${doubleCommas(group)}`)
      );
    }
  }
}

/** The address without its options: what a client is told to connect to. */
export function formatPlace(address: UnixAddress | TcpAddress | FdAddress): string {
  if (address.kind === 'fd') return `fd:${address.name}`;
  if (address.kind === 'unix') return `unix:${doubleCommas(address.path)}`;
  return `tcp:${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

/** Permission bits as people write them: 0660. */
export function formatMode(mode: number): string {
  return `0${mode.toString(8).padStart(3, '0')}`;
}

/** Permission bits from `0660` or `660`, or null. */
export function parseMode(text: string): number | null {
  return /^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : null;
}

function doubleCommas(text: string): string {
  return text.replaceAll(',', ',,');
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 199)}…` : text);
}

interface OptionPart {
  readonly name: string;
  /** null for an option without `=`. */
  readonly value: string | null;
  readonly at: number;
  readonly valueAt: number;
}

/** One address while it is read. */
class AddressText {
  readonly serviceOptions: ServiceOption[] = [];
  readonly #text: string;
  readonly #role: AddressRole;
  readonly #takesService: boolean;

  constructor(text: string, role: AddressRole, takesService = false) {
    this.#text = text;
    this.#role = role;
    this.#takesService = takesService;
  }

  upstream(): UpstreamAddress {
    const parsed = this.#parse();
    if (parsed.address.kind === 'exec' || parsed.address.kind === 'libvirt') return parsed.address;
    // #fd refuses it for an upstream; this tells the compiler.
    if (parsed.address.kind === 'fd') throw this.#fault(0, 'fd: is for a listener');
    if (parsed.server) return { kind: 'server', listen: parsed.address };
    return parsed.address;
  }

  listener(): ListenAddress {
    const { address } = this.#parse();
    // #parse refuses these for a listener; this tells the compiler.
    if (address.kind === 'exec' || address.kind === 'libvirt') throw this.#fault(0, 'a listener cannot be an upstream');
    return address;
  }

  #fault(at: number, problem: string): AddressError {
    return new AddressError(this.#text, at, problem);
  }

  #parse(): { readonly address: ListenAddress | ExecAddress | LibvirtAddress; readonly server: boolean } {
    const text = this.#text;
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
    if (/^\d+($|,)/.test(this.#text.slice(rest))) {
      // Without a host it is this machine that is meant.
      const meant = `tcp:${scheme === '' ? 'localhost' : ''}${this.#text}`;
      return this.#fault(0, `a scheme is missing; did you mean ${quoted(meant)}?`);
    }
    const offered = this.#role === 'upstream' ? ['unix', 'tcp', 'exec', 'libvirt'] : ['unix', 'tcp', 'fd'];
    const near = suggestion(scheme, SCHEMES.keys());
    return this.#fault(0, `unknown scheme ${quoted(scheme)}${near || ` (known: ${offered.join(', ')})`}`);
  }

  #exec(from: number): ExecAddress {
    if (this.#role === 'listener') throw this.#fault(0, 'a listener cannot be a command; exec: is for an upstream');
    const command = splitCommand(this.#text.slice(from));
    if (!command.ok) throw this.#fault(from + command.at, command.problem);
    return { kind: 'exec', command: command.words };
  }

  #fd(from: number): FdAddress {
    if (this.#role === 'upstream')
      throw this.#fault(0, 'fd: is for a listener: a listening socket that was handed over');
    const { head, options } = this.#split(from);
    if (!/^[A-Za-z0-9_.@-]+$/.test(head))
      throw this.#fault(from, 'fd: takes a number, or a name such as systemd gives');
    const [option] = options;
    if (option !== undefined) {
      throw this.#fault(option.at, `"${option.name}" is the business of who made the socket`);
    }
    return { kind: 'fd', name: head };
  }

  #libvirt(from: number): LibvirtAddress {
    if (this.#role === 'listener') throw this.#fault(0, 'a listener cannot be a VM; libvirt: is for an upstream');
    const text = this.#text.slice(from);
    const control = controlCharacter(text);
    if (control >= 0) throw this.#fault(from + control, 'a control character in the address');
    const option = text.indexOf(URI_OPTION);
    const domain = option < 0 ? text : text.slice(0, option);
    if (domain === '') throw this.#fault(from, 'the domain is missing: libvirt:NAME, an id or a UUID');
    if (option < 0) return { kind: 'libvirt', domain };
    const uri = text.slice(option + URI_OPTION.length);
    const parsed = parseLibvirtUri(uri);
    if (!parsed.ok) throw this.#fault(from + option + URI_OPTION.length, `${quoted(uri)}: ${parsed.problem}`);
    return { kind: 'libvirt', domain, uri };
  }

  #unix(spelling: 'unix' | 'unix-connect' | 'unix-listen', from: number) {
    if (this.#role === 'listener' && spelling === 'unix-connect') {
      throw this.#fault(0, 'a listener does not connect; write unix:/path or UNIX-LISTEN:/path');
    }
    const { head, options } = this.#split(from);
    if (head === '') throw this.#fault(from, 'the path is empty');
    if (head.startsWith('@')) throw this.#fault(from, `${quoted(head)}: ${noAbstract} (a path may begin with ./@)`);
    if (head.startsWith('~')) {
      throw this.#fault(from, '"~" stands for a home folder only in a shell; write the folder out (or ./~)');
    }
    const control = controlCharacter(head);
    if (control >= 0) throw this.#fault(from + control, 'a control character in the path');
    const bytes = Buffer.byteLength(head);
    if (bytes > MAX_PATH_BYTES) {
      throw this.#fault(
        from,
        `the path has ${bytes} bytes, a unix socket's has ${MAX_PATH_BYTES} at most; use a shorter one`,
      );
    }

    let server = this.#role === 'upstream' && spelling === 'unix-listen';
    let made: Omit<UnixListenAddress, 'kind' | 'path'> = {};
    let madeAt: OptionPart | null = null;
    for (const option of options) {
      switch (option.name) {
        case 'server': {
          const on = this.#serverOption(option);
          if (on && spelling === 'unix-connect') throw this.#fault(option.at, '"server" contradicts UNIX-CONNECT');
          server = on;
          break;
        }
        case 'mode': {
          const mode = parseMode(this.#value(option));
          if (mode === null) throw this.#fault(option.valueAt, 'mode is octal, such as mode=0660');
          made = { ...made, mode };
          madeAt ??= option;
          break;
        }
        case 'user':
        case 'group':
          made = { ...made, [option.name]: this.#value(option) };
          madeAt ??= option;
          break;
        default:
          throw this.#fault(option.at, `"${option.name}" is not an option of a unix socket`);
      }
    }
    if (madeAt !== null && this.#role === 'upstream' && !server) {
      throw this.#fault(madeAt.at, `"${madeAt.name}" is for a socket that qmpmux makes, not for one it connects to`);
    }
    return { address: { kind: 'unix', path: head, ...made } as const, server };
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
    for (const option of options) {
      switch (option.name) {
        case 'tls':
        case 'insecure':
          if (this.#role === 'upstream') {
            throw this.#fault(
              option.at,
              `"${option.name}" is for a listener; for an upstream over TLS use exec: with socat`,
            );
          }
          if (option.name === 'tls') tls = this.#value(option);
          else insecure = this.#isOn(option);
          break;
        case 'server':
          server = this.#serverOption(option);
          if (server && spelling === 'tcp-connect') throw this.#fault(option.at, '"server" contradicts TCP-CONNECT');
          break;
        case 'ipv4':
        case 'ipv6': {
          const wanted = option.name === 'ipv4' ? 4 : 6;
          if (this.#isOn(option)) {
            if (family !== undefined && family !== wanted)
              throw this.#fault(option.at, 'IPv4 and IPv6 contradict each other');
            family = wanted;
          }
          break;
        }
        default:
          throw this.#fault(option.at, `"${option.name}" is not an option of a tcp address`);
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
      ...(tls === undefined ? {} : { tls }),
      ...(insecure ? { insecure } : {}),
    };
    return { address, server };
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
      if (host.includes(':')) throw this.#fault(from, 'an IPv6 address stands in brackets: tcp:[::1]:4444');
      if (host === '') {
        // QEMU takes an empty host for this machine when dialling, and for every network address when listening.
        if (this.#role === 'listener') {
          throw this.#fault(
            from,
            `the host is missing; for this machine alone write tcp:localhost:${head.slice(portAt)}`,
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

  #value(option: OptionPart): string {
    if (option.value === null || option.value === '') {
      throw this.#fault(option.at, `"${option.name}" needs a value: ${option.name}=…`);
    }
    const control = controlCharacter(option.value);
    if (control >= 0) throw this.#fault(option.valueAt + control, `a control character in "${option.name}"`);
    return option.value;
  }

  #isOn(option: OptionPart): boolean {
    if (option.value === null || option.value === 'on') return true;
    if (option.value === 'off') return false;
    throw this.#fault(option.valueAt, `"${option.name}" is on or off, not ${quoted(option.value)}`);
  }

  #serverOption(option: OptionPart): boolean {
    if (this.#role === 'listener') {
      throw this.#fault(
        option.at,
        '"server" is for an upstream that dials us; a listener always listens, leave it out',
      );
    }
    return this.#isOn(option);
  }

  /** Cuts the text behind `from` at its single commas; `,,` stands for one comma. */
  #split(from: number): { readonly head: string; readonly options: readonly OptionPart[] } {
    const parts: { text: string; at: number }[] = [];
    let part = { text: '', at: from };
    for (let i = from; i < this.#text.length; i++) {
      const char = this.#text.charAt(i);
      if (char !== ',') {
        part.text += char;
      } else if (this.#text[i + 1] === ',') {
        part.text += ',';
        i++;
      } else {
        parts.push(part);
        part = { text: '', at: i + 1 };
      }
    }
    parts.push(part);

    const options: OptionPart[] = [];
    for (const { text, at } of parts.slice(1)) {
      const equals = text.indexOf('=');
      const name = equals < 0 ? text : text.slice(0, equals);
      if (name === '')
        throw this.#fault(
          Math.min(at, this.#text.length - 1),
          'an option is missing behind the comma (",," is a comma in a path)',
        );
      const foreign = FOREIGN_OPTIONS.get(name);
      if (foreign !== undefined) throw this.#fault(at, `${quoted(name)}: ${foreign}`);
      if (!OPTIONS.includes(name)) {
        const near = suggestion(name, OPTIONS) || ` (known: ${OPTIONS.join(', ')}; a comma in a path is written ",,")`;
        throw this.#fault(at, `unknown option ${quoted(name)}${near}`);
      }
      if (options.some((other) => other.name === name)) throw this.#fault(at, `"${name}" is given twice`);
      options.push({ name, value: equals < 0 ? null : text.slice(equals + 1), at, valueAt: at + name.length + 1 });
    }
    for (const { name, value, at } of options) {
      if (!SERVICE_OPTIONS.includes(name)) continue;
      if (!this.#takesService) throw this.#fault(at, `"${name}" is for the clients of a socket that qmpmux serves`);
      this.serviceOptions.push({ name, value, fault: (problem) => this.#fault(at, problem) });
    }
    return { head: parts[0]?.text ?? '', options: options.filter(({ name }) => !SERVICE_OPTIONS.includes(name)) };
  }
}

/** Offset of the first control character, or -1. Such a path would break log lines and the ready line. */
function controlCharacter(text: string): number {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return i;
  }
  return -1;
}
