/** The parts to be removed from one message, and the texts remembered of them: all within bounds, however many. */
import type { SecretMarks } from './secret-mark.js';

/** A message without its secrets. */
export interface Redacted {
  readonly bytes: Uint8Array;
  /** Where something was removed, `*` for everything; after a `!`, its kind within a text with its own syntax. */
  readonly paths: readonly string[];
}

/** How many marks with a hash may still be made for a message, in texts within texts too. */
export interface HashBudget {
  left: number;
}

/** Removals of one message whose marks have a hash. */
export const MOST_HASHED = 1024;
/** Paths that are listed, and the characters of each. */
const MOST_PATHS = 64;
const LONGEST_PATH = 256;
/** Removed texts that are looked for in the answer, their characters in all, and the shortest piece of one. */
const MOST_ECHOES = 32;
const MOST_ECHO_LENGTH = 16 * 1024;
const SHORTEST_PIECE = 4;

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly by: Uint8Array;
}

/** The state at a moment. */
interface RemovalState {
  readonly count: number;
  readonly edits: number;
  readonly paths: number;
  readonly hashes: number;
}

export class Removals {
  /** How many there are; paths are listed of the first only. */
  count = 0;
  /** The last text put. */
  lastText = '';
  /** Removed texts. */
  readonly values: string[] = [];
  /** Whether there were more removed texts than can be looked for in an answer. */
  hasMoreValues = false;
  readonly #marks: SecretMarks;
  readonly #hashes: HashBudget;
  readonly #paths: string[] = [];
  readonly #edits: Edit[] = [];
  #valueLength = 0;

  constructor(marks: SecretMarks, hashes: HashBudget) {
    this.#marks = marks;
    this.#hashes = hashes;
  }

  get state(): RemovalState {
    return { count: this.count, edits: this.#edits.length, paths: this.#paths.length, hashes: this.#hashes.left };
  }

  /** Undoes later additions; remembered values stay. */
  goBack(state: RemovalState): void {
    this.count = state.count;
    this.#edits.length = state.edits;
    this.#paths.length = state.paths;
    this.#hashes.left = state.hashes;
  }

  /**
   * @returns the parts of removed texts that an answer may repeat: a whole text, or one of its words. Null when there are too many to
   * search for.
   */
  get echoes(): readonly string[] | null {
    if (this.hasMoreValues) return null;
    const echoes = new Set(this.values);
    for (const value of this.values) {
      for (const piece of value.split(/[\s,;:=[\]{}"'\\]+/)) if (piece.length >= SHORTEST_PIECE) echoes.add(piece);
    }
    return echoes.size > MOST_ECHOES * 2 ? null : [...echoes];
  }

  /** Puts `text`, as JSON, in place of the bytes from `start` to `end` of the message. */
  replace(start: number, end: number, text: string): void {
    this.lastText = text;
    this.#edits.push({ start, end, by: Buffer.from(JSON.stringify(text)) });
  }

  /** Remembers a removed text, for the answer may repeat it. */
  remember(value: string): void {
    if (value === '' || this.hasMoreValues) return;
    this.#valueLength += value.length;
    if (this.values.length === MOST_ECHOES || this.#valueLength > MOST_ECHO_LENGTH) this.hasMoreValues = true;
    else if (!this.values.includes(value)) this.values.push(value);
  }

  /** Counts a removal at a path, and lists it if it is one of the first. @param behind appended to the path, for a piece of a text */
  note(path: readonly string[], behind: string): void {
    if (this.count++ >= MOST_PATHS) return;
    let text = '';
    for (const [index, name] of path.entries()) {
      text += index === 0 ? name : `.${name}`;
      if (text.length > LONGEST_PATH) break;
    }
    text += behind.slice(0, LONGEST_PATH);
    this.#paths.push(text.length <= LONGEST_PATH ? text : `${text.slice(0, LONGEST_PATH - 1)}…`);
  }

  /** @returns the mark of a removed text. */
  markText(secret: string): string {
    return this.#hashes.left-- > 0 ? this.#marks.mark(secret) : this.#marks.short(secret.length);
  }

  /** @returns the mark of a removed value that is no text. */
  markBytes(bytes: Uint8Array): string {
    return this.#hashes.left-- > 0 ? this.#marks.markOf(bytes) : this.#marks.short(bytes.length);
  }

  /** @returns the message without the removed parts, or null when there are none. */
  result(raw: Uint8Array): Redacted | null {
    if (this.#edits.length === 0) return null;
    const pieces: Uint8Array[] = [];
    let from = 0;
    for (const edit of this.#edits.sort((a, b) => a.start - b.start)) {
      pieces.push(raw.subarray(from, edit.start), edit.by);
      from = edit.end;
    }
    pieces.push(raw.subarray(from));
    const more = this.count - this.#paths.length;
    return { bytes: Buffer.concat(pieces), paths: more > 0 ? [...this.#paths, `…and ${more} more`] : this.#paths };
  }
}
