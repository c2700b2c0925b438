/** `qmpmux status --check`: a verdict in the form of Nagios' plugins, with figures after a bar. */

import type { Report } from '../../screen/json-view.js';
import { showCount, showTime } from '../../screen/quantities.js';

/** How long a command may have no answer, in seconds. */
export interface Thresholds {
  readonly warning: number;
  readonly critical: number;
}

/** Exit codes of Nagios' plugins. */
export type Severity = 0 | 1 | 2 | 3;
export const UNKNOWN = 3;
const NAMES = ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'] as const;

export interface Verdict {
  readonly code: Severity;
  readonly line: string;
}

/** @param figures after the bar; none when empty */
export function verdictLine(code: Severity, what: string, figures = ''): Verdict {
  // A bar begins the figures.
  const text = what.replaceAll('|', '/').replaceAll('\n', ' ');
  return { code, line: `QMPMUX ${NAMES[code]} - ${text}${figures === '' ? '' : ` | ${figures}`}` };
}

/** Judges the result of query-status. */
export function checked(status: Report, { warning, critical }: Thresholds): Verdict {
  const oldest = status.at('oldest').number;
  const clients = status.at('clients').number;
  const waiting = status.at('waiting').number;
  const inFlight = status.at('in-flight').number;
  const figures = [
    `clients=${clients}`,
    `waiting=${waiting}`,
    `in_flight=${inFlight}`,
    `oldest=${oldest}s;${warning};${critical};0`,
    `commands=${status.at('commands').number}c`,
    `errors=${status.at('errors').number}c`,
  ].join(' ');
  const name = status.at('monitor').text;
  const state = status.at('upstream', 'state').text;
  if (state !== 'running') {
    const why = status.at('upstream', 'reason').text;
    const since = showTime(status.at('upstream', 'for').number);
    return verdictLine(2, `${name}: no QEMU for ${since} (${why === '' ? state : why})`, figures);
  }
  const health = status.at('upstream', 'health').text;
  // If QEMU is busy but with no client's command, nobody waits; if it is silent, it serves no client that comes.
  const silence = health === 'silent' ? status.at('upstream', 'health-for').number : 0;
  const worst = Math.max(oldest, silence);
  const code = worst >= critical ? 2 : worst >= warning ? 1 : 0;
  if (code > 0 && silence > 0) {
    return verdictLine(
      code,
      `${name}: no sign of QEMU for ${showTime(silence)}, ${waiting + inFlight} waiting`,
      figures,
    );
  }
  const queue = `${name}: a command has no answer for ${showTime(oldest)}, ${waiting} waiting behind`;
  const well = `${name}: QEMU ${status.at('upstream', 'version').text}, ${showCount(clients, 'client')}`;
  return verdictLine(code, code === 0 ? well : queue, figures);
}
