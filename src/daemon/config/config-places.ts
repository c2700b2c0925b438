/**
 * The places that a config names: sockets of clients and of QEMUs, the audit log, the socket of the metrics. Two of them at one place
 * cannot work, nor can two connections to one QEMU; however a place is spelled.
 */
import { resolve } from 'node:path';
import type { AuditSettings } from '../../audit/write/settings.js';
import { formatAddress, formatPlace, type ListenAddress, type UpstreamAddress } from '../../net/address/address.js';
import { takeoverProblem } from '../../net/listen/takeover.js';
import type { MonitorConfig } from './config.js';
import type { ConfigError } from './config-error.js';

/** Makes the error for a key of a monitor. */
export type MonitorFault = (monitor: string, key: readonly (string | number)[], problem: string) => ConfigError;

export class ConfigPlaces {
  /** The use of each place. */
  readonly #taken = new Map<string, string>();

  constructor(audit: AuditSettings | null, metrics: ListenAddress | null) {
    for (const destination of audit?.destinations ?? []) {
      if (destination.kind === 'file') this.#taken.set(pathKey(destination.path), 'the audit log');
    }
    if (metrics === null || isAnyPort(metrics)) return;
    for (const key of listenKeys(metrics)) this.#taken.set(key, 'the socket of the metrics');
  }

  /** Takes the places of `monitors`, or nothing. @throws ConfigError for a place that is taken already */
  take(monitors: readonly MonitorConfig[], fault: MonitorFault): void {
    const fresh = new Map<string, string>();
    const clash = (keys: readonly string[], shown: string, what: string, mayShare?: string): string | null => {
      for (const key of keys) {
        const before = fresh.get(key) ?? this.#taken.get(key);
        if (before !== undefined && before !== mayShare) return `${shown} is ${before} already`;
        fresh.set(key, what);
      }
      return null;
    };
    for (const { name, upstream } of monitors) {
      const shown = upstream.kind === 'server' ? formatPlace(upstream.listen) : formatAddress(upstream);
      const why = clash(upstreamKeys(upstream), shown, upstreamOf(name));
      if (why === null) continue;
      const more = why.includes(' upstream of ') ? '; QEMU serves one connection at a time' : '';
      throw fault(name, ['upstream'], why + more);
    }
    for (const { name, listen, takeover, upstream } of monitors) {
      if (takeover && upstream.kind === 'unix') {
        const aside = `${upstream.path}.qemu`;
        const shown = formatPlace({ kind: 'unix', path: aside });
        const why = clash([pathKey(aside)], shown, `where the socket of ${name} is moved to`);
        if (why !== null) throw fault(name, ['takeover'], why);
      }
      // The one place that a monitor may share with its upstream.
      const shared = takeover ? upstreamOf(name) : undefined;
      listen.forEach(({ address }, index) => {
        if (isAnyPort(address)) return;
        const why = clash(listenKeys(address), formatPlace(address), `a listener of ${name}`, shared);
        if (why !== null) throw fault(name, ['listen', index], why);
      });
    }
    for (const [key, what] of fresh) this.#taken.set(key, what);
  }
}

function upstreamOf(name: string): string {
  return `the upstream of ${name}`;
}

function upstreamKeys(upstream: UpstreamAddress): readonly string[] {
  if (upstream.kind === 'server') return listenKeys(upstream.listen);
  return upstream.kind === 'unix' ? [pathKey(upstream.path)] : [formatAddress(upstream)];
}

function listenKeys(address: ListenAddress): readonly string[] {
  if (address.kind === 'unix') return [pathKey(address.path)];
  if (address.kind === 'tcp' && address.host === 'localhost') {
    const hosts = address.family === undefined ? ['127.0.0.1', '::1'] : address.family === 4 ? ['127.0.0.1'] : ['::1'];
    return hosts.map((host) => formatPlace({ kind: 'tcp', host, port: address.port }));
  }
  return [formatPlace(address)];
}

function pathKey(path: string): string {
  return formatPlace({ kind: 'unix', path: resolve(path) });
}

function isAnyPort(address: ListenAddress): boolean {
  return address.kind === 'tcp' && address.port === 0;
}

/** Why only some upstreams can be taken over. */
export const TAKEOVER_RULE = 'only an upstream that is a unix socket, made by QEMU, can be taken over';

/** @returns why an upstream cannot be taken over, or null. */
export function takeoverFault(upstream: UpstreamAddress): string | null {
  return upstream.kind === 'unix' ? takeoverProblem(upstream.path) : TAKEOVER_RULE;
}
