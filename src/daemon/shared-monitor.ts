/** Sharing a monitor from within another program: what `qmpmux serve` does for one monitor, without signals, files and a log. */
import { setImmediate } from 'node:timers/promises';

export interface ShareOptions {
  /** QEMU's monitor, as `--upstream` takes it. */
  readonly upstream: string;
  /** Sockets for clients, as `--listen` takes them, with their options. */
  readonly listen: readonly string[];
  /** Its name in messages of the channels; taken from the upstream's file name when absent. */
  readonly name?: string;
}

export interface SharedMonitor extends AsyncDisposable {
  /** Resolves when clients are accepted for the first time, with the places where, such as `unix:/run/vm.mux`. */
  readonly ready: Promise<readonly string[]>;
  /** Its state, in a few words. */
  readonly status: string;
  /** Removes the sockets, answers the clients' commands, and resolves when all is closed. */
  stop(): Promise<void>;
}

/**
 * Shares a QEMU's monitor on sockets of this process, until `stop`. The process stays as long as it is shared.
 * @returns when it has begun; QEMU may not be there yet
 * @throws QmpmuxError an address is wrong (QMPMUX_ADDRESS), they do not go together (QMPMUX_CONFIG), or a socket cannot be made
 *   (QMPMUX_LISTEN)
 */
export async function shareMonitor({ upstream, listen, name }: ShareOptions): Promise<SharedMonitor> {
  // Loaded only by programs that share.
  const [{ parseUpstream }, { parseListenerSettings }, { singleMonitor }, { Daemon }, { pino }] = await Promise.all([
    import('../net/address/address-parser.js'),
    import('./config/listener-settings.js'),
    import('./config/single-monitor.js'),
    import('./daemon.js'),
    import('pino'),
  ]);
  const log = { level: 'silent', format: 'json' } as const;
  const listeners = listen.map((address) => parseListenerSettings(address));
  const config = singleMonitor(name ?? null, parseUpstream(upstream), listeners, log);
  let accepts: (places: readonly string[]) => void = () => undefined;
  const ready = new Promise<readonly string[]>((resolve) => {
    accepts = resolve;
  });
  const daemon = new Daemon({
    config,
    log: pino({ level: log.level }),
    ready: (_monitor, places) => {
      accepts(places);
    },
  });
  await daemon.start();
  const stop = async () => {
    // The caller may be a subscriber of a channel, and the turn that reported to it must come to its end.
    await setImmediate();
    await daemon.stop('the program ends it');
  };
  return {
    ready,
    get status() {
      return daemon.status;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
