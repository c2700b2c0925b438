/** Clients, in the words and columns of tables. */
import { peerText as peerWords, readPeerFacts } from '../../../shared/peer-text.js';
import type { Report } from '../../screen/json-view.js';
import { showSize, showTime } from '../../screen/quantities.js';
import { type Column, outputOptions, type TableOptions, tableLines } from '../../screen/table.js';

const UNIT: Column = { head: 'UNIT', mayShrink: true };
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

const AFTER_PEER = 2;

/** The result of query-clients, as a table. Where systemd runs none of them, there is no column of units. */
export function clientLines(clients: Report, options: TableOptions = outputOptions()): string[] {
  const rows = clients.items.map(row);
  const units = clients.items.map((client) => client.at('peer', 'unit').text);
  if (units.every((unit) => unit === '')) return tableLines(COLUMNS, rows, options);
  const wider = rows.map((cells, index) => cells.toSpliced(AFTER_PEER, 0, units[index] || '-'));
  return tableLines(COLUMNS.toSpliced(AFTER_PEER, 0, UNIT), wider, options);
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

/** The client's identity, as far as the socket shows it: `backup (pid 77, alice → root)`, `127.0.0.1:5000 (CN web1)`. */
export function peerText(peer: Report): string {
  const text = (name: string) => peer.at(name).text || undefined;
  const number = (name: string) => (peer.at(name).isThere ? peer.at(name).number : undefined);
  const words = peerWords({ kind: text('type'), ...readPeerFacts(text, number) });
  return words || peer.at('type').text;
}
