/** `qmpmux demo`, which `npm start` runs: shares a simulated VM, and suggests what to type next. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mainDestination } from '../../audit/write/settings.js';
import { auditSettings } from '../../daemon/config/audit-config.js';
import type { DaemonConfig } from '../../daemon/config/config.js';
import { parseListenerSettings } from '../../daemon/config/listener-settings.js';
import { DEFAULT_AUDIT } from '../../daemon/config/options/daemon.js';
import { singleMonitor } from '../../daemon/config/single-monitor.js';
import { Daemon, untilSignal } from '../../daemon/daemon.js';
import { openLog } from '../../daemon/observe/log.js';
import {
  type DemoVm,
  type DemoVmEvents,
  isInstalled,
  qemuIsInstalled,
  startRealVm,
  startSimulatedVm,
} from '../../demo/demo-vm.js';
import { parseListener, parseUpstream } from '../../net/address/address-parser.js';
import { joinCommand } from '../../net/address/command-words.js';
import { EXIT } from '../framework/exit-code.js';
import { untilOutputIsLost } from '../framework/output.js';
import { subcommand, UsageError } from '../framework/subcommand.js';
import { textFor } from '../screen/screen-text.js';

export const demo = subcommand({
  name: 'demo',
  usage: 'demo [--simulated | --real] [--listen ADDRESS]\n   or: $0 demo --upstream ADDRESS [--listen ADDRESS]',
  options: {
    simulated: { type: 'boolean', describe: 'share a simulated VM even if QEMU is installed' },
    real: { type: 'boolean', describe: 'start a real QEMU, paused, and share it (the default if QEMU is installed)' },
    upstream: {
      type: 'string',
      requiresArg: true,
      describe: 'share this monitor instead; takes the addresses of qmpmux serve',
    },
    listen: {
      type: 'string',
      requiresArg: true,
      describe: 'socket for clients (default: one in a new temporary folder)',
    },
  },
  examples: [
    ['$0 demo', 'try qmpmux without a VM of your own'],
    ['$0 demo --upstream /run/vm.qmp', 'try it on the monitor of -qmp unix:/run/vm.qmp,server=on,wait=off'],
  ],
  notes: 'Ctrl-C ends the demo and removes its VM and sockets.',

  async run(flags) {
    if (flags.simulated === true && flags.real === true) {
      throw new UsageError('--simulated and --real cannot be combined');
    }
    const kind = flags.simulated === true ? 'simulated' : flags.real === true ? 'real' : null;
    if (flags.upstream !== undefined && kind !== null) {
      throw new UsageError(`--upstream and --${kind} cannot be combined: --upstream names the VM to share`);
    }
    const folder = mkdtempSync(join(tmpdir(), 'qmpmux-demo-'));
    try {
      const socket = join(folder, 'vm.qmp');
      const single = singleMonitor(
        'demo',
        parseUpstream(flags.upstream ?? escapeCommas(socket)),
        [
          parseListener(flags.listen ?? escapeCommas(join(folder, 'vm.mux'))),
          parseListenerSettings(`${escapeCommas(join(folder, 'vm.ctl'))},extensions=on`),
          parseListenerSettings(`${escapeCommas(join(folder, 'vm.ro'))},policy=read-only`),
        ],
        { level: 'warn', format: 'pretty' },
      );
      // A user's own VM is not recorded. Of ours nobody needs to hear how far its audit log can be trusted.
      const config: DaemonConfig =
        flags.upstream === undefined
          ? {
              ...single,
              audit: auditSettings({ ...DEFAULT_AUDIT, to: [join(folder, 'vm.audit')] }),
              log: { ...single.log, level: 'error' },
            }
          : single;
      const lost = untilOutputIsLost();
      const ended = Promise.race([untilSignal(), lost]);
      if (flags.upstream === undefined) {
        const real = kind === null ? qemuIsInstalled() : kind === 'real';
        await shareVm(config, real ? startRealVm : startSimulatedVm, socket, ended);
      } else {
        const what = `the monitor at ${flags.upstream}`;
        say(`Connecting to ${what} …`);
        await share(config, what, ended);
      }
      const end = await ended;
      if (typeof end !== 'string') throw end;
      return EXIT.ok;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
});

async function shareVm(
  config: DaemonConfig,
  start: (path: string, events: DemoVmEvents) => Promise<DemoVm>,
  socket: string,
  ended: Promise<unknown>,
): Promise<void> {
  const failure = new AbortController();
  const vm = await start(socket, {
    ended: () => say('The VM has ended, as with QEMU; its clients saw EOF. A new one starts.'),
    failed: (reason) => failure.abort(reason),
  });
  try {
    failure.signal.throwIfAborted();
    const failed = once(failure.signal, 'abort');
    await share(config, vm.description, Promise.race([ended, failed]));
    failure.signal.throwIfAborted();
  } finally {
    await vm.stop();
  }
}

async function share(config: DaemonConfig, what: string, ended: Promise<unknown>): Promise<void> {
  const log = await openLog(config.log);
  let isFirst = true;
  const daemon = new Daemon({
    config,
    log: log.logger,
    ready: (_monitor, places) => {
      say(isFirst ? introduction(what, places, config) : `Clients can connect again: ${places[0]}`);
      isFirst = false;
    },
  });
  try {
    await daemon.start();
    await ended;
  } finally {
    await daemon.stop('the demo ends');
    await log.end();
  }
}

/** Suggestions to type next, in lines that work unchanged, even on a machine that has nothing but qmpmux. */
function introduction(what: string, [place = '', control, readOnly]: readonly string[], config: DaemonConfig): string {
  const isUnix = place.startsWith('unix:');
  const path = place.replace(/^unix:/, '');
  const [, host = '', port = ''] = /^tcp:\[?(.*?)\]?:(\d+)$/.exec(place) ?? [];
  const nc = isUnix ? `nc -U ${path}` : `nc ${host} ${port}`;
  const socat = isUnix ? `UNIX-CONNECT:${path}` : `TCP:${host.includes(':') ? `[${host}]` : host}:${port}`;
  const program = programName();
  const address = isUnix ? path : place;
  const lines = [
    `Shared: ${what}. Clients connect to ${place}`,
    '',
    'In another terminal, the state of the VM:',
    `  ${program} exec ${address} query-status`,
    'The same of the human monitor (HMP):',
    `  ${program} hmp ${address} info status`,
    'A shell with completion, history and events; type cont and stop, also in two terminals at once:',
    `  ${program} shell ${address}`,
  ];
  if (control !== undefined) {
    lines.push('Who is connected, and what they do:', `  ${program} top ${control.replace(/^unix:/, '')}`);
  }
  if (readOnly !== undefined) {
    lines.push(
      'A socket for those who may only look; it refuses this:',
      `  ${program} exec ${readOnly.replace(/^unix:/, '')} quit`,
    );
  }
  const log = config.audit === null ? null : mainDestination(config.audit);
  if (log !== null) lines.push('Who did what:', `  ${program} audit show ${log}`);
  if (isInstalled('nc')) {
    lines.push(
      'The same with nc only:',
      `  printf '{"execute":"qmp_capabilities"}{"execute":"query-status"}' | ${nc.replace('nc', 'nc -N')}`,
      'Two terminals at once, each with',
      `  ${nc}`,
      'and in each, by copy and paste:',
    );
  } else if (isInstalled('socat'))
    lines.push('In two other terminals:', `  socat - ${socat}`, 'and in each, by copy and paste:');
  if (isInstalled('nc') || isInstalled('socat')) {
    lines.push(
      '  {"execute":"qmp_capabilities"}',
      'Then in one of them; the other sees the events RESUME and STOP:',
      '  {"execute":"cont"}',
      '  {"execute":"stop"}',
    );
  }
  if (isInstalled('rlwrap') && isInstalled('socat')) {
    lines.push('With history and line editing:', `  rlwrap socat ${socat} STDIO`);
  }
  lines.push('', 'Ctrl-C ends the demo.');
  return lines.join('\n');
}

/** The words that run this program in another terminal: from a clone it may not be installed. */
function programName(): string {
  return isInstalled('qmpmux') ? 'qmpmux' : joinCommand([process.argv[1] ?? 'qmpmux']);
}

/** In an address a comma begins options. */
function escapeCommas(path: string): string {
  return path.replaceAll(',', ',,');
}

function say(text: string): void {
  process.stdout.write(`${textFor(process.stdout, text)}\n`);
}
