/**
 * The daemon's numbers for Prometheus. Their owners keep them as plain numbers (metrics-observer.ts, the multiplexer's counters, the
 * audit log) and turned into metrics when Prometheus asks. Only the latency histograms are kept by prom-client.
 *
 * Labels are bounded: monitors and listeners are the config's, commands and events those that QEMU is known to have.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { AuditFigures } from '../../audit/write/audit-log.js';
import { MetricsObserver } from './metrics-observer.js';
import type { MonitorFigures } from './monitor-figures.js';

type Labels = Readonly<Record<string, string>>;
type Row = readonly [labels: Labels, value: number];

/** Upper bounds in seconds: a round trip takes a fifth of a millisecond, and some commands take minutes. */
const LATENCY_BOUNDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
const HEALTHS = ['answering', 'busy', 'silent'] as const;
const STATES = ['connecting', 'greeting', 'negotiating', 'running', 'lost'] as const;

interface Source {
  readonly observer: MetricsObserver;
  readonly figures: () => MonitorFigures | null;
}

/** One monitor while Prometheus is answered. */
interface Present {
  readonly observer: MetricsObserver;
  readonly figures: MonitorFigures;
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #sources = new Map<string, Source>();
  readonly #waiting: Histogram<'monitor'>;
  readonly #answering: Histogram<'monitor'>;
  readonly #audit: () => AuditFigures | null;

  /**
   * @param version of qmpmux
   * @param audit returns the state of the audit log; null if there is none
   * @param configErrors returns how many files of the config cannot be used
   * @param lostLogLines returns how many lines of the log could not be written
   */
  constructor(
    version: string,
    audit: () => AuditFigures | null,
    configErrors: () => number = () => 0,
    lostLogLines: () => number = () => 0,
  ) {
    this.#audit = audit;
    collectDefaultMetrics({ register: this.#registry });
    this.#waiting = this.#histogram(
      'qmpmux_command_wait_seconds',
      'Time commands waited in qmpmux before they went to QEMU.',
    );
    this.#answering = this.#histogram(
      'qmpmux_command_upstream_seconds',
      'Time between sending a command to QEMU and its answer.',
    );
    this.#gauge('qmpmux_info', 'The version of qmpmux.', ['version'], () => [[{ version }, 1]]);
    this.#gauge(
      'qmpmux_config_errors',
      'Config files that cannot be used; they are skipped, or their last good version stays in effect.',
      [],
      () => [[{}, configErrors()]],
    );
    this.#counter('qmpmux_log_lost_lines_total', "Lines of qmpmux's own log that could not be written.", [], () => [
      [{}, lostLogLines()],
    ]);
    this.#addMonitors();
    this.#addClients();
    this.#addCommands();
    this.#addAudit();
  }

  /** The answer to Prometheus. */
  async text(): Promise<string> {
    return await this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /**
   * Begins with a monitor, or goes on with one that starts again.
   * @param figures returns its state, or null when it is not there; called when Prometheus asks
   * @param now the multiplexer's clock, in microseconds
   * @returns its observer
   */
  add(monitor: string, figures: () => MonitorFigures | null, now: () => number): MetricsObserver {
    const known = this.#sources.get(monitor);
    if (known !== undefined) return known.observer;
    const labels = { monitor };
    const observer = new MetricsObserver(now, this.#waiting.labels(labels), this.#answering.labels(labels));
    this.#sources.set(monitor, { observer, figures });
    return observer;
  }

  /** Forgets a monitor. */
  remove(monitor: string): void {
    this.#sources.delete(monitor);
    this.#waiting.remove({ monitor });
    this.#answering.remove({ monitor });
  }

  #addMonitors(): void {
    this.#gauge(
      'qmpmux_upstream_up',
      '1 if QEMU is connected and answers, 0 while qmpmux waits for it.',
      ['monitor'],
      () => this.#each(({ figures }) => [[{}, figures.state.name === 'running' ? 1 : 0]]),
    );
    this.#gauge(
      'qmpmux_upstream_state',
      'State of the connection to QEMU: 1 for the current one.',
      ['monitor', 'state'],
      () =>
        this.#each(({ figures }) => {
          const { name } = figures.state;
          return STATES.map((state): Row => [{ state }, state === name ? 1 : 0]);
        }),
    );
    this.#gauge(
      'qmpmux_upstream_health',
      'Health of the connected QEMU: 1 for the current one of answering, busy, silent.',
      ['monitor', 'health'],
      () =>
        this.#each(({ figures }) => {
          const { health: present } = figures;
          return present === null ? [] : HEALTHS.map((health): Row => [{ health }, health === present ? 1 : 0]);
        }),
    );
    this.#gauge(
      'qmpmux_upstream_silent_seconds',
      'How long the connected QEMU has not responded; 0 while it responds.',
      ['monitor'],
      () => this.#each(({ figures }) => (figures.health === null ? [] : [[{}, figures.silent]])),
    );
    this.#gauge('qmpmux_qemu_info', 'Version of the connected QEMU.', ['monitor', 'version'], () =>
      this.#each(({ figures }) => {
        const { state } = figures;
        return state.name === 'running' ? [[{ version: state.version }, 1]] : [];
      }),
    );
    this.#counter('qmpmux_upstream_losses_total', 'Times QEMU was lost.', ['monitor'], () =>
      this.#each(({ observer }) => [[{}, observer.losses]]),
    );
    this.#counter('qmpmux_bytes_total', 'Bytes from and to clients and QEMU.', ['monitor', 'side', 'direction'], () =>
      this.#each(({ figures }) => {
        const { traffic } = figures;
        return [
          [{ side: 'client', direction: 'in' }, traffic.fromClients],
          [{ side: 'client', direction: 'out' }, traffic.toClients],
          [{ side: 'qemu', direction: 'in' }, traffic.fromUpstream],
          [{ side: 'qemu', direction: 'out' }, traffic.toUpstream],
        ];
      }),
    );
    this.#counter('qmpmux_events_total', 'Events of the VM, by name.', ['monitor', 'event'], () =>
      this.#each(({ observer }) => [...observer.events].map(([event, count]): Row => [{ event }, count])),
    );
    this.#counter('qmpmux_stray_messages_total', 'Messages from QEMU that no client waits for.', ['monitor'], () =>
      this.#each(({ observer }) => [[{}, observer.strayMessages]]),
    );
    this.#gauge('qmpmux_held_bytes', 'Memory held for clients: unread output and waiting commands.', ['monitor'], () =>
      this.#each(({ figures }) => [[{}, figures.held]]),
    );
  }

  #addClients(): void {
    const byListener = ['monitor', 'listener'];
    this.#gauge('qmpmux_clients', 'Connected clients.', byListener, () =>
      this.#each(({ observer }) =>
        [...observer.listeners].map(([listener, { clients }]): Row => [{ listener }, clients]),
      ),
    );
    this.#counter('qmpmux_connections_total', 'Clients that have connected.', byListener, () =>
      this.#each(({ observer }) =>
        [...observer.listeners].map(([listener, { connections }]): Row => [{ listener }, connections]),
      ),
    );
    this.#counter(
      'qmpmux_denials_total',
      'Commands that were refused, by policy or for another reason.',
      byListener,
      () =>
        this.#each(({ observer }) =>
          [...observer.listeners].map(([listener, { denials }]): Row => [{ listener }, denials]),
        ),
    );
    this.#counter('qmpmux_disconnects_total', 'Clients that are gone, by reason.', ['monitor', 'reason'], () =>
      this.#each(({ observer }) => [...observer.disconnects].map(([reason, count]): Row => [{ reason }, count])),
    );
    this.#counter('qmpmux_limits_total', 'Times a limit was hit, by limit.', ['monitor', 'limit'], () =>
      this.#each(({ figures }) =>
        Object.entries(figures.counters)
          .filter(([limit]) => limit !== 'denied')
          .map(([limit, count]: readonly [string, number]): Row => [{ limit }, count]),
      ),
    );
  }

  #addCommands(): void {
    this.#counter(
      'qmpmux_commands_total',
      'Commands by name and outcome: ok, error, denied, unanswered, dropped or timeout.',
      ['monitor', 'command', 'outcome'],
      () =>
        this.#each(({ observer }) =>
          [...observer.commands].flatMap(([command, { outcomes }]) =>
            [...outcomes].map(([outcome, count]): Row => [{ command, outcome }, count]),
          ),
        ),
    );
    this.#counter(
      'qmpmux_command_upstream_seconds_by_name_total',
      'Time QEMU took for its answers, by command.',
      ['monitor', 'command'],
      () =>
        this.#each(({ observer }) =>
          [...observer.commands].map(([command, { upstreamSeconds }]): Row => [{ command }, upstreamSeconds]),
        ),
    );
    this.#counter(
      'qmpmux_replies_total',
      'Answers by source: upstream (QEMU), cached, shared (with another client that asked the same), local, late.',
      ['monitor', 'source'],
      () => this.#each(({ observer }) => [...observer.replies].map(([source, count]): Row => [{ source }, count])),
    );
    this.#counter('qmpmux_malformed_total', 'Client inputs that QEMU would refuse.', ['monitor'], () =>
      this.#each(({ observer }) => [[{}, observer.malformedInputs]]),
    );
    this.#counter('qmpmux_stuck_commands_total', 'Commands that took longer than --warn-after.', ['monitor'], () =>
      this.#each(({ observer }) => [[{}, observer.stuckCommands]]),
    );
    this.#gauge('qmpmux_queued_commands', 'Commands waiting in qmpmux.', ['monitor'], () =>
      this.#each(({ figures }) => [[{}, figures.waiting]]),
    );
    this.#gauge('qmpmux_inflight_commands', 'Commands that QEMU has not answered yet.', ['monitor'], () =>
      this.#each(({ figures }) => [[{}, figures.inFlight]]),
    );
    this.#gauge('qmpmux_inflight_age_seconds', 'Age of the oldest of them.', ['monitor'], () =>
      this.#each(({ figures }) => [[{}, figures.oldest]]),
    );
  }

  #addAudit(): void {
    const row = (value: (figures: AuditFigures) => number) => (): Row[] => {
      const figures = this.#audit();
      return figures === null ? [] : [[{}, value(figures)]];
    };
    this.#gauge(
      'qmpmux_audit_failing',
      '1 while the audit log cannot be written.',
      [],
      row((audit) => (audit.isFailing ? 1 : 0)),
    );
    this.#counter(
      'qmpmux_audit_errors_total',
      'Times writing the audit log began to fail.',
      [],
      row((audit) => audit.failures),
    );
    this.#counter(
      'qmpmux_audit_refused_commands_total',
      'Commands refused because they could not be recorded.',
      [],
      row((audit) => audit.refused),
    );
    this.#counter(
      'qmpmux_audit_lost_records_total',
      'Audit records that were lost.',
      [],
      row((audit) => audit.lost),
    );
    this.#counter(
      'qmpmux_audit_transport_lost_records_total',
      'Audit records that a transport lost.',
      ['transport'],
      () => (this.#audit()?.transports ?? []).map(({ name, lost }): Row => [{ transport: name }, lost]),
    );
    this.#gauge('qmpmux_audit_transport_up', '1 while a transport of the audit log runs.', ['transport'], () =>
      (this.#audit()?.transports ?? []).map(({ name, isUp }): Row => [{ transport: name }, isUp ? 1 : 0]),
    );
    this.#gauge(
      'qmpmux_audit_last_record',
      'The number of the last audit record.',
      [],
      row((audit) => audit.records),
    );
  }

  /** Rows of all monitors, each with its label. */
  #each(rows: (monitor: Present) => readonly Row[]): Row[] {
    const all: Row[] = [];
    for (const [monitor, source] of this.#sources) {
      const figures = source.figures();
      if (figures === null) continue;
      for (const [labels, value] of rows({ observer: source.observer, figures }))
        all.push([{ monitor, ...labels }, value]);
    }
    return all;
  }

  #counter(name: string, help: string, labelNames: readonly string[], rows: () => readonly Row[]): void {
    const counter: Counter = new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        counter.reset();
        for (const [labels, value] of rows()) counter.inc(labels, value);
      },
    });
  }

  #gauge(name: string, help: string, labelNames: readonly string[], rows: () => readonly Row[]): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        gauge.reset();
        for (const [labels, value] of rows()) gauge.set(labels, value);
      },
    });
  }

  #histogram(name: string, help: string): Histogram<'monitor'> {
    return new Histogram({ name, help, labelNames: ['monitor'], buckets: LATENCY_BOUNDS, registers: [this.#registry] });
  }
}
