/**
 * The peer of a connection, in words: the one function for all texts, tables and lines of the audit log.
 *
 *     nc (pid 8770, root)            a program, its process and its user; `uid 0` if the user has no name
 *     nc (pid 8770, alice → root)    alice logged in, and became root since (sudo, su)
 *     127.0.0.1:5000 (CN web1)       TCP, with the name in the certificate
 *
 * The result is not yet fit for a terminal: names are the program's own (see printable.ts).
 */

/** Facts that may be known of a peer; the members are those of `Peer` (mux/link.ts) and of records. */
export interface PeerFacts {
  readonly kind?: string | undefined;
  readonly program?: string | undefined;
  readonly pid?: number | undefined;
  readonly uid?: number | undefined;
  readonly user?: string | undefined;
  readonly loginuid?: number | undefined;
  readonly login?: string | undefined;
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  readonly subject?: string | undefined;
}

/** @returns the peer in words; empty if nothing is known */
export function peerText(peer: PeerFacts): string {
  const { kind, program, pid, address, port, subject } = peer;
  if (kind === 'stdio') return 'standard input';
  if (address !== undefined) {
    const host = address.includes(':') ? `[${address}]` : address;
    return `${host}:${port ?? ''}${subject === undefined ? '' : ` (CN ${subject})`}`;
  }
  const known = [pid === undefined ? '' : `pid ${pid}`, userText(peer)].filter((part) => part !== '').join(', ');
  if (program === undefined) return known;
  return known === '' ? program : `${program} (${known})`;
}

/** @returns the user, and before it the one who logged in, if that is another */
function userText({ uid, user, loginuid, login }: PeerFacts): string {
  if (uid === undefined) return '';
  const now = user ?? `uid ${uid}`;
  return loginuid === undefined || loginuid === uid ? now : `${login ?? `uid ${loginuid}`} → ${now}`;
}

/** @returns a client by its number and who it is: `client 7, nc (pid 8770, root)`. */
export function clientText({ id, peer }: { readonly id: number; readonly peer: PeerFacts }): string {
  const who = peerText(peer);
  return who === '' ? `client ${id}` : `client ${id}, ${who}`;
}

/**
 * @param text a member of a peer as JSON has it, if it is there
 * @param number the same of a number
 * @returns the facts that `peerText` puts into words, but for the kind of socket
 */
export function readPeerFacts(
  text: (name: string) => string | undefined,
  number: (name: string) => number | undefined,
): PeerFacts {
  return {
    program: text('program'),
    pid: number('pid'),
    uid: number('uid'),
    user: text('user'),
    loginuid: number('loginuid'),
    login: text('login'),
    address: text('address'),
    port: number('port'),
    subject: text('subject'),
  };
}
