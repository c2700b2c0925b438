/** Members of qmpmux's reports, read where present: the daemon may have another version. */

import { isJsonArray, isJsonObject, type JsonValue } from '../../qmp/json/value.js';
import { printable } from '../../shared/printable.js';

export class Report {
  readonly #value: JsonValue | undefined;

  constructor(value: JsonValue | undefined) {
    this.#value = value;
  }

  /** A member, or a member of a member. A missing member has no members. */
  at(...path: readonly string[]): Report {
    let value = this.#value;
    for (const name of path) value = isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
    return new Report(value);
  }

  get isThere(): boolean {
    return this.#value !== undefined;
  }

  get isTrue(): boolean {
    return this.#value === true;
  }

  /** 0 if it is not a number. */
  get number(): number {
    return typeof this.#value === 'number' ? this.#value : Number(typeof this.#value === 'bigint' ? this.#value : 0);
  }

  /** Text with nothing in it that a terminal would act on; a number as it is written; nothing for anything else. */
  get text(): string {
    if (typeof this.#value === 'string') return printable(this.#value);
    return typeof this.#value === 'number' || typeof this.#value === 'bigint' ? String(this.#value) : '';
  }

  /** The items of a list. */
  get items(): Report[] {
    return isJsonArray(this.#value) ? this.#value.map((item) => new Report(item)) : [];
  }

  /** The members of an object. */
  get members(): [string, Report][] {
    return isJsonObject(this.#value)
      ? Object.entries(this.#value).map(([name, value]): [string, Report] => [name, new Report(value)])
      : [];
  }
}
