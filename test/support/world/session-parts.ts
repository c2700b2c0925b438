/** The parts of a multiplexer that one client's session needs, around a fake QEMU that is connected; for tests of a session's parts. */
import assert from 'node:assert/strict';
import { Extensions } from '../../../dist/mux/admin/extension.js';
import { Clients } from '../../../dist/mux/client/clients.js';
import type { CommandOwner } from '../../../dist/mux/commands/command.js';
import { InFlight } from '../../../dist/mux/commands/in-flight.js';
import { ReplyStats } from '../../../dist/mux/commands/reply-stats.js';
import { DescriptorBroker } from '../../../dist/mux/descriptors/broker.js';
import { EventFeed } from '../../../dist/mux/events/feed.js';
import { Bookkeeping } from '../../../dist/mux/ports/bookkeeping.js';
import { DEFAULT_LIMITS, type Limits } from '../../../dist/mux/ports/limits.js';
import type { ClientId } from '../../../dist/mux/ports/link.js';
import type { ClientView, Observer } from '../../../dist/mux/ports/observer.js';
import { Replies } from '../../../dist/mux/upstream/replies.js';
import { UpstreamSession } from '../../../dist/mux/upstream/upstream-session.js';
import { Parser } from '../../../dist/qmp/json/parser.js';
import { FakeQemu } from './fake-qemu.js';
import { CarryingLink, MemoryLink, RecordingJournal } from './world.js';

export interface PartsOptions {
  /** Whether there is an observer, which wants raw bytes; true by default. */
  readonly observer?: boolean;
  readonly limits?: Partial<Limits>;
  /** Whether clients are offered `oob`; true by default. */
  readonly oob?: boolean;
  /** Whether the way to QEMU carries descriptors; false by default. */
  readonly carries?: boolean;
}

/** A client that does nothing. */
export const anyClient: ClientView = {
  id: 1 as ClientId,
  listener: 'unix:/run/vm.mux',
  peer: { kind: 'unix' },
  isConnected: true,
};

/** Owns commands, and answers none of them. */
export function idleOwner(client: ClientView = anyClient): CommandOwner {
  const isNotCalled = (): never => assert.fail('what owns the command here answers none');
  return {
    client,
    tally: new ReplyStats(),
    deliverReply: isNotCalled,
    answerLocally: isNotCalled,
    forgetWire: isNotCalled,
  };
}

export class SessionParts {
  readonly books: Bookkeeping;
  readonly qemu: UpstreamSession;
  readonly broker = new DescriptorBroker();
  readonly extensions: Extensions;
  readonly parser = new Parser();

  constructor({ observer = true, limits = {}, oob = true, carries = false }: PartsOptions = {}) {
    let clock = 0;
    const host = { now: () => ++clock, epoch: () => clock, schedule: () => {}, nonce: () => 'nonce' };
    const heard: Observer | null = observer ? new RecordingJournal([]) : null;
    const books = new Bookkeeping(host, { ...DEFAULT_LIMITS, ...limits }, heard);
    this.books = books;
    const upstream = new UpstreamSession(
      host,
      { enablesOob: oob, endsLines: null, mostReplyBytes: 0, seenTime: books.seenTime },
      { message: () => {}, stray: () => {}, changed: () => {} },
    );
    this.qemu = upstream;
    const feed = new EventFeed(books, host);
    const clients = new Clients(books, feed, host);
    const [inFlight, replies, probe] = [new InFlight(), new Replies(books, true), { health: null }];
    const reported = { name: 'vm', books, clients, upstream, probe, inFlight, replies, ring: feed.ring };
    this.extensions = new Extensions(reported, null, (error) => assert.ifError(error));
    const qemu = new FakeQemu((chunk) => upstream.receive(chunk), {});
    const link = carries ? new CarryingLink() : new MemoryLink();
    link.onWrite = (text) => qemu.receive(text);
    upstream.opened(link);
    qemu.greet();
    qemu.answerHandshake();
    assert.equal(upstream.state.name, 'running');
  }
}
