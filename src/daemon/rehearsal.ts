/**
 * A rehearsal: some thousand commands to a QEMU that is not there, once, soon after the start.
 *
 * A monitor is used rarely: a poller asks every few seconds, a person types. V8 compiles what runs often, so without a rehearsal such a
 * command meets code that is interpreted for hours, and takes half as long again (docs/explanation/performance.md). The rehearsal
 * shares a monitor as any other, over sockets in a folder that only this user can enter, since V8 compiles for the classes that it
 * has seen. It leaves no trace in logs, audit or counts. A command of a real client waits for one step of it at most.
 */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { parseUpstream } from '../net/address/address-parser.js';
import { parseListenerSettings } from './config/listener-settings.js';
import { singleMonitor } from './config/single-monitor.js';
import { Daemon } from './daemon.js';
import { hasSubscribers } from './observe/channels.js';

/** Commands, one after another. V8 (11.3 to 14) has compiled all of their way after some 3,000; more change nothing. */
const COMMANDS = 3000;
/** The rehearsal ends after this time at most, in milliseconds, on a machine that is too slow for it. */
const LONGEST_MS = 10_000;

const SILENT = { level: 'silent', format: 'json' } as const;
const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}\r\n';
const REPLY = '{"return": {"status": "running", "running": true}, "id": ';
const NEGOTIATION = '{"execute": "qmp_capabilities"}\n';
const COMMAND = '{"execute": "query-status", "id": "rehearsal#00000"}\n';

/**
 * @param log for a silent child logger
 * @param signal ends it early
 * @returns how many commands were answered: fewer than all if it was ended, none if no sockets can be made
 */
export async function rehearse(log: Logger, signal: AbortSignal): Promise<number> {
  // A program that listens to the channels would take it for real.
  if (hasSubscribers()) return 0;
  const ended = AbortSignal.any([signal, AbortSignal.timeout(LONGEST_MS)]);
  let folder: string | null = null;
  let server: Server | null = null;
  let daemon: Daemon | null = null;
  try {
    folder = await mkdtemp(join(tmpdir(), 'qmpmux-'));
    server = createServer(answer);
    server.listen(join(folder, 'qemu'));
    await once(server, 'listening', { signal: ended });
    const path = join(folder, 'clients');
    const listen = [parseListenerSettings(`unix:${path}`)];
    const config = singleMonitor('rehearsal', parseUpstream(`unix:${folder}/qemu`), listen, SILENT);
    const isReady = new AbortController();
    daemon = new Daemon({ config, log: log.child({}, { level: SILENT.level }), ready: () => isReady.abort() });
    await daemon.start();
    const either = AbortSignal.any([ended, isReady.signal]);
    if (!either.aborted) await once(either, 'abort');
    return await ask(path, ended);
  } catch {
    // All works without it.
    return 0;
  } finally {
    await daemon?.stop('the rehearsal is over');
    server?.close();
    if (folder !== null) await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** QEMU's part: each command has the same answer. */
function answer(socket: Socket): void {
  socket.setEncoding('latin1');
  socket.on('error', () => undefined);
  socket.write(GREETING);
  socket.on('data', (text: unknown) => {
    for (const [, id = ''] of String(text).matchAll(/"id":\s{0,1}(\d{1,20}|"[^"]{0,100}")\s{0,1}\}/g))
      socket.write(`${REPLY}${id}}\r\n`);
  });
}

/** A client's part. @returns how many commands were answered */
function ask(path: string, ended: AbortSignal): Promise<number> {
  return new Promise((resolve) => {
    // The greeting, and the answer to qmp_capabilities.
    let count = -2;
    const socket = connect(path);
    const end = () => {
      socket.destroy();
    };
    ended.addEventListener('abort', end, { once: true });
    socket.on('error', end);
    socket.on('close', () => {
      ended.removeEventListener('abort', end);
      resolve(Math.max(0, count));
    });
    socket.setEncoding('latin1');
    socket.on('data', (text: unknown) => {
      if (!String(text).endsWith('\n')) return;
      if (++count === COMMANDS) end();
      else socket.write(count < 0 ? NEGOTIATION : COMMAND);
    });
    if (ended.aborted) end();
  });
}
