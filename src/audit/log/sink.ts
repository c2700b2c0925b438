/** Where the audit log's lines go. */

/** Why something could not be written, in words for the client that is refused: `ENOSPC: no space left on device`. */
export type Trouble = string;

/** For the daemon's own log. */
export type Report = (level: 'info' | 'warn' | 'error', message: string) => void;

/**
 * The one destination that the guarantee rests on. It always accepts bytes: those it cannot write at once it keeps, and writes before
 * anything else. Nothing here throws.
 */
export interface Sink {
  /** For messages: the file's path, or `stdout`. */
  readonly name: string;
  /**
   * Hands bytes to the kernel, after those kept. They belong to the caller again afterwards.
   * @returns null when all of them are there
   */
  write(bytes: Uint8Array): Trouble | null;
  /** Tries again to write the bytes kept. @returns null when nothing is kept any more */
  retry(): Trouble | null;
  /** Makes the bytes written survive a power cut. */
  sync(): Trouble | null;
  /** Lets go of the file if it was renamed, and goes on in a new one of the same name. Only when nothing is kept. */
  reopen(): Reopened;
  close(): void;
}

export type Reopened =
  /** There is no other file: nothing has changed. */
  | { readonly kind: 'same' }
  /** From now on, bytes go to another file. */
  | { readonly kind: 'new' }
  /** No other file can be had; the one in use stays in use. */
  | { readonly kind: 'failed'; readonly trouble: Trouble };

/** A destination beside the sink, without a guarantee: it gets whole lines, and counts those that it loses. */
export interface Tap {
  readonly name: string;
  /** Records that it did not get. */
  readonly lost: number;
  /** Whether it takes records now. */
  readonly isUp: boolean;
  write(lines: Buffer): void;
  close(): Promise<void>;
}
