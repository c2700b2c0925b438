/**
 * A client in a process of its own that pipelines commands without waiting for answers, so that what it costs to make and to read
 * them is not measured with the others: `flooder.js PATH COUNT [out-of-band]`. It writes how many answers came, in order, and ends.
 */
import { createConnection } from 'node:net';

const [path = '', count = '0', kind = 'in-band'] = process.argv.slice(2);
const isOob = kind === 'out-of-band';
const total = Number(count);
const socket = createConnection({ path });
let text = '';
let next = -2;

socket.setEncoding('latin1');
socket.on('data', (chunk: string) => {
  text += chunk;
  let from = 0;
  for (let end = text.indexOf('\r\n', from); end >= 0; end = text.indexOf('\r\n', from)) {
    const line = text.slice(from, end);
    from = end + 2;
    if (line.startsWith('{"timestamp"')) continue;
    // The greeting, the answer to the negotiation, then 0, 1, 2 …
    if (next >= 0 && !line.endsWith(`, "id": ${next}}`)) finish(`${next} but then ${line.slice(0, 100)}`);
    if (next === -1) flood();
    if (++next === total) finish(String(total));
  }
  text = text.slice(from);
});
socket.on('close', () => finish(`${Math.max(0, next)} and the end`));
socket.on('error', () => {});
socket.write(`{"execute": "qmp_capabilities"${isOob ? ', "arguments": {"enable": ["oob"]}' : ''}}`);

function flood(): void {
  let commands = '';
  const command = isOob ? '"exec-oob": "query-yank"' : '"execute": "query-status"';
  for (let id = 0; id < total; id++) commands += `{${command}, "id": ${id}}`;
  socket.write(commands);
}

function finish(what: string): never {
  process.stdout.write(`${what}\n`);
  process.exit();
}
