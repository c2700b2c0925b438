/** Keeps log lines for tests, and lets them wait for one. */
export interface RecordedLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export class LogRecord {
  readonly lines: RecordedLine[] = [];
  readonly #waits = new Set<() => void>();

  debug(fields: object, text: string): void {
    this.#add('debug', fields, text);
  }
  info(fields: object, text: string): void {
    this.#add('info', fields, text);
  }
  warn(fields: object, text: string): void {
    this.#add('warn', fields, text);
  }
  error(fields: object, text: string): void {
    this.#add('error', fields, text);
  }

  /** The lines an operator sees: all but debug. */
  get shown(): readonly RecordedLine[] {
    return this.lines.filter((line) => line.level !== 'debug');
  }

  /** Waits until `count` lines fit. @returns the last of them */
  async until(wanted: (line: RecordedLine) => boolean, count = 1): Promise<RecordedLine> {
    for (;;) {
      const found = this.lines.filter(wanted)[count - 1];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#waits.add(resolve);
      });
    }
  }

  #add(level: RecordedLine['level'], fields: object, text: string): void {
    this.lines.push({ level, text, fields: { ...fields } });
    for (const wake of this.#waits) wake();
    this.#waits.clear();
  }
}
