/**
 * Where Prometheus asks: HTTP on a unix socket or a loopback port, `GET /metrics` and nothing else. The socket is made and guarded as the
 * clients' are; who may connect to it may read the numbers.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ListenAddress } from '../net/address.js';
import { Listener } from '../net/listener.js';
import type { Log } from '../net/log.js';
import type { Metrics } from './metrics.js';

/** A request is one line and a few headers. In milliseconds. */
const REQUEST_TIME = 10_000;
const MOST_CONNECTIONS = 64;

export class MetricsServer {
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #http: Server;
  readonly #listener: Listener;
  readonly #sockets = new Set<Socket>();

  constructor(address: ListenAddress, metrics: Metrics, log: Log) {
    this.#metrics = metrics;
    this.#log = log;
    this.#http = createServer(
      { requestTimeout: REQUEST_TIME, headersTimeout: REQUEST_TIME, keepAliveTimeout: REQUEST_TIME },
      (request, response) => {
        this.#answer(request.method ?? '', request.url ?? '', response);
      },
    );
    this.#listener = new Listener({
      address,
      accept: (socket) => {
        this.#accept(socket);
      },
      trouble: (error) => {
        log.error({ listener: this.place, error: error.message }, 'cannot accept who asks for metrics');
      },
    });
  }

  /** Where it listens. */
  get place(): string {
    return this.#listener.place;
  }

  /** @throws ListenError */
  async start(): Promise<void> {
    await this.#listener.open();
    this.#log.info({ metrics: this.place }, 'metrics can be asked for');
  }

  /** Removes the socket and ends what is being asked. */
  stop(): void {
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#http.close();
  }

  #accept(socket: Socket): void {
    if (this.#sockets.size >= MOST_CONNECTIONS) {
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
    });
    this.#http.emit('connection', socket);
  }

  #answer(method: string, url: string, response: ServerResponse): void {
    const [path] = url.split('?', 1);
    if (method !== 'GET' && method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD', 'content-type': 'text/plain' }).end('only GET is answered here\n');
      return;
    }
    if (path !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('metrics are at /metrics\n');
      return;
    }
    this.#metrics.text().then(
      (text) => response.writeHead(200, { 'content-type': this.#metrics.contentType }).end(text),
      (error: unknown) => {
        this.#log.error({ error: String(error) }, 'metrics could not be put together');
        response.writeHead(500).end();
      },
    );
  }
}
