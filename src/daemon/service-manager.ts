/**
 * The notifications to systemd, by sd_notify's protocol (sd_notify(3)): datagrams of lines to the socket named in `NOTIFY_SOCKET`.
 * Node has no unix datagram sockets, so libc is called through koffi, which is loaded only if a service manager listens.
 */
import { endianness } from 'node:os';
import type { Log } from '../shared/log.js';
import { linuxNumbers, MSG_NOSIGNAL } from '../system/linux.js';

/** Sends one datagram. */
type Send = (state: string) => void;

/** How often the sentence for `systemctl status` is updated, in milliseconds. */
const STATUS_INTERVAL = 2000;
const AF_UNIX = 1;
/** sun_family and at most this many bytes of path (unix(7)). */
const LONGEST_PATH = 107;

const nobody: Send = () => undefined;

export class ServiceManager {
  readonly #send: Send;
  readonly #watchdog: NodeJS.Timeout | null;
  #follower: NodeJS.Timeout | null = null;
  #toldStatus = '';

  private constructor(send: Send, watchdogInterval: number | null) {
    this.#send = send;
    this.#watchdog =
      watchdogInterval === null
        ? null
        : setInterval(() => {
            send('WATCHDOG=1');
          }, watchdogInterval);
    this.#watchdog?.unref();
  }

  /**
   * Finds the service manager in `environment` and takes its variables out, so that children do not answer for us.
   * If there is none, all calls do nothing.
   */
  static async find(environment: NodeJS.ProcessEnv, log: Log): Promise<ServiceManager> {
    const { NOTIFY_SOCKET: path, WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = environment;
    delete environment['NOTIFY_SOCKET'];
    delete environment['WATCHDOG_USEC'];
    delete environment['WATCHDOG_PID'];
    if (path === undefined || path === '') return new ServiceManager(nobody, null);
    try {
      const send = await openSender(path);
      const isOurs = pid === undefined || pid === String(process.pid);
      const interval = isOurs && usec !== undefined ? Number(usec) / 1000 / 2 : Number.NaN;
      return new ServiceManager(send, interval >= 1 ? interval : null);
    } catch (error) {
      log.error({ socket: path, error: String(error) }, 'cannot notify the service manager that the daemon is ready');
      return new ServiceManager(nobody, null);
    }
  }

  /** Whether anyone listens. */
  get isThere(): boolean {
    return this.#send !== nobody;
  }

  /**
   * The daemon is up: its sockets are there, or it waits for QEMU. From here on `systemctl status` shows `status`.
   */
  ready(status: () => string): void {
    this.#toldStatus = status();
    this.#send(`READY=1\nSTATUS=${oneLine(this.#toldStatus)}`);
    if (!this.isThere || this.#follower !== null) return;
    this.#follower = setInterval(() => {
      const now = status();
      if (now === this.#toldStatus) return;
      this.#toldStatus = now;
      this.#send(`STATUS=${oneLine(now)}`);
    }, STATUS_INTERVAL);
    this.#follower.unref();
  }

  /** The config is being read again; `ready` ends it. */
  reloading(): void {
    // CLOCK_MONOTONIC, which is hrtime's clock; systemd 253 and later wants it with RELOADING.
    this.#send(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  /** @param time how long the end may take, in milliseconds: the manager might otherwise allow less */
  stopping(status: string, time: number): void {
    for (const timer of [this.#watchdog, this.#follower]) if (timer !== null) clearInterval(timer);
    this.#send(`STOPPING=1\nSTATUS=${oneLine(status)}\nEXTEND_TIMEOUT_USEC=${Math.ceil(time * 1000)}`);
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, '; ');
}

/** @throws Error when `path` is no address of a unix socket, or libc cannot be called. */
async function openSender(path: string): Promise<Send> {
  const isAbstract = path.startsWith('@');
  if (!isAbstract && !path.startsWith('/')) throw new Error('NOTIFY_SOCKET is neither a path nor an abstract name');
  const name = Buffer.from(isAbstract ? `\0${path.slice(1)}` : path);
  if (name.length > LONGEST_PATH) throw new Error('NOTIFY_SOCKET is too long');
  // A path ends in a NUL; an abstract name is as long as it is.
  const address = Buffer.alloc(2 + name.length + (isAbstract ? 0 : 1));
  // A number of a C struct is in the machine's own order.
  if (endianness() === 'LE') address.writeUInt16LE(AF_UNIX);
  else address.writeUInt16BE(AF_UNIX);
  name.copy(address, 2);
  const { SOCK_DGRAM, SOCK_CLOEXEC } = linuxNumbers();
  const { default: koffi } = await import('koffi');
  const libc = koffi.load(null);
  const socket = libc.func('int socket(int domain, int type, int protocol)');
  const sendto = libc.func(
    'long sendto(int fd, const void *data, size_t size, int flags, const void *address, unsigned int length)',
  );
  const fd: unknown = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (typeof fd !== 'number' || fd < 0) throw new Error('no socket could be made');
  return (state) => {
    const datagram = Buffer.from(state);
    // A manager that has gone, or does not read, is no reason to stop.
    sendto(fd, datagram, datagram.length, MSG_NOSIGNAL, address, address.length);
  };
}
