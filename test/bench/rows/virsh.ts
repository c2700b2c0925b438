/** The two ways to a monitor of libvirt's, side by side: its RPC, as qmpmux speaks it, and a virsh that is kept open. */
import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { dialLibvirt } from '../../../dist/net/libvirt/dial.js';
import type { Connection } from '../../../dist/net/link/connection.js';
import { type Libvirt, sessionLibvirt } from '../../support/libvirt/libvirt.js';
import { finding, type Goal, interleave, median, type Row, zip } from '../row.js';
import type { Stage } from '../stage.js';
import { residentBytes } from '../usage.js';

const COMMAND = '{"execute":"query-status"}';
/** A way to the monitor: sends the command, and resolves with its reply. */
type Ask = () => Promise<string>;

const goal: Goal = {
  what: 'libvirt’s RPC: there and back',
  against: 'a virsh that is kept open',
  better: 'less',
  must: 1.1,
  aim: 0.9,
  unit: '×',
};

/** Asks one after the other for so many seconds. @returns the median round trip in milliseconds */
async function trip(ask: Ask, seconds: number): Promise<number> {
  const times: number[] = [];
  for (const end = performance.now() + seconds * 1000; performance.now() < end; ) {
    const begin = performance.now();
    const reply = await ask();
    times.push(performance.now() - begin);
    if (!reply.includes('"return"')) throw new Error(`no reply: ${reply}`);
  }
  return median(times);
}

function startVirsh(stage: Stage, libvirt: Libvirt, domain: string): { readonly ask: Ask; readonly pid: number } {
  const child = spawn('virsh', ['-q', '-c', libvirt.uri], { stdio: ['pipe', 'pipe', 'inherit'] });
  stage.after(() => void child.kill());
  let text = '';
  let done: (reply: string) => void = () => undefined;
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
    // In front of it stand the prompt and, since this is no terminal, the command.
    const reply = /^(?:.* )?(\{"return".*)\n/m.exec(text);
    if (reply === null) return;
    text = '';
    done(reply[1] ?? '');
  });
  const ask = () =>
    new Promise<string>((resolve) => {
      done = resolve;
      child.stdin.write(`qemu-monitor-command ${domain} '${COMMAND}'\n`);
    });
  return { ask, pid: child.pid ?? 0 };
}

async function startRpc(stage: Stage, libvirt: Libvirt, domain: string): Promise<Ask> {
  const connection = await new Promise<Connection>((connected, failed) => {
    dialLibvirt(
      { kind: 'libvirt', domain, uri: libvirt.uri },
      {
        connected,
        failed: (reason) => {
          failed(new Error(reason));
        },
        said: () => undefined,
        exposed: () => undefined,
      },
    );
  });
  stage.after(() => connection.close(true));
  let done: (reply: string) => void = () => undefined;
  const greeted = new Promise<string>((resolve) => {
    done = resolve;
  });
  connection.attach({
    receive: (bytes) => {
      done(Buffer.from(bytes).toString('latin1'));
    },
    closed: (reason) => {
      throw new Error(reason);
    },
  });
  await greeted;
  const send = (command: string) =>
    new Promise<string>((resolve) => {
      done = resolve;
      connection.link.write(Buffer.from(command));
    });
  await send('{"execute":"qmp_capabilities"}');
  return () => send(COMMAND);
}

export const virshTrip: Row = {
  name: 'virsh',
  needs: ['qemu', 'virsh'],
  async measure(stage, { seconds, rounds }) {
    const libvirt = sessionLibvirt();
    stage.after(() => libvirt.stop());
    await libvirt.start();
    const vm = await libvirt.newVm(stage);
    const virsh = startVirsh(stage, libvirt, vm.name);
    const rpc = await startRpc(stage, libvirt, vm.name);
    const times = await interleave(rounds, {
      virsh: () => trip(virsh.ask, seconds),
      rpc: () => trip(rpc, seconds),
    });
    const ms = (values: readonly number[]) => `${median(values).toFixed(2)} ms`;
    const memory = (residentBytes(virsh.pid) / 1e6).toFixed(0);
    return [
      finding(
        goal,
        zip(times.rpc, times.virsh, (one, other) => one / other),
        [`RPC ${ms(times.rpc)}, virsh ${ms(times.virsh)} and ${memory} MB for it`],
      ),
    ];
  },
};
