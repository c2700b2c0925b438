/**
 * How many commands QEMU answered, itself or from memory, and how long that took: of one client, or of all. Commands carried out here
 * (extension.ts) are not counted: reading the numbers would change them. Times are in microseconds.
 */

/** Answers are counted by their time in classes, each twice as wide as the one before: up to 1 µs, 2 µs, 4 µs, … */
export const TIME_CLASSES = 32;

export class ReplyStats {
  /** Commands that have been answered, errors included. */
  commands = 0;
  errors = 0;
  /** From reading a command whole to its answer: all times together, and the longest. */
  time = 0;
  longest = 0;

  add(time: number, isError: boolean): void {
    this.commands++;
    if (isError) this.errors++;
    this.time += time;
    if (time > this.longest) this.longest = time;
  }
}

/** A tally that also knows how the times are distributed. */
export class LatencyHistogram extends ReplyStats {
  /** How many took up to 2^n microseconds, but longer than 2^(n-1); the last class has no upper bound. */
  readonly classes = new Uint32Array(TIME_CLASSES);

  override add(time: number, isError: boolean): void {
    super.add(time, isError);
    const at = Math.min(TIME_CLASSES - 1, 32 - Math.clz32(Math.max(0, Math.ceil(time) - 1)));
    this.classes[at] = (this.classes[at] ?? 0) + 1;
  }
}
