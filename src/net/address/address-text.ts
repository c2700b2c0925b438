/** The text of an address while it is read: where it is cut, and its faults. */
import { QmpmuxError } from '../../shared/errors.js';
import { suggestion } from '../../shared/spelling.js';
import { ADDRESS_OPTIONS, FOREIGN_OPTIONS } from './address-words.js';

/** A text that is no address; the message names the fault and its place. */
export class AddressError extends QmpmuxError {
  readonly code = 'QMPMUX_ADDRESS';
  readonly text: string;
  /** Where in `text` the fault is, from 1. */
  readonly column: number;

  constructor(text: string, at: number, problem: string) {
    super(`address ${quoted(text)}, column ${at + 1}: ${problem}`);
    this.text = text;
    this.column = at + 1;
  }
}

export interface OptionPart {
  readonly name: string;
  /** null for an option without `=`. */
  readonly value: string | null;
  /** Makes the error that names where the option is; or where in its value, from 0, the fault is. */
  readonly fault: (problem: string, inValue?: number) => QmpmuxError;
}

const OPTIONS: readonly string[] = ADDRESS_OPTIONS.map(({ name }) => name);

export class AddressText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  fault(at: number, problem: string): AddressError {
    return new AddressError(this.text, at, problem);
  }

  value(option: OptionPart): string {
    if (option.value === null || option.value === '') {
      throw option.fault(`"${option.name}" needs a value: ${option.name}=…`);
    }
    const control = controlCharacter(option.value);
    if (control >= 0) throw option.fault(`a control character in "${option.name}"`, control);
    return option.value;
  }

  isOn(option: OptionPart): boolean {
    if (option.value === null || option.value === 'on') return true;
    if (option.value === 'off') return false;
    throw option.fault(`"${option.name}" must be on or off, not ${quoted(option.value)}`, 0);
  }

  /**
   * Cuts the text after `from` at its single commas; `,,` is one comma.
   * @param served options of clients, which are known besides the address's own
   * @param beside options that were given beside the text
   */
  split(
    from: number,
    served: readonly string[],
    beside: readonly OptionPart[],
  ): { readonly head: string; readonly options: readonly OptionPart[] } {
    const parts: { text: string; at: number }[] = [];
    let part = { text: '', at: from };
    for (let i = from; i < this.text.length; i++) {
      const char = this.text.charAt(i);
      if (char !== ',') {
        part.text += char;
      } else if (this.text[i + 1] === ',') {
        part.text += ',';
        i++;
      } else {
        parts.push(part);
        part = { text: '', at: i + 1 };
      }
    }
    parts.push(part);

    const options: OptionPart[] = [];
    for (const { text, at } of parts.slice(1)) {
      const equals = text.indexOf('=');
      const name = equals < 0 ? text : text.slice(0, equals);
      if (name === '')
        throw this.fault(
          Math.min(at, this.text.length - 1),
          'an option is missing after the comma (",," is a comma in a path)',
        );
      const foreign = FOREIGN_OPTIONS.get(name);
      if (foreign !== undefined) throw this.fault(at, `${quoted(name)}: ${foreign}`);
      if (!OPTIONS.includes(name) && !served.includes(name)) {
        const known = [...OPTIONS, ...served];
        const near = suggestion(name, known) || ` (known: ${known.join(', ')}; a comma in a path is written ",,")`;
        throw this.fault(at, `unknown option ${quoted(name)}${near}`);
      }
      if (options.some((other) => other.name === name)) throw this.fault(at, `"${name}" is given twice`);
      const fault = (problem: string, inValue?: number) =>
        this.fault(inValue === undefined ? at : at + name.length + 1 + inValue, problem);
      options.push({ name, value: equals < 0 ? null : text.slice(equals + 1), fault });
    }
    for (const option of beside) {
      if (options.some(({ name }) => name === option.name)) throw option.fault(`"${option.name}" is given twice`);
      options.push(option);
    }
    return { head: parts[0]?.text ?? '', options };
  }
}

export function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 199)}…` : text);
}

/** Offset of the first control character, or -1. Such a path would break log lines and the ready line. */
export function controlCharacter(text: string): number {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return i;
  }
  return -1;
}
