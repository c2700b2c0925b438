import { createServer } from 'node:net';

/** @returns a port of 127.0.0.1 on which nobody listens just now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen({ host: '127.0.0.1', port: 0 }, resolve);
  });
  const where = server.address();
  await new Promise((resolve) => server.close(resolve));
  return where !== null && typeof where === 'object' ? where.port : 0;
}
