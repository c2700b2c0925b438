/** One attempt to reach a domain of libvirt: the daemon, the log-in, the domain, its QEMU's version. */

import { connect, type Socket } from 'node:net';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import type { LibvirtAddress } from '../address/address.js';
import { resolveLibvirtUri } from '../address/libvirt-conf.js';
import { type LibvirtTarget, parseLibvirtUri } from '../address/libvirt-uri.js';
import { CommandConnection } from '../link/command-connection.js';
import { type Connection, SocketConnection } from '../link/connection.js';
import type { DialOutcome } from '../link/dial-outcome.js';
import { describeTcp, openTcp } from '../link/tcp.js';
import { LibvirtRefusal } from './calls.js';
import { LibvirtConnection } from './connection.js';
import { askVersion, describeSilence, openDomain } from './domain.js';
import { KEEP_ALIVE, type KeepAliveOptions } from './keepalive.js';
import { logIn, offerKeepAlive } from './login.js';
import { cut, LibvirtRpc, type RpcOwner } from './rpc.js';
import { openTls } from './tls.js';

/**
 * The most unrequested messages from a daemon until the domain is found: usually an event or two. And the cost of each besides its bytes.
 */
const MOST_EARLY_BYTES = 8 * 1024 * 1024;
const EARLY_MESSAGE_COST_BYTES = 256;
/** Of a reason, in characters: some of it is the other side's words. */
const LONGEST_REASON = 2000;

/** Dials; one of `connected` and `failed` follows, unless it is taken back. */
export function dialLibvirt(
  address: LibvirtAddress,
  outcome: DialOutcome,
  keepAlive: KeepAliveOptions = KEEP_ALIVE,
): { readonly abort: () => void } {
  const attempt = new Attempt(address.domain, outcome, keepAlive);
  const resolved = resolveLibvirtUri(address.uri ?? null);
  if (resolved.ok) {
    const parsed = parseLibvirtUri(resolved.uri);
    if (parsed.ok) attempt.start(parsed.target);
    else attempt.fail(`the URI ${JSON.stringify(resolved.uri)} ${parsed.problem}`);
  } else attempt.fail(resolved.problem);
  return {
    abort: () => {
      attempt.abort();
    },
  };
}

class Attempt {
  readonly #wanted: string;
  readonly #outcome: DialOutcome;
  readonly #keepAlive: KeepAliveOptions;
  /** Whether it has come to its one end, reported or about to be. */
  #isOver = false;
  #isTakenBack = false;
  /** Undoes what has been done so far. */
  #undo: () => void = () => undefined;

  /** Explains a connection that ends before the daemon has answered. */
  #early = '';

  constructor(wanted: string, outcome: DialOutcome, keepAlive: KeepAliveOptions) {
    this.#keepAlive = keepAlive;
    this.#wanted = wanted;
    this.#outcome = outcome;
  }

  abort(): void {
    this.#isOver = true;
    this.#isTakenBack = true;
    this.#undo();
  }

  start(target: LibvirtTarget): void {
    const { reach } = target;
    const talk = (connection: Connection) => {
      // It comes to its end by `fail` or `connected`.
      void this.#talk(connection, target);
    };
    switch (reach.kind) {
      case 'unix':
        this.#connect(reach.paths, null, talk);
        break;
      case 'command':
        this.#run(reach.command, talk);
        break;
      case 'tcp':
        this.#early = '; if this is its port for TLS, write qemu+tls://';
        this.#await(openTcp(reach.host, reach.port), talk, (error) => {
          this.fail(describeTcp(reach.host, error));
        });
        break;
      case 'tls':
        this.#undo = openTls(reach, {
          connected: (socket) => {
            talk(new SocketConnection(socket));
          },
          failed: (reason) => {
            this.fail(reason);
          },
        }).abort;
        break;
    }
  }

  /** Not within this turn: the caller has to know the attempt first. */
  fail(reason: string): void {
    // From now on: an answer that came together with the end must not make a connection of it.
    if (this.#isOver) return;
    this.#isOver = true;
    setImmediate(() => {
      if (this.#isTakenBack) return;
      this.#undo();
      this.#outcome.failed(cut(reason, LONGEST_REASON));
    });
  }

  /** Tries the sockets in turn. @param before why the last one failed; one that is there says more than one that is not. */
  #connect(paths: readonly string[], before: string | null, talk: (connection: Connection) => void): void {
    const [path, ...others] = paths;
    if (path === undefined) {
      this.fail(before ?? 'libvirt has no socket');
      return;
    }
    this.#await(connect({ path, allowHalfOpen: true }), talk, (error) => {
      const isAbsent = errorCode(error) === 'ENOENT';
      this.#connect(others, isAbsent && before !== null ? before : describeSocket(path, error), talk);
    });
  }

  /** Waits until the socket is connected. */
  #await(socket: Socket, talk: (connection: Connection) => void, missed: (error: Error) => void): void {
    socket.once('error', missed);
    socket.once('connect', () => {
      socket.off('error', missed);
      talk(new SocketConnection(socket));
    });
    this.#undo = () => {
      socket.removeAllListeners('connect');
      socket.off('error', missed);
      socket.on('error', () => undefined);
      socket.destroy();
    };
  }

  #run(command: readonly [string, ...string[]], talk: (connection: Connection) => void): void {
    this.#undo = CommandConnection.start({
      command,
      said: (line, pid) => {
        this.#outcome.said(line, pid);
      },
      started: talk,
      failed: (reason) => {
        this.fail(reason);
      },
    }).abort;
  }

  async #talk(connection: Connection, { name, reach, logIn: wish }: LibvirtTarget): Promise<void> {
    const early: Parameters<RpcOwner['message']>[] = [];
    let room = MOST_EARLY_BYTES;
    const rpc = new LibvirtRpc(connection, {
      message: (program, procedure, body) => {
        room -= body.length + EARLY_MESSAGE_COST_BYTES;
        if (room < 0) this.fail('the peer is not a libvirt daemon: it sends too much unasked');
        else early.push([program, procedure, body.copy()]);
      },
      closed: (reason) => {
        this.fail(`${reason}${this.#early}`);
      },
    });
    this.#undo = () => {
      // Nobody waits for the end of an attempt that is undone.
      void rpc.close(true);
    };
    try {
      await logIn(rpc, wish, (file, mode) => {
        this.#outcome.exposed(file, mode);
      });
      this.#early = '';
      await offerKeepAlive(rpc);
      const domain = await openDomain(rpc, name, this.#wanted);
      const version = await askVersion(rpc, domain);
      if (!(version instanceof Uint8Array)) throw new LibvirtRefusal(describeSilence(version));
      if (this.#isOver) return;
      this.#isOver = true;
      // A socket of this host ends with its daemon; other ways may go dead without a word.
      if (reach.kind !== 'unix') rpc.keepAlive(this.#keepAlive);
      this.#outcome.connected(new LibvirtConnection(rpc, domain, version, early));
    } catch (error) {
      if (!(error instanceof LibvirtRefusal)) throw error;
      this.fail(error.message);
    }
  }
}

function describeSocket(path: string, error: Error): string {
  switch (errorCode(error)) {
    case 'ENOENT':
      return `libvirtd is not running: there is no ${path}`;
    case 'ECONNREFUSED':
      return `libvirtd is not running: nothing listens on ${path}`;
    case 'EACCES':
    case 'EPERM':
      return `permission denied for ${path}: run qmpmux as a user who may manage VMs (on most systems, of the group libvirt)`;
    default:
      return `${path}: ${describeSystemError(error)}`;
  }
}
