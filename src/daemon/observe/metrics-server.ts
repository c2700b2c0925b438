/**
 * Where Prometheus asks: HTTP on a unix socket or a loopback port, `GET /metrics` and nothing else. The socket is made and guarded as the
 * clients' are; a program that may connect to it may read the numbers.
 *
 * Invariants:
 * - a client that connects and says nothing, or reads nothing, keeps nobody else out. Node's own time limits begin when its server listens,
 *   which this one never does, so each connection has a limit here; and when all places are taken, the one silent for longest goes;
 * - a page in a browser reads nothing: a browser says in `Host` which name it was given, and that is none of this host's;
 * - the numbers are put together once for all clients that ask at the same time, and one connection asks for one answer at a time.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP, type Socket } from 'node:net';
import type { ListenAddress } from '../../net/address/address.js';
import { isLoopback, Listener } from '../../net/listen/listener.js';
import type { Log } from '../../shared/log.js';
import { Countdown } from '../../system/countdown.js';
import type { Metrics } from './metrics.js';

const REQUEST_TIME = 10_000;
const MOST_CONNECTIONS = 64;

interface Asking {
  readonly limit: Countdown;
  /** Whether the latest request has no answer yet. */
  readonly isWaiting: boolean;
}

export class MetricsServer {
  readonly #metrics: Pick<Metrics, 'text' | 'contentType'>;
  readonly #requestTime: number;
  readonly #log: Log;
  readonly #http: Server;
  readonly #listener: Listener;
  /** The configured address; null for a unix socket, which no browser reaches. */
  readonly #host: string | null;
  /** The one silent for longest is first. */
  readonly #sockets = new Map<Socket, Asking>();
  #text: Promise<string> | null = null;

  /** @param requestTime how long one may take to ask, to read the answer, or to ask again; in milliseconds */
  constructor(
    address: ListenAddress,
    metrics: Pick<Metrics, 'text' | 'contentType'>,
    log: Log,
    requestTime: number = REQUEST_TIME,
  ) {
    this.#requestTime = requestTime;
    this.#metrics = metrics;
    this.#log = log;
    this.#host = address.kind === 'tcp' ? address.host.toLowerCase() : null;
    this.#http = createServer((request, response) => {
      this.#serve(request, response);
    });
    this.#listener = new Listener({
      address,
      accept: (socket) => {
        this.#accept(socket);
      },
      trouble: (error) => {
        log.error({ listener: this.place, error: error.message }, 'cannot accept a metrics connection');
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
    this.#log.info({ metrics: this.place }, 'serving metrics');
  }

  /** Removes the socket and ends the requests under way. */
  stop(): void {
    this.#listener.close();
    for (const socket of this.#sockets.keys()) socket.destroy();
    this.#http.close();
  }

  #accept(socket: Socket): void {
    if (this.#sockets.size >= MOST_CONNECTIONS) this.#makeRoom();
    this.#await(socket, false);
    socket.once('close', () => {
      this.#sockets.get(socket)?.limit.stop();
      this.#sockets.delete(socket);
    });
    this.#http.emit('connection', socket);
  }

  /** Ends the connection that has been silent for longest; one that waits for an answer only if there is no other. */
  #makeRoom(): void {
    const sockets = [...this.#sockets];
    const [oldest] = sockets.find(([, { isWaiting }]) => !isWaiting) ?? sockets[0] ?? [];
    if (oldest === undefined) return;
    this.#sockets.get(oldest)?.limit.stop();
    this.#sockets.delete(oldest);
    oldest.destroy();
  }

  /** Gives a connection time for its next step. */
  #await(socket: Socket, isWaiting: boolean): void {
    this.#sockets.get(socket)?.limit.stop();
    this.#sockets.delete(socket);
    if (socket.destroyed) return;
    const limit = new Countdown(this.#requestTime, () => {
      socket.destroy();
    });
    this.#sockets.set(socket, { limit, isWaiting });
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    // A scraper never asks again before the answer; a crowd of questions in one packet comes from none.
    if (this.#sockets.get(socket)?.isWaiting !== false) {
      socket.destroy();
      return;
    }
    this.#await(socket, true);
    response.once('finish', () => {
      this.#await(socket, false);
    });
    this.#answer(request, response);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { method } = request;
    if (!this.#isAddressed(request)) {
      const text = "the Host header names another machine; use this host's address\n";
      response.writeHead(421, { 'content-type': 'text/plain', connection: 'close' }).end(text);
      return;
    }
    if (method !== 'GET' && method !== 'HEAD') {
      const headers = { allow: 'GET, HEAD', 'content-type': 'text/plain', connection: 'close' };
      response.writeHead(405, headers).end('only GET is supported\n');
      return;
    }
    const url = request.url ?? '';
    const query = url.indexOf('?');
    if ((query < 0 ? url : url.slice(0, query)) !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('metrics are at /metrics\n');
      return;
    }
    this.#text ??= this.#metrics.text().finally(() => {
      this.#text = null;
    });
    this.#text.then(
      (text) => response.writeHead(200, { 'content-type': this.#metrics.contentType }).end(text),
      (error: unknown) => {
        this.#log.error({ error: String(error) }, 'cannot collect the metrics');
        response.writeHead(500).end();
      },
    );
  }

  /** Whether the request was meant for this host: a page that makes its own name resolve to us sends that name. */
  #isAddressed({ headers: { host }, socket }: IncomingMessage): boolean {
    const { localAddress } = socket;
    // A unix socket has no address, and only programs without a browser leave `Host` out.
    if (localAddress === undefined || host === undefined) return true;
    const name = hostOf(host);
    if (name === 'localhost' || name === this.#host || name === localAddress) return true;
    return isIP(name) !== 0 && isLoopback(name);
  }
}

/** @returns the name or the address in `Host`, without the port, brackets and the dot at the end of a name */
function hostOf(host: string): string {
  const lower = host.toLowerCase();
  if (lower.startsWith('[')) return lower.slice(1, Math.max(1, lower.indexOf(']')));
  const colon = lower.indexOf(':');
  const name = colon < 0 ? lower : lower.slice(0, colon);
  return name.endsWith('.') ? name.slice(0, -1) : name;
}
