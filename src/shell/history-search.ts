/**
 * Ctrl-R: the search backwards through the history, with the keys that GNU readline has for it. Keys go in, the line and its prompt come
 * out.
 */
const CTRL_G = '\u0007';
const CTRL_H = '\b';
export const CTRL_R = '\u0012';
const CTRL_S = '\u0013';
const DELETE = '\u007f';

export class HistorySearch {
  readonly #history: readonly string[];
  readonly #typed: string;
  #wanted = '';
  /** Of the line that was found last; -1 before there was one. */
  #at = -1;
  #hasFailed = false;
  #isCancelled = false;

  /** @param history the newest is the first. @param typed the line's earlier content */
  constructor(history: readonly string[], typed: string) {
    this.#history = history;
    this.#typed = typed;
  }

  /** The line's new content. */
  get line(): string {
    return this.#isCancelled ? this.#typed : (this.#history[this.#at] ?? this.#typed);
  }

  /** The prompt before it. */
  get prompt(): string {
    return `(${this.#hasFailed ? 'failed ' : ''}reverse-i-search)\`${this.#wanted}': `;
  }

  /** @returns the next step: go on with the search; end it; end it, and then act on the key. */
  press(key: string): 'go on' | 'end' | 'end and act' {
    switch (key) {
      case CTRL_R:
        this.#find(this.#at + 1, 1);
        return 'go on';
      case CTRL_S:
        this.#find(this.#at - 1, -1);
        return 'go on';
      case CTRL_H:
      case DELETE:
        this.#wanted = this.#wanted.replace(/.$/su, '');
        this.#at = -1;
        this.#find(0, 1);
        return 'go on';
      case CTRL_G:
        this.#isCancelled = true;
        return 'end';
      default:
        if (/^\p{Control}/u.test(key)) return 'end and act';
        this.#wanted += key;
        this.#find(Math.max(0, this.#at), 1);
        return 'go on';
    }
  }

  /** Looks for another line than the one that was found, or for the same with more of it. The last match stays when there is none. */
  #find(from: number, step: 1 | -1): void {
    this.#hasFailed = false;
    if (this.#wanted === '') return;
    const present = from === this.#at ? null : this.#history[this.#at];
    for (let at = from; at >= 0 && at < this.#history.length; at += step) {
      const line = this.#history[at];
      if (line === undefined || line === present || !line.includes(this.#wanted)) continue;
      this.#at = at;
      return;
    }
    this.#hasFailed = true;
  }
}
