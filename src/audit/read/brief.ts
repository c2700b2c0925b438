/** Values of any size, abridged: the work is proportional to the part shown. */
import { isJsonArray, isJsonObject, type JsonValue } from '../../qmp/json/value.js';

/** Deeper than messages of QEMU's are nested: it takes no more than 1024 levels. */
const DEEPEST = 1100;

/**
 * @param most about how many characters of it are shown; the work is in proportion to them
 * @returns a value as JSON, or its beginning and `…`
 */
export function brief(value: JsonValue, most: number): string {
  const writer = new BriefWriter(most);
  writer.value(value, 0);
  return writer.text;
}

class BriefWriter {
  text = '';
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** @returns whether there is room for more */
  value(value: JsonValue, depth: number): boolean {
    if (depth > DEEPEST) return this.#put('…');
    if (typeof value === 'string') return this.#put(JSON.stringify(start(value, this.#most - this.text.length)));
    if (isJsonArray(value)) {
      this.#put('[');
      for (const [index, item] of value.entries()) {
        if (index > 0) this.#put(',');
        if (!this.value(item, depth + 1)) return false;
      }
      return this.#put(']');
    }
    if (isJsonObject(value)) {
      this.#put('{');
      let isFirst = true;
      for (const name in value) {
        if (!Object.hasOwn(value, name)) continue;
        this.#put(`${isFirst ? '' : ','}${JSON.stringify(start(name, this.#most - this.text.length))}:`);
        isFirst = false;
        if (!this.value(value[name] ?? null, depth + 1)) return false;
      }
      return this.#put('}');
    }
    return this.#put(String(value));
  }

  #put(text: string): boolean {
    if (this.text.length >= this.#most) {
      if (!this.text.endsWith('…')) this.text += '…';
      return false;
    }
    this.text += text;
    return true;
  }
}

/** @returns a text, or its beginning and `…`. */
export function start(text: string, most: number): string {
  return text.length > Math.max(0, most) ? `${text.slice(0, Math.max(0, most))}…` : text;
}
