/** The subject of an occurrence, in words. */
import type { JsonObject } from '../../qmp/json/value.js';
import { type PeerFacts, peerText, readPeerFacts } from '../../shared/peer-text.js';
import { numberOf, objectOf, textOf } from '../log/record.js';
import type { Occurrence } from './filter.js';

/**
 * @returns the subject of an occurrence: the client of a VM, with its program and user (`web1#5 nc (pid 8770, root)`), in later runs of the
 * daemon with the run's number (`web1#5/2 …`); or the VM, or qmpmux
 * @param isShort without the number of the process, the least of it
 */
export function clientText({ record, run }: Occurrence, isShort = false): string {
  const client = numberOf(record, 'client');
  const monitor = textOf(record, 'monitor');
  if (client === null) return monitor ?? 'qmpmux';
  const number = `${monitor ?? ''}#${client}${run === 1 ? '' : `/${run}`}`;
  const facts = peerFacts(objectOf(record, 'peer') ?? {});
  const who = peerText(isShort ? { ...facts, pid: undefined } : facts);
  return who === '' ? number : `${number} ${who}`;
}

/** @returns the peer that a record names; only members of the expected types */
function peerFacts(peer: JsonObject): PeerFacts {
  const text = (name: string) => (typeof peer[name] === 'string' ? peer[name] : undefined);
  const number = (name: string) => (typeof peer[name] === 'number' ? peer[name] : undefined);
  return readPeerFacts(text, number);
}
