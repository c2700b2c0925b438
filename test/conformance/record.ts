/**
 * Writes into transcripts what the installed QEMU answers: `node build/conformance/record.js FILE…`.
 * To add a case, write its `->` lines and run this; then read what came, for that is the point of it. A `<- ?` between two
 * `->` marks where the client waits for answers before it writes more.
 *
 * `QMPMUX_QEMU=PROGRAM node build/conformance/record.js --differences` writes what another version says instead to
 * test/conformance/recorded, of all transcripts together.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { type Qemu, startQemu } from '../support/qemu/qemu.js';
import { fileOf, titleOf, transcripts } from './recorded.js';
import { expectedLines, type Pause, play } from './runner.js';
import { anything, type Case, escape, loadTranscripts, parseTranscript } from './transcript.js';
import { vmOptions } from './vm.js';

/** Longer lines are not recorded: that both sides say the same is checked all the same. */
const longest = 1500;

const cleaning: (() => void | Promise<void>)[] = [];
const scope = { after: (clean: () => void | Promise<void>) => void cleaning.push(clean) };

/** @returns the lines QEMU answered, in as many groups as the case has groups of `<-` lines. */
async function answers(qemu: Qemu, one: Case): Promise<string[][]> {
  const marks: number[] = [];
  // How many lines will come is what is to be found out, so they are given time. Tests know the number.
  const pause: Pause = async (client) => {
    await setTimeout(500);
    const setUp = one.setup === 'none' ? 1 : 2;
    marks.push(client.received.toString('latin1').split('\r\n').length - 1 - setUp);
  };
  const before = expectedLines(one);
  const heard = await play(qemu.monitor, one, 'whole', pause);
  const lines = heard.lines.map((line, index) => (before[index] === anything ? anything : shown(line)));
  return [...marks, lines.length].map((mark, index) => lines.slice(marks[index - 1] ?? 0, mark));
}

/** @returns a case's text with the answers in place of those it had. */
function withAnswers(block: string, groups: readonly (readonly string[])[]): string {
  const kept = block.trimEnd().split('\n');
  const out: string[] = [];
  let group = 0;
  kept.forEach((line, index) => {
    if (!line.startsWith('<-')) out.push(line);
    else if (kept[index + 1]?.startsWith('->') === true) out.push(...written(groups[group++] ?? []));
  });
  out.push(...written(groups[group] ?? []));
  return `${out.join('\n')}\n${block.endsWith('\n\n') ? '\n' : ''}`;
}

function shown(line: string): string {
  const text = escape(Buffer.from(line, 'latin1'));
  const short = text.replace(/(.)\1{39,}/g, (run, character: string) => `<${run.length}*${character}>`);
  return short.length > longest ? anything : short;
}

function written(lines: readonly string[]): string[] {
  const out: string[] = [];
  for (let at = 0; at < lines.length; ) {
    let next = at + 1;
    while (lines[next] === lines[at]) next++;
    out.push(next - at === 1 ? `<- ${lines[at]}` : `<-${next - at}* ${lines[at]}`);
    at = next;
  }
  return out;
}

let shared: Qemu | null = null;
async function qemuFor(one: Case): Promise<Qemu> {
  if (one.vm === 'own') return startQemu(scope, vmOptions);
  shared ??= await startQemu(scope, vmOptions);
  return shared;
}

async function record(file: string): Promise<void> {
  const text = readFileSync(file, 'utf8');
  const cases = new Map(parseTranscript(text, file).map((one) => [one.name, one]));
  const out: string[] = [];
  // a block is one case; comments and `setup:` lines behind it stay where they are
  for (const block of text.split(/^(?=(?:== |setup: |# ))/m)) {
    const one = cases.get(/^== (.*)$/m.exec(block)?.[1] ?? '');
    out.push(one === undefined ? block : withAnswers(block, await answers(await qemuFor(one), one)));
  }
  writeFileSync(file, out.join(''));
}

async function recordDifferences(): Promise<void> {
  const { version } = await startQemu(scope, vmOptions);
  const out = [`# What QEMU ${version} says where it differs from the transcripts, by record.ts --differences`];
  for (const { file, cases } of loadTranscripts(transcripts)) {
    // as in the test, each file has a VM to which nothing has happened
    shared = null;
    for (const one of cases) {
      const said = (await answers(await qemuFor(one), one)).flat();
      const known = expectedLines(one).map((line) => (line === anything ? anything : shown(line)));
      if (said.join('\n') !== known.join('\n')) out.push('', `== ${titleOf(file, one)}`, ...written(said));
    }
  }
  writeFileSync(fileOf(version.split('.').slice(0, 2).join('.')), `${out.join('\n')}\n`);
}

if (process.argv[2] === '--differences') await recordDifferences();
else for (const file of process.argv.slice(2)) await record(file);
for (const clean of cleaning) await clean();
process.exit(0);
