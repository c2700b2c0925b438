/** The lines that were typed at a text monitor, as QEMU keeps them (util/readline.c): 64, an older equal one moves to the end. */

const MOST_LINES = 64;

export class HmpHistory {
  readonly #lines: string[] = [];
  /** The line that is shown for editing; -1 for a new one. */
  #shown = -1;

  get lines(): readonly string[] {
    return this.#lines;
  }

  /** One line back. @returns the line to show; null for no change */
  up(): string | null {
    if (this.#shown === 0) return null;
    if (this.#shown === -1) this.#shown = this.#lines.length;
    this.#shown--;
    return this.#lines[this.#shown] ?? null;
  }

  /** One line on. @returns the line to show, empty after the last one; null for no change */
  down(): string | null {
    if (this.#shown === -1) return null;
    const next = this.#shown < MOST_LINES - 1 ? this.#lines[++this.#shown] : undefined;
    if (next === undefined) this.#shown = -1;
    return next ?? '';
  }

  /** A line was entered. An empty one is not kept, and leaves where one is as it is. */
  add(line: string): void {
    if (line === '') return;
    const same = this.#lines[this.#shown] === line ? this.#shown : this.#lines.indexOf(line);
    if (same >= 0) this.#lines.splice(same, 1);
    else if (this.#lines.length === MOST_LINES) this.#lines.shift();
    this.#lines.push(line);
    this.#shown = -1;
  }
}
