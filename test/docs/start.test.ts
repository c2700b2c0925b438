/**
 * The tutorial, docs/start.md: its lines are typed in three terminals as they stand there, and the screens show what it says.
 * A line `…` is any number of lines.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Terminal } from '../support/daemon/terminal.js';
import { scratch } from '../support/files/scratch.js';
import { missing } from '../support/qemu/qemu.js';
import { shape, terminalsIn } from './terminals.js';

const page = readFileSync(new URL('../../docs/start.md', import.meta.url), 'utf8');
/** Blocks of the page: the terminal's name, and lines. */
const blocks = [...page.matchAll(/^```console (\w+)\n([^]*?)^```$/gm)].map(([, name = '', text = '']) => ({
  name,
  lines: text.split('\n').slice(0, -1),
}));

/** How long a wait may take before the test is given up, in milliseconds. Only a bound against hanging, never a measure. */
const PATIENCE = 60_000;
const PROMPT = /^(\$|\(QEMU\)) /;
const KEYS = new Map([
  ['^C', 'C-c'],
  ['^D', 'C-d'],
]);

const SIMULATED = 'a simulated VM with the recorded answers of QEMU 7.2.22';

const escaped = (text: string) => text.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`);

/** What the page says a terminal shows so far. */
class Expected {
  readonly terminal: Terminal;
  readonly #folder: string;
  readonly #lines: string[] = [];

  constructor(terminal: Terminal, folder: string) {
    this.terminal = terminal;
    this.#folder = folder;
  }

  add(line: string): void {
    this.#lines.push(line);
  }

  /** Waits until the screen shows all of it and behind it, as an expression, a prompt. */
  async isShown(prompt: string): Promise<void> {
    const parts = this.#lines.join('\n').split(/^…$/m);
    const pattern = parts.map((part) => escaped(shape(part))).join('.*');
    const wanted = new RegExp(`^${pattern}${prompt}$`);
    let screen = '';
    for (const end = Date.now() + PATIENCE; Date.now() < end; await pause(20)) {
      screen = await this.terminal.screen();
      if (wanted.test(shape(screen.replaceAll(this.#folder, '/tmp')))) return;
    }
    assert.fail(`the page has\n${this.#lines.join('\n')}\n\nbut the screen is\n${screen}`);
  }
}

for (const kind of ['real', 'simulated']) {
  const needed = ['nc', 'tmux', ...(kind === 'real' ? ['qemu'] : [])];
  describe(`the tutorial, with a ${kind} VM`, { skip: missing(...needed) }, () => {
    test('has lines that do what it says', async (t) => {
      const folder = scratch(t);
      const open = terminalsIn(t, folder);
      const terminals = new Map<string, Expected>();
      for (const name of new Set(blocks.map((block) => block.name))) {
        terminals.set(name, new Expected(await open({ columns: 160, rows: 100 }), folder));
      }
      assert.deepEqual([...terminals.keys()], ['first', 'second', 'third']);
      for (const { name, lines } of blocks) {
        const expected = terminals.get(name);
        assert.ok(expected !== undefined);
        for (const line of lines) {
          const [, prompt = ''] = PROMPT.exec(line) ?? [];
          const typed = line.replace(PROMPT, '').replace(/^qmpmux demo$/, `$& --${kind}`);
          const key = KEYS.get(typed);
          if (prompt === '' && key === undefined && !line.startsWith('{"execute"')) {
            expected.add(kind === 'real' ? line : line.replace('a real VM, paused', SIMULATED));
            continue;
          }
          await expected.isShown(escaped(prompt));
          await (key === undefined
            ? expected.terminal.enter(typed.replace('/tmp', folder))
            : expected.terminal.press(key));
          // Ctrl-D leaves no trace.
          expected.add(typed === '^D' ? prompt : `${prompt} ${typed}`);
        }
        await expected.isShown(String.raw`(\$|\(QEMU\))?`);
      }
      // Ctrl-C is shown before the demo has ended.
      await terminals.get('first')?.isShown(String.raw`\$`);
      assert.deepEqual(
        readdirSync(folder).filter((name) => name.startsWith('qmpmux-demo-')),
        [],
      );
    });
  });
}
