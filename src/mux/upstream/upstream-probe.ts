/**
 * Whether a silent QEMU is still there. QEMU sends no sign of life by itself: it is silent when idle, when it runs a long command, when
 * it is stopped, and when its monitor was deleted (QEMU 11.1). So after a time of silence it is asked:
 * - if `oob` is enabled: by an out-of-band `query-yank`, which the monitor's own thread answers whatever the main loop does. Its answer
 *   distinguishes a busy QEMU from a dead one. If no in-band command is in flight, an in-band `query-name` follows.
 * - otherwise: by an in-band `query-name`, and only if no command is in flight, since QEMU would read it after that one.
 *
 * Invariants (docs/adr/0013-silent-monitors.md):
 * - one probe is in flight at a time, and the next waits until QEMU has sent something. An in-band probe that a busy QEMU has not answered
 *   counts as any other command in flight from the moment a client's command waits behind it;
 * - a probe's id comes from a separate series, it is recorded before it is sent, and no client sees or pays for it;
 * - QEMU's queue of in-band commands never fills: the window is one smaller while an in-band probe is in flight (`InFlight.isProbed`).
 *
 * Only `#judge` changes the finding.
 */

import { type Envelope, NO_ID } from '../../qmp/stream/envelope.js';
import { ascii } from '../../shared/bytes.js';
import { FIRST_PROBE_ID, type InFlight, PROBE_IDS } from '../commands/in-flight.js';
import type { DescriptorBroker } from '../descriptors/broker.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { Host, UpstreamId } from '../ports/link.js';
import type { ProbeView, UpstreamHealth } from '../ports/observer.js';
import type { UpstreamSession } from './upstream-session.js';

export interface ProbeParts {
  readonly books: Bookkeeping;
  /** `UpstreamProbe.proceed` is to be called at the end of a turn that is asked for. */
  readonly host: Pick<Host, 'schedule'>;
  readonly upstream: UpstreamSession;
  readonly broker: DescriptorBroker;
  /** The commands in flight; probes are not among them. */
  readonly inFlight: InFlight;
}

/** When QEMU is probed and given up, in milliseconds. */
export interface ProbeTimes {
  /** Silence before a probe; 0 for never. */
  readonly after: number;
  /** Silence after a probe, while a client's command waits, before QEMU is given up; 0 for never. */
  readonly timeout: number;
}

/** A probe counts as unanswered after this time, or after `after` if that is shorter; in microseconds. */
const LONGEST_PATIENCE = 5_000_000;
const ANSWERING: UpstreamHealth = { name: 'answering' };

interface Probe extends ProbeView {
  auditSeq: number;
}

export class UpstreamProbe {
  readonly #parts: ProbeParts;
  /** In microseconds. */
  readonly #after: number;
  readonly #timeout: number;
  readonly #patience: number;
  /** The finding; null if QEMU is not connected or not probed. */
  #health: UpstreamHealth | null = null;
  #oob: Probe | null = null;
  #inBand: Probe | null = null;
  /** Whether an in-band probe follows at the end of this turn. */
  #isInBandDue = false;
  /** Whether the bytes at hand answered a probe. */
  #hasNews = false;
  /** When bytes came from QEMU, and when an in-band command was answered. */
  #heardAt = 0;
  #answeredAt = 0;
  /** When a probe last could not be recorded. */
  #unrecordedAt = 0;
  #nextId = 0;

  constructor(parts: ProbeParts, { after, timeout }: ProbeTimes) {
    this.#parts = parts;
    this.#after = after * 1000;
    this.#timeout = timeout * 1000;
    this.#patience = Math.min(this.#after, LONGEST_PATIENCE);
  }

  /** The last finding about QEMU; null while it is not connected, and if it is not probed. */
  get health(): UpstreamHealth | null {
    return this.#health;
  }

  /** QEMU is connected and has answered the handshake. @param now in microseconds */
  begin(now: number): void {
    if (this.#after === 0) return;
    this.#health = ANSWERING;
    this.#heardAt = now;
    this.#answeredAt = now;
    this.#unrecordedAt = now;
  }

  /** The connection is gone. */
  end(reason: string): void {
    this.#health = null;
    this.#isInBandDue = false;
    if (this.#oob !== null) this.#lose('oob', reason);
    if (this.#inBand !== null) this.#lose('inBand', reason);
  }

  /** The next observer knows nothing of earlier records. */
  forgetMarks(): void {
    for (const probe of [this.#oob, this.#inBand]) if (probe !== null) probe.auditSeq = 0;
  }

  /** Bytes came from QEMU; called before they are read. */
  heard(now: number): void {
    this.#heardAt = now;
  }

  /** These bytes were read. */
  read(now: number): void {
    if (this.#health === null || (this.#health === ANSWERING && !this.#hasNews)) return;
    this.#hasNews = false;
    this.#judge(this.#health, now);
  }

  /** @returns whether an answer belongs to a probe, and so to nobody else */
  takes(envelope: Envelope, isError: boolean): boolean {
    const { id } = envelope;
    if (id < FIRST_PROBE_ID && id !== NO_ID) return false;
    const [oob, inBand] = [this.#oob, this.#inBand];
    if (oob !== null && id === oob.upstreamId) {
      this.#oob = null;
      this.#hasNews = true;
      this.#parts.books.observer?.probeAnswered?.(oob, envelope.chunks(), isError);
      this.#isInBandDue = inBand === null && this.#parts.inFlight.inBandCount === 0;
      if (this.#isInBandDue) this.#parts.host.schedule();
      return true;
    }
    // An error without an id is the answer to the oldest in-band command, which a probe always is.
    if (inBand === null || (id !== inBand.upstreamId && !(id === NO_ID && isError))) return false;
    this.#inBand = null;
    this.#parts.inFlight.isProbed = false;
    this.#answeredAt = this.#heardAt;
    this.#parts.books.observer?.probeAnswered?.(inBand, envelope.chunks(), isError);
    return true;
  }

  /** An in-band command of a client was answered. @param sentAt when it was sent */
  commandAnswered(sentAt: number): void {
    this.#answeredAt = this.#heardAt;
    // QEMU answers commands in the order in which it reads them, so it has not taken the probe for a command.
    if (this.#inBand !== null) this.#lose('inBand', 'QEMU has answered a later command');
    if (this.#oob !== null && sentAt > this.#oob.sentAt) this.#lose('oob', 'QEMU has answered a later command');
  }

  /** Time has passed. @param now in microseconds */
  tick(now: number): void {
    if (this.#health === null) return;
    if (this.#isTimeToAsk(now)) this.#ask(now);
    this.#judge(this.#health, now);
    if (this.#isHopeless(now)) {
      const seconds = Math.round(this.#parts.books.seenTime.between(this.#heardAt, now) / 1e6);
      this.#parts.upstream.drop(
        `QEMU has not responded for ${seconds} s (probe-timeout): it is stopped, or its monitor was deleted`,
      );
    }
  }

  /** The end of a turn, before commands go upstream. @param hasWaiting whether any do: their answers say as much as a probe's */
  proceed(hasWaiting: boolean): void {
    if (!this.#isInBandDue) return;
    this.#isInBandDue = false;
    if (!hasWaiting && this.#parts.inFlight.inBandCount === 0) this.#askInBand(this.#parts.books.now());
  }

  #isTimeToAsk(now: number): boolean {
    if (this.#oob !== null || this.#isInBandDue) return false;
    // No client waits, so there is no need to know more exactly.
    if (this.#inBand !== null && this.#parts.inFlight.inBandCount === 0) return false;
    const since = Math.max(this.#heardAt, this.#parts.inFlight.oldestSentAt ?? 0, this.#unrecordedAt);
    return this.#seen(since, now) >= this.#after;
  }

  #ask(now: number): void {
    if (!this.#parts.upstream.offersOob) {
      if (this.#parts.inFlight.oldestSentAt === null && this.#inBand === null) this.#askInBand(now);
      return;
    }
    if (!this.#parts.broker.isDelicateOob(now)) this.#oob = this.#send('query-yank', true, now);
  }

  #askInBand(now: number): void {
    this.#inBand = this.#send('query-name', false, now);
    this.#parts.inFlight.isProbed = this.#inBand !== null;
  }

  /** @returns the probe; null if it could not be recorded, and so was not sent */
  #send(name: string, oob: boolean, now: number): Probe | null {
    const { observer, traffic } = this.#parts.books;
    const { link } = this.#parts.upstream;
    // The one place where a number becomes a probe's id.
    const upstreamId = (FIRST_PROBE_ID + this.#nextId) as UpstreamId;
    this.#nextId = (this.#nextId + 1) % PROBE_IDS;
    const raw = ascii(`{"${oob ? 'exec-oob' : 'execute'}":"${name}","id":${upstreamId}}`);
    const probe: Probe = { name, oob, raw, upstreamId, sentAt: now, auditSeq: 0 };
    observer?.probe?.(probe);
    const trouble = observer?.flush() ?? null;
    if (trouble !== null || link === null) {
      this.#unrecordedAt = now;
      observer?.probeUnanswered?.(probe, `never sent: ${trouble ?? 'the upstream is gone'}`);
      return null;
    }
    traffic.toUpstream += raw.length;
    link.write(raw);
    return probe;
  }

  #lose(which: 'oob' | 'inBand', reason: string): void {
    const probe = which === 'oob' ? this.#oob : this.#inBand;
    if (which === 'oob') this.#oob = null;
    else {
      this.#inBand = null;
      this.#parts.inFlight.isProbed = false;
    }
    if (probe !== null) this.#parts.books.observer?.probeUnanswered?.(probe, reason);
  }

  /** Updates the finding about QEMU. If nothing can be concluded yet, the previous finding stays. */
  #judge(before: UpstreamHealth, now: number): void {
    if (this.#oob !== null && this.#heardAt <= this.#oob.sentAt) {
      if (this.#seen(this.#oob.sentAt, now) >= this.#patience) this.#become(before, 'silent', this.#heardAt, now);
      return;
    }
    if (this.#isInBandDue) return;
    const { headSentAt } = this.#parts.inFlight;
    const inBand = this.#inBand;
    if (inBand === null && headSentAt === null) {
      this.#become(before, 'answering', now, now);
      return;
    }
    // The oldest command started when the one before it was answered.
    const since = Math.max(inBand?.sentAt ?? headSentAt ?? now, this.#answeredAt);
    if (this.#seen(since, now) < (inBand === null ? this.#after : this.#patience)) {
      if (inBand === null) this.#become(before, 'answering', now, now);
      return;
    }
    const isUnheard = this.#seen(this.#heardAt, now) >= this.#after;
    // An in-band probe goes out when an out-of-band one was answered.
    const isSilent = this.#parts.upstream.offersOob
      ? inBand === null && isUnheard
      : isUnheard || this.#heardAt <= since;
    if (isSilent) this.#become(before, 'silent', this.#heardAt, now);
    else this.#become(before, 'busy', since, now);
  }

  #become(before: UpstreamHealth, name: UpstreamHealth['name'], since: number, now: number): void {
    if (before.name === name) return;
    const health: UpstreamHealth = name === 'answering' ? ANSWERING : { name, since };
    this.#health = health;
    const from = health.name === 'answering' && before.name !== 'answering' ? before.since : since;
    this.#parts.books.observer?.health?.(health, before, now - from);
  }

  /** Whether the silence has lasted so long that a waiting client is better served by another connection. */
  #isHopeless(now: number): boolean {
    const oldest = this.#parts.inFlight.oldestSentAt;
    if (this.#timeout === 0 || this.#oob === null || oldest === null) return false;
    if (this.#heardAt > this.#oob.sentAt) return false;
    return this.#seen(Math.max(this.#oob.sentAt, oldest), now) >= this.#timeout;
  }

  #seen(since: number, now: number): number {
    return this.#parts.books.seenTime.between(since, now);
  }
}
