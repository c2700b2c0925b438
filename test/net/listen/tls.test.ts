import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectPlain, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { parseListener } from '../../../dist/net/address/address-parser.js';
import { SocketLink } from '../../../dist/net/link/socket-link.js';
import { Listener } from '../../../dist/net/listen/listener.js';
import { certificateName } from '../../../dist/net/listen/peer-credentials.js';
import { missing } from '../../support/daemon/programs.js';
import { makeCertificates, tlsOptions } from '../../support/files/certificates.js';
import { scratch } from '../../support/files/scratch.js';

async function listen(context: TestContext, address: string, accept: (socket: Socket) => void): Promise<number> {
  const listener = new Listener({ address: parseListener(address), accept, trouble: () => {} });
  context.after(() => listener.close());
  await listener.open();
  return Number(/:(\d+)$/.exec(listener.place)?.[1]);
}

function ending(socket: TLSSocket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(`${text}${error.code}`));
    socket.on('end', () => resolve(text));
  });
}

describe('a listener with tls', { skip: missing('openssl') }, () => {
  it('serves a client whose certificate is signed, and knows its name', async (context) => {
    const folder = makeCertificates(context);
    const port = await listen(context, `tcp:127.0.0.1:0,tls=${folder}`, (socket) => {
      socket.end(`hello ${certificateName(socket)}\n`);
    });
    const client = connect({ host: '127.0.0.1', port, ...tlsOptions(folder, true) });
    assert.equal(await ending(client), 'hello backup\n');
  });

  it('knows how much of its output a client has taken, also within one long piece', async (context) => {
    const folder = makeCertificates(context);
    const accepted: SocketLink[] = [];
    const port = await listen(context, `tcp:127.0.0.1:0,tls=${folder}`, (socket) => {
      const link = new SocketLink(socket, socket);
      accepted.push(link);
      link.attach({ receive: () => {}, receiveEnd: () => {}, closed: () => {} });
      link.write(Buffer.alloc(32 * 1024 * 1024, 'x'));
    });
    const client = connect({ host: '127.0.0.1', port, ...tlsOptions(folder, true) });
    context.after(() => client.destroy());
    await once(client, 'readable');
    // Whatever fits into the kernel's buffers is there; what follows, only when the client reads.
    const seen = new Set<number>();
    for (let pieces = 0; seen.size < 4; pieces++) {
      assert.ok(pieces < 100_000, `${seen.size} numbers`);
      client.read();
      await new Promise((resolve) => setImmediate(resolve));
      const [link] = accepted;
      if (link !== undefined && link.backlog > 0) seen.add(link.progress);
    }
  });

  it('refuses one without a certificate, one that others have signed, and one that speaks no TLS', async (context) => {
    const [folder, other] = [makeCertificates(context), makeCertificates(context)];
    let accepted = 0;
    const port = await listen(context, `tcp:127.0.0.1:0,tls=${folder}`, (socket) => {
      accepted++;
      socket.destroy();
    });
    const without = connect({ host: '127.0.0.1', port, ...tlsOptions(folder, false) });
    // An alert, a reset or EOF: what comes first is a matter of time.
    assert.match(await ending(without), /^(ERR_SSL.*|ECONNRESET|)$/);
    const foreign = { ...tlsOptions(other, true), ca: readFileSync(join(folder, 'ca-cert.pem')) };
    assert.match(await ending(connect({ host: '127.0.0.1', port, ...foreign })), /^(ERR_SSL.*|ECONNRESET|)$/);
    const speaker = connectPlain({ host: '127.0.0.1', port });
    speaker.write('{"execute":"qmp_capabilities"}\n');
    await new Promise((resolve) => {
      speaker.on('error', () => {});
      speaker.on('close', resolve);
      speaker.resume();
    });
    assert.equal(accepted, 0);
  });

  it('may be reached from other machines, and so may one that says insecure', async (context) => {
    const folder = makeCertificates(context);
    for (const option of [`tls=${folder}`, 'insecure']) {
      const listener = new Listener({
        address: parseListener(`tcp:0.0.0.0:0,${option}`),
        accept: (socket) => socket.destroy(),
        trouble: () => {},
      });
      assert.equal(await listener.open(), true);
      listener.close();
    }
  });

  it('is refused where a certificate is missing, or does not belong to its key', async (context) => {
    const [folder, other] = [makeCertificates(context), makeCertificates(context)];
    const open = (where: string) => listen(context, `tcp:127.0.0.1:0,tls=${where}`, () => {});
    await assert.rejects(
      open('/nonexistent'),
      /cannot listen on tcp:127\.0\.0\.1:0: \/nonexistent\/ca-cert\.pem: ENOENT/,
    );
    writeFileSync(join(folder, 'server-key.pem'), readFileSync(join(other, 'server-key.pem')));
    await assert.rejects(open(folder), /the certificates in .* cannot be used: .*key values mismatch/);
  });
});

describe('the folders above a socket', () => {
  it('must not be open to everyone, however far above', async (context) => {
    const folder = scratch(context);
    const open = join(folder, 'open');
    mkdirSync(join(open, 'inner'), { recursive: true });
    chmodSync(open, 0o777);
    for (const path of [join(open, 's'), join(open, 'inner', 's')]) {
      const listener = new Listener({ address: { kind: 'unix', path }, accept: () => {}, trouble: () => {} });
      await assert.rejects(
        listener.check(),
        /anyone can write to the folder .*\/open \(mode 0777\), and replace the socket; chmod o-w/,
      );
    }
    chmodSync(open, 0o1777);
    const sticky = new Listener({
      address: { kind: 'unix', path: join(open, 's') },
      accept: () => {},
      trouble: () => {},
    });
    await sticky.check();
  });
});
