/** Answers in place of a libvirt daemon, for tests that decide every byte that a client gets. */
import { createServer, type Socket } from 'node:net';
import { XdrWriter } from '../../../dist/net/libvirt/xdr.js';
import type { Scope } from '../files/scratch.js';

export const Program = { remote: 0x2000_8086, qemu: 0x2000_8087, keepAlive: 0x6b65_6570 } as const;
export const Procedure = { authList: 66, saslInit: 67, saslStart: 68, monitorCommand: 1 } as const;
export const Type = { reply: 1, message: 2 } as const;
const HEADER = 28;

export interface Call {
  readonly program: number;
  readonly procedure: number;
  readonly serial: number;
  readonly body: Buffer;
}

/** A domain called web1, as encoded in messages. */
export const DOMAIN = new XdrWriter().text('web1').raw(Buffer.alloc(16, 7)).int(3).finish();
const VERSION = '{"return": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}}';

/** The answers of a daemon that asks for no log-in, by program and procedure; any other call gets a 1. */
const ANSWERS = new Map<string, Uint8Array>([
  [`${Program.remote} 66`, new XdrWriter().int(1).int(0).finish()],
  [`${Program.remote} 67`, new XdrWriter().text('SCRAM-SHA-256,PLAIN').finish()],
  [`${Program.remote} 23`, DOMAIN],
  [`${Program.remote} 24`, DOMAIN],
  [`${Program.qemu} 1`, new XdrWriter().text(VERSION).finish()],
]);

/** @returns the body of a daemon's answer */
export function usualAnswer({ program, procedure }: Call): Buffer {
  return Buffer.from(ANSWERS.get(`${program} ${procedure}`) ?? new XdrWriter().int(1).finish());
}

/** @returns a whole message */
export function message(
  program: number,
  procedure: number,
  type: number,
  serial: number,
  status: number,
  body: Uint8Array,
): Buffer {
  const header = new XdrWriter()
    .int(HEADER + body.length)
    .int(program)
    .int(1);
  return Buffer.from(header.int(procedure).int(type).int(serial).int(status).raw(body).finish());
}

/** @returns the answer to a call */
export function reply({ program, procedure, serial }: Call, body: Uint8Array, status = 0): Buffer {
  return message(program, procedure, Type.reply, serial, status, body);
}

/** Calls `answer` with each call that comes; keepalive messages are none. */
export function takeCalls(socket: Socket, answer: (call: Call) => void): void {
  let held = Buffer.alloc(0);
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= HEADER && held.length >= held.readUInt32BE(0)) {
      const all = held.subarray(0, held.readUInt32BE(0));
      held = held.subarray(all.length);
      const [program, procedure, serial] = [all.readUInt32BE(4), all.readUInt32BE(12), all.readUInt32BE(20)];
      if (program !== Program.keepAlive) answer({ program, procedure, serial, body: all.subarray(HEADER) });
    }
  });
}

/**
 * A daemon on a port of 127.0.0.1, until the end of `scope`.
 * @param twist sends another answer to a call; false for the usual one
 * @returns its URI
 */
export async function fakeLibvirt(scope: Scope, twist: (socket: Socket, call: Call) => boolean): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    takeCalls(socket, (call) => {
      if (!twist(socket, call)) socket.write(reply(call, usualAnswer(call)));
    });
  });
  scope.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const where = server.address();
  return `qemu+tcp://127.0.0.1:${where !== null && typeof where === 'object' ? where.port : 0}/system`;
}
