/** A program in a real terminal, through tmux: sends keys to it, and reads its screen. */
import { execFile } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { removeFolder, type Scope } from '../files/scratch.js';

const run = promisify(execFile);

/** How long a wait may take before the test is given up, in milliseconds. Only a bound against hanging, never a measure. */
const PATIENCE = 60_000;
/** tmux does not report changes of the screen, so it is asked again after this many milliseconds. */
const PAUSE = 20;

export interface TerminalOptions {
  readonly columns?: number;
  readonly rows?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

export class Terminal {
  readonly #server: readonly string[];

  private constructor(server: readonly string[]) {
    this.#server = server;
  }

  /** Starts a program in a new terminal; both end with `scope`. */
  static async start(scope: Scope, words: readonly string[], options: TerminalOptions = {}): Promise<Terminal> {
    const { columns = 80, rows = 24, environment = {} } = options;
    const folder = mkdtempSync(join(tmpdir(), 'qm-tty-'));
    const terminal = new Terminal(['-u', '-f', '/dev/null', '-S', join(folder, 'tmux')]);
    // In one piece: without its socket the server cannot be reached.
    scope.after(async () => {
      await terminal.#tmux('kill-server').catch(() => undefined); // it may have ended already
      removeFolder(folder);
    });
    const size = ['-x', String(columns), '-y', String(rows)];
    const variables = Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
    // The terminal stays when the program has ended, and shows how.
    const command = ['sh', '-c', '"$@"; echo "ended with $?"; read _', 'sh', ...words];
    const prompt = ['set-option', '-g', 'escape-time', '0', ';'];
    await terminal.#tmux(...prompt, 'new-session', '-d', ...size, ...variables, '--', ...command);
    return terminal;
  }

  /** Types a text, as it is. */
  async type(text: string): Promise<void> {
    await this.#tmux('send-keys', '-l', '--', text);
  }

  /** Presses keys, by tmux's names: `Enter`, `Tab`, `Up`, `C-c`. */
  async press(...keys: readonly string[]): Promise<void> {
    await this.#tmux('send-keys', ...keys);
  }

  /** Types a line, and Enter. */
  async enter(line: string): Promise<void> {
    await this.type(line);
    await this.press('Enter');
  }

  /** Pastes a text; line feeds become returns, as in every terminal. @param marked as one paste, if the program asked for that */
  async paste(text: string, marked: boolean): Promise<void> {
    await this.#tmux('set-buffer', '--', text);
    await this.#tmux('paste-buffer', ...(marked ? ['-p'] : []));
  }

  async resize(columns: number): Promise<void> {
    await this.#tmux('resize-window', '-x', String(columns));
  }

  /** The text on the screen, without blanks at the ends of lines and of the whole. @param styled with its colours */
  async screen(styled = false): Promise<string> {
    const { stdout } = await this.#tmux('capture-pane', '-p', ...(styled ? ['-e'] : []));
    return stdout.trimEnd();
  }

  /** Waits until the screen ends with a text, or matches an expression. @returns the screen */
  async shows(what: string | RegExp): Promise<string> {
    const isThere = (screen: string) => (typeof what === 'string' ? screen.endsWith(what) : what.test(screen));
    return this.#until(String(what), isThere);
  }

  /** Waits for the end of the program. @returns its exit code */
  async exited(): Promise<number> {
    const screen = await this.shows(/^ended with \d+$/m);
    return Number(/^ended with (\d+)$/m.exec(screen)?.[1]);
  }

  async #until(what: string, isThere: (screen: string) => boolean): Promise<string> {
    for (const end = Date.now() + PATIENCE; ; await setTimeout(PAUSE)) {
      const screen = await this.screen();
      if (isThere(screen)) return screen;
      if (Date.now() > end) throw new Error(`waited for ${what}; the screen:\n${screen}`);
    }
  }

  #tmux(...words: readonly string[]) {
    const environment = { ...process.env, LC_ALL: 'C.UTF-8', TERM: 'xterm-256color' };
    return run('tmux', [...this.#server, ...words], { env: environment });
  }
}
