/** The output of `qmpmux status`. */
import type { Colour } from '../../screen/colour.js';
import type { Report } from '../../screen/json-view.js';
import { percentile } from '../../screen/latency.js';
import { showBytes, showCount, showSize, showTime } from '../../screen/quantities.js';
import { outputOptions, type TableOptions, tableLines } from '../../screen/table.js';
import type { VmMonitor } from './vm-monitors.js';

/** @param monitors those of the VM, if they are known */
export function statusLines(
  status: Report,
  monitors: readonly VmMonitor[] | null = null,
  options: TableOptions = outputOptions(),
): string[] {
  const { colour } = options;
  const rows: [string, string][] = [
    ['monitor', status.at('monitor').text],
    ['qemu', upstreamText(status.at('upstream'), colour)],
    ['upstream', status.at('upstream', 'address').text],
    ['qmpmux', `${status.at('qmpmux').text}, serving for ${showTime(status.at('uptime').number)}`],
    ['clients', status.at('clients').text],
    ['commands', commandsText(status)],
    ['queue', queueText(status, colour)],
    ['events', eventsText(status.at('events'))],
    ['traffic', trafficText(status.at('traffic'))],
    ['memory', `${showBytes(status.at('held').number)} buffered for clients`],
  ];
  if (monitors !== null && monitors.length > 0) rows.splice(3, 0, ['monitors', monitorsText(monitors)]);
  const refused = status
    .at('counters')
    .members.filter(([, count]) => count.number > 0)
    .map(([name, count]) => `${count.number} ${name}`);
  if (refused.length > 0) rows.push(['limits', refused.join(', ')]);
  const labelled = rows.map(([label, text]) => `${colour('bold', label.padEnd(LABEL_WIDTH))}${text}`);
  const listeners = status.at('listeners').items;
  const table = tableLines(
    [
      { head: 'LISTENER', mayShrink: true },
      { head: 'CLIENTS', isNumber: true },
      { head: 'POLICY', mayShrink: true },
      { head: 'EXTENSIONS' },
    ],
    listeners.map((listener) => [
      listener.at('address').text,
      listener.at('clients').text,
      listener.at('policy').text,
      listener.at('extensions').isTrue ? 'on' : 'off',
    ]),
    options,
  );
  return listeners.length === 0 ? labelled : [...labelled, '', ...table];
}

const LABEL_WIDTH = 10;

/** QEMU's version and how long it has been there, or why it is not. */
export function upstreamText(upstream: Report, colour: Colour): string {
  const since = showTime(upstream.at('for').number);
  const state = upstream.at('state').text;
  if (state === 'running') {
    const oob = upstream.at('oob').isTrue ? '' : ', without oob';
    return `${upstream.at('version').text}, connected for ${since}${oob}${healthText(upstream, colour)}`;
  }
  const reason = upstream.at('reason').text;
  return colour('red', `not there for ${since} (${reason === '' ? state : reason})`);
}

function monitorsText(monitors: readonly VmMonitor[]): string {
  const each = monitors.map(({ id, protocol }) => `${id} (${protocol})`);
  return `${each.join(', ')}: ${monitors.length === 1 ? 'qmpmux’s own' : 'one is qmpmux’s own, the others bypass it'}`;
}

/** Whether QEMU answers, where that is known and it does not. */
function healthText(upstream: Report, colour: Colour): string {
  const health = upstream.at('health').text;
  if (health !== 'busy' && health !== 'silent') return '';
  const since = showTime(upstream.at('health-for').number);
  return `, ${health === 'busy' ? colour('yellow', `busy for ${since}`) : colour('red', `no sign of it for ${since}`)}`;
}

function commandsText(status: Report): string {
  const commands = status.at('commands').number;
  const answered = `${commands} answered, ${showCount(status.at('errors').number, 'error')}`;
  if (commands === 0) return answered;
  const mean = showTime(status.at('time').number / commands);
  const longest = status.at('longest').number;
  const high = Math.min(longest, percentile(status.at('latency').items, 0.99));
  return `${answered}; mean ${mean}, p99 about ${showTime(high)}, longest ${showTime(longest)}`;
}

function queueText(status: Report, colour: Colour): string {
  const inFlight = status.at('in-flight').number;
  const oldest = status.at('oldest').number;
  const waiting = `${status.at('waiting').number} waiting`;
  if (inFlight === 0) return `0 in flight, ${waiting}`;
  const since = `oldest ${showTime(oldest)}`;
  return `${inFlight} in flight (${oldest >= LONG ? colour('yellow', since) : since}), ${waiting}`;
}

/** A command without an answer for this time, in seconds, is worth a look. */
export const LONG = 1;

function eventsText(events: Report): string {
  const [first, last] = [events.at('first').number, events.at('last').number];
  if (last === 0) return 'none yet';
  return first > last
    ? `${last}, none kept`
    : first === 1
      ? `${last} (all still kept; events --since 0 prints them)`
      : `${last} (kept from ${first} on)`;
}

function trafficText(traffic: Report): string {
  const size = (name: string) => showSize(traffic.at(name).number);
  return `${size('from-clients')} from clients, ${size('to-clients')} to them; ${size('to-upstream')} to QEMU, ${size('from-upstream')} from it`;
}
