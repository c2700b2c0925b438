/** Clients, in the words and columns of tables. */
import { showSize, showTime } from './quantities.js';
import type { Report } from './report.js';
import { type Column, outputOptions, tableLines, type TableOptions } from './table.js';

const COLUMNS: readonly Column[] = [
  { head: 'CLIENT', isNumber: true },
  { head: 'PEER', mayShrink: true },
  { head: 'LISTENER', mayShrink: true },
  { head: 'POLICY', mayShrink: true },
  { head: 'AGE', isNumber: true },
  { head: 'COMMANDS', isNumber: true },
  { head: 'ERRORS', isNumber: true },
  { head: 'LATENCY', isNumber: true },
  { head: 'IN FLIGHT', isNumber: true },
  { head: 'WAITING', isNumber: true },
  { head: 'HELD', isNumber: true },
];

/** What query-clients returned, as a table. */
export function clientLines(clients: Report, options: TableOptions = outputOptions()): string[] {
  return tableLines(COLUMNS, clients.items.map(row), options);
}

function row(client: Report): string[] {
  const commands = client.at('commands').number;
  return [
    clientNumber(client),
    peerText(client.at('peer')),
    client.at('listener').text,
    client.at('policy').text,
    showTime(client.at('age').number),
    String(commands),
    client.at('errors').text,
    commands === 0 ? '-' : showTime(client.at('time').number / commands),
    client.at('in-flight').text,
    client.at('waiting').text,
    showSize(client.at('held').number),
  ];
}

/** With a star for the client that asks. */
export function clientNumber(client: Report): string {
  return client.at('client').text + (client.at('self').isTrue ? '*' : '');
}

/** Who it is, as far as the socket tells: `backup (pid 77, uid 0)`, `127.0.0.1:5000 (CN web1)`. */
export function peerText(peer: Report): string {
  const address = peer.at('address').text;
  if (address !== '') {
    const subject = peer.at('subject').text;
    const host = address.includes(':') ? `[${address}]` : address;
    return `${host}:${peer.at('port').text}${subject === '' ? '' : ` (${subject})`}`;
  }
  const program = peer.at('program').text;
  const numbers = (['pid', 'uid'] as const)
    .filter((name) => peer.at(name).isThere)
    .map((name) => `${name} ${peer.at(name).text}`);
  if (program === '') return numbers.join(', ') || peer.at('type').text;
  return numbers.length === 0 ? program : `${program} (${numbers.join(', ')})`;
}
