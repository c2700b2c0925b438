/**
 * The process's file descriptors, of which each client takes one. The kernel's limit is not run into: libuv would accept and close
 * connections without a word, and files could not be opened any more. So the last descriptors are kept for that.
 */
import { readFileSync } from 'node:fs';

/** Descriptors that are kept for everything but clients: the event loop's, the log's, the audit's, listeners, upstreams. */
const RESERVE = 64;
const RESERVE_PER_MONITOR = 8;
/** Used if the limit cannot be read: every Linux gives this much. */
const COMMON_LIMIT = 1024;

/** @returns how many files this process may have open. Node has raised the soft limit to the hard one when it started. */
export function openFilesLimit(limits: string = readLimits()): number {
  const found = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
  if (found === 'unlimited') return Number.POSITIVE_INFINITY;
  return found === undefined ? COMMON_LIMIT : Number(found);
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}

export class OpenFileBudget {
  /** How many clients all monitors may have together. */
  readonly limit: number;
  #used = 0;

  constructor(monitors: number, openFiles: number = openFilesLimit()) {
    this.limit = Math.max(1, openFiles - RESERVE - RESERVE_PER_MONITOR * monitors);
  }

  /** @returns whether one more client may be let in; that counts it. */
  take(): boolean {
    if (this.#used >= this.limit) return false;
    this.#used++;
    return true;
  }

  /** Counts a file that a client has sent. @returns whether there is room for it; if not, it is to be closed */
  add(): boolean {
    this.#used++;
    return this.#used <= this.limit;
  }

  giveBack(): void {
    this.#used--;
  }
}
