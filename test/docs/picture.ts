/**
 * The picture of the README, docs/images/session.svg: a real session in four terminals, and what their screens showed in the
 * end. Each row appears with the step that wrote it; where nothing moves, all rows are there from the beginning.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Terminal } from '../support/daemon/terminal.js';
import { type Scope, scratch } from '../support/files/scratch.js';
import { startQemu } from '../support/qemu/qemu.js';
import { type ScreenSize, terminalsIn } from './terminals.js';

interface Pane extends ScreenSize {
  readonly title: string;
  /** Where its upper left corner is, in pixels. */
  readonly x: number;
  readonly y: number;
}

interface Step {
  readonly pane: keyof typeof panes;
  /** Keys typed in the pane, and Enter behind them. */
  readonly types: string;
  /** What the screens show before the next step. */
  readonly shows: Partial<Record<keyof typeof panes, RegExp>>;
  /** How many clients have negotiated by then, where no screen shows it. */
  readonly negotiated?: number;
}

/** A row of a screen. */
export interface Row {
  readonly text: string;
  /** The step that wrote it, from 0 on. */
  readonly step: number;
}

export type Recording = Readonly<Record<string, readonly Row[]>>;

const panes = {
  daemon: { title: 'qmpmux, in front of QEMU’s one monitor', x: 0, y: 0, columns: 126, rows: 2 },
  person: { title: 'a person, with nc', x: 0, y: 90, columns: 83, rows: 9 },
  watcher: { title: 'a program that waits for events', x: 686, y: 90, columns: 38, rows: 9 },
  script: { title: 'a script, and who did what', x: 0, y: 306, columns: 126, rows: 8 },
} satisfies Record<string, Pane>;

const AUDIT = 'qmpmux audit show vm.audit --kind command --kind denied';
const serve =
  'qmpmux serve --upstream vm.qmp --listen vm.mux --listen vm.ro,policy=read-only --audit vm.audit 2>vm.log';
const steps: readonly Step[] = [
  { pane: 'daemon', types: serve, shows: { daemon: /ready: vm: unix:vm\.mux unix:vm\.ro/ } },
  { pane: 'person', types: 'nc -U vm.mux', shows: { person: /"capabilities"/ } },
  { pane: 'person', types: '{"execute": "qmp_capabilities"}', shows: { person: /"return": \{\}/ } },
  { pane: 'watcher', types: 'qmpmux events vm.mux --loop', shows: {}, negotiated: 2 },
  {
    pane: 'script',
    types: 'qmpmux exec vm.mux cont',
    shows: { script: /return.*\n\$/, person: /RESUME/, watcher: /RESUME/ },
  },
  { pane: 'person', types: '{"execute": "stop"}', shows: { person: /STOP[^]*return/, watcher: /STOP/ } },
  { pane: 'script', types: 'qmpmux exec vm.ro quit', shows: { script: /not allowed.*\n\$/ } },
  { pane: 'script', types: AUDIT, shows: { script: /denied.*\n\$/ } },
];

/** @returns how many are in an audit log */
function negotiations(log: string): number {
  return readFileSync(log, 'utf8').split('"kind":"negotiated"').length - 1;
}

/** Runs the session with the QEMU of the tests. */
export async function record(scope: Scope): Promise<Recording> {
  const folder = scratch(scope);
  await startQemu(scope, { extraArgs: ['-qmp', `unix:${join(folder, 'vm.qmp')},server=on,wait=off`] });
  const open = terminalsIn(scope, folder);
  const terminals = new Map<string, Terminal>();
  const recording: Record<string, Row[]> = {};
  for (const [name, { columns, rows }] of Object.entries(panes)) {
    const terminal = await open({ columns, rows: rows + 2 });
    await terminal.shows(/^\$/);
    terminals.set(name, terminal);
    recording[name] = [];
  }
  for (const [step, { pane, types, shows, negotiated = 0 }] of steps.entries()) {
    await terminals.get(pane)?.enter(types);
    for (const [name, what] of Object.entries(shows)) await terminals.get(name)?.shows(what);
    const isReady = () => negotiated === 0 || negotiations(join(folder, 'vm.audit')) >= negotiated;
    while (!isReady()) await pause(20);
    for (const [name, terminal] of terminals) {
      const screen = (await terminal.screen()).replace(/\n?\$$/, '');
      const before = recording[name] ?? [];
      recording[name] = (screen === '' ? [] : screen.split('\n')).map((text, index) => {
        const row = before[index];
        return row?.text === text ? row : { text, step };
      });
    }
  }
  return recording;
}

const COLUMN = 7.8;
const LINE = 18;
const BORDER = 14;
const TITLE = 30;
/** Between two steps, in seconds. */
const PAUSE = 1.2;

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** What a row is, by how it begins or what it says. */
function kindOf(text: string): string {
  if (/^\$ |^\{"execute"/.test(text)) return 'typed';
  if (/ not allowed | denied /.test(text)) return 'refused';
  return /RESUME|STOP/.test(text) ? 'event' : 'answer';
}

/** @returns the picture of a session */
export function svgOf(recording: Recording): string {
  const drawn = Object.entries(panes).map(([name, { title, x, y, columns, rows }]) => {
    const width = columns * COLUMN + 2 * BORDER;
    const height = TITLE + rows * LINE + BORDER;
    const lines = (recording[name] ?? []).map(
      ({ text, step }, index) =>
        `<text class="${kindOf(text)}" x="${BORDER}" y="${TITLE + (index + 1) * LINE - 4}" style="--step:${step}">${escaped(text)}</text>\n`,
    );
    return (
      `<g id="${name}" transform="translate(${x} ${y})">\n<rect width="${Math.round(width)}" height="${height}" rx="8"/>\n` +
      `<text class="title" x="${BORDER}" y="20">${title}</text>\n${lines.join('')}</g>\n`
    );
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 1013 498" width="1013" height="498" role="img" aria-labelledby="what" xml:space="preserve">
<title id="what">Three clients share one QEMU through qmpmux; one of them may only read, and the audit log says who did what</title>
<style>
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #c9d1d9; white-space: pre }
rect { fill: #0d1117; stroke: #444c56 }
.title { font-family: system-ui, sans-serif; fill: #8b949e }
.typed { fill: #7ee787 }
.event { fill: #d2a8ff }
.refused { fill: #ff7b72 }
@media (prefers-reduced-motion: no-preference) {
text:not(.title) { animation: appear .2s calc(var(--step) * ${PAUSE}s + .3s) backwards }
@keyframes appear { from { opacity: 0 } }
}
</style>
${drawn.join('')}</svg>
`;
}

/** @returns what each pane of a picture shows */
export function screensOf(svg: string): ReadonlyMap<string, string> {
  const groups = svg.matchAll(/<g id="(\w+)"[^]*?<\/g>/g);
  return new Map(
    [...groups].map(([group, name = '']) => {
      const rows = [...group.matchAll(/<text class="(?!title)[^>]*>([^<]*)<\/text>/g)].map(([, text = '']) => text);
      const text = rows.join('\n').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
      return [name, text];
    }),
  );
}
