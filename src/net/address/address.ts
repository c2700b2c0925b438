/**
 * Addresses: where QEMU is reached, and where clients reach us.
 *
 *     /run/vm.qmp                   a unix socket; also vm.qmp, unix:/run/vm.qmp, UNIX-CONNECT:/run/vm.qmp, UNIX-LISTEN:/run/vm.mux
 *     tcp:host:port                 also tcp:[::1]:4444, TCP:…, TCP4:…, TCP6:…
 *     fd:3, fd:NAME                 listeners only: a listening socket that systemd, or another parent, has handed over
 *     exec:command word 'a word'    upstream only: QMP over the standard input and output of a command (see command-words.ts)
 *     libvirt:domain                upstream only: a VM of libvirt's, by name, id or UUID; also libvirt:domain?uri=qemu+ssh://host/system
 *
 * Options follow after commas, in the words of QEMU and socat: `mode=0660`, `user=`, `group=`, `shared-folder=on` where we make a unix
 * socket; `server` on an upstream (QEMU dials us, as with `-qmp unix:/path,reconnect-ms=1000`); `ipv4`, `ipv6`, `keepalive=30s` on tcp;
 * `lines` on an upstream; `tls=FOLDER`, `insecure`, `telnet` on a tcp listener; on a listener also the options of its clients (`policy=`,
 * `events=`, …: see daemon/listener-settings.ts). A comma that belongs to a path or a value is written `,,`. All that follows `exec:` is
 * the command, commas included, and all that follows `libvirt:` the domain.
 *
 * An address that parses is well-formed; using it shows whether it can be used. They are read in address-parser.ts.
 */
import { joinCommand } from './command-words.js';

/** A unix socket that exists already. */
export interface UnixAddress {
  readonly kind: 'unix';
  readonly path: string;
  /** An upstream: whether commands are ended by line feeds; found out when absent. */
  readonly lines?: boolean;
}

/** A unix socket that we make. */
export interface UnixListenAddress extends UnixAddress {
  /** Permission bits, 0 to 0o777; 0600 when absent. */
  readonly mode?: number;
  /** Name or number of the account that is to own the socket file. */
  readonly user?: string;
  readonly group?: string;
  /** Whether root makes it in a folder that others may write to as well (see socket-folder.ts). */
  readonly sharedFolder?: boolean;
  /** A socket whose owner and mode it is to have where nothing else is said: that of the QEMU whose place it takes. Never in a text. */
  readonly like?: string;
}

export interface TcpAddress {
  readonly kind: 'tcp';
  /** An IP address (without brackets) or a name. */
  readonly host: string;
  /** 0, when listening only: the kernel picks one. */
  readonly port: number;
  /** The family a name may resolve to; both when absent. */
  readonly family?: 4 | 6;
  /** After how many milliseconds a peer that is gone without a word is given up; 0 for never, 30 s when absent. */
  readonly keepAlive?: number;
  /** As `UnixAddress.lines`. */
  readonly lines?: boolean;
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
  /** Whether clients are asked by the telnet protocol to send each key as it is typed, and their telnet answers are left out. */
  readonly telnet?: boolean;
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
interface ServerAddress {
  readonly kind: 'server';
  readonly listen: UnixListenAddress | TcpListenAddress;
}

export type UpstreamAddress = DialAddress | ServerAddress;

/** Between a domain and the URI of its libvirt, which may have any character. */
export const URI_OPTION = '?uri=';

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
      const { family, keepAlive, lines, tls, insecure, telnet }: TcpListenAddress = address;
      return (
        formatPlace(address) +
        (family === undefined ? '' : `,ipv${family}=on`) +
        (keepAlive === undefined
          ? ''
          : `,keepalive=${keepAlive === 0 ? 'off' : `${keepAlive}ms`.replace(/000ms$/, 's')}`) +
        formatLines(lines) +
        (tls === undefined ? '' : `,tls=${doubleCommas(tls)}`) +
        (insecure === true ? ',insecure=on' : '') +
        (telnet === true ? ',telnet=on' : '')
      );
    }
    case 'unix': {
      // An address without these options and one we only dial look alike; both are written the same.
      const { lines, mode, user, group, sharedFolder }: UnixListenAddress = address;
      return (
        formatPlace(address) +
        formatLines(lines) +
        (mode === undefined ? '' : `,mode=${formatMode(mode)}`) +
        (user === undefined ? '' : `,user=${doubleCommas(user)}`) +
        (group === undefined ? '' : `,group=${doubleCommas(group)}`) +
        (sharedFolder === true ? ',shared-folder=on' : '')
      );
    }
  }
}

function formatLines(lines: boolean | undefined): string {
  return lines === undefined ? '' : `,lines=${lines ? 'on' : 'off'}`;
}

/** The address without its options: the place a client connects to. */
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
