/**
 * The types of options: how each reads a text, after an address or a flag, and a value of TOML. If it cannot be read, the result is a
 * problem in words that follow the option's name; it is bounded, whatever was written.
 */
import { AddressError, quoted } from '../../../net/address/address-text.js';
import { suggestion } from '../../../shared/spelling.js';
import { parseByteSize, parseDuration } from '../../../shared/units.js';
import type { OptionType, Read } from './row.js';

/** @param written is quoted if it is a text or a number */
export function mustBe(expected: string, written?: unknown, more = ''): { readonly problem: string } {
  const isShown = typeof written === 'string' || typeof written === 'number';
  return { problem: `must be ${expected}${isShown ? `, not ${quoted(String(written))}` : ''}${more}` };
}

/** A type whose values in TOML are texts, or numbers that are read as texts. */
function quantity<T>(
  type: Pick<OptionType<T>, 'syntax' | 'zero' | 'fromText' | 'toText'> & { readonly expected: string },
): OptionType<T> {
  return {
    ...type,
    fromToml: (value) =>
      typeof value === 'string' || typeof value === 'number' ? type.fromText(String(value)) : mustBe(type.expected),
  };
}

const TIME_STEPS = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** A time, in milliseconds. @param zero what 0 means */
export function duration(zero: string): OptionType<number> {
  const expected = `a time such as 10s, 500ms, 5m or 1h (0: ${zero})`;
  return quantity({
    syntax: 'TIME',
    zero,
    expected,
    fromText: (text) => {
      const value = parseDuration(text);
      return value === null ? mustBe(expected, text) : { value };
    },
    toText: (value) => {
      const step = TIME_STEPS.find(([, length]) => value >= length && value % length === 0);
      return step === undefined ? `${value}ms` : `${value / step[1]}${step[0]}`;
    },
  });
}

/** A number of things. @param zero what 0 means; null if there must be at least one */
export function count(zero: string | null): OptionType<number> {
  const expected = zero === null ? 'a number' : `a number (0: ${zero})`;
  return quantity({
    syntax: 'N',
    ...(zero === null ? {} : { zero }),
    expected,
    fromText: (text) => atLeastOne(/^\d{1,9}$/.test(text) ? Number(text) : null, zero, expected, text),
    toText: String,
  });
}

const SIZE_STEPS = [
  ['G', 1024 ** 3],
  ['M', 1024 ** 2],
  ['k', 1024],
] as const;

/** A number of bytes. @param zero what 0 means; null if there must be at least one */
export function size(zero: string | null): OptionType<number> {
  const expected = `a size such as 64k or 1M, or a number of bytes${zero === null ? '' : ` (0: ${zero})`}`;
  return quantity({
    syntax: 'SIZE',
    ...(zero === null ? {} : { zero }),
    expected,
    fromText: (text) => atLeastOne(parseByteSize(text), zero, expected, text),
    toText: (value) => {
      const step = SIZE_STEPS.find(([, length]) => value >= length && value % length === 0);
      return step === undefined ? String(value) : `${value / step[1]}${step[0]}`;
    },
  });
}

function atLeastOne(value: number | null, zero: string | null, expected: string, text: string): Read<number> {
  if (value === null) return mustBe(expected, text);
  return value === 0 && zero === null ? mustBe('at least 1; this limit cannot be disabled') : { value };
}

/** `on` or `off` after an address; true or false in TOML, which takes the words too. */
export const onOff: OptionType<boolean> = {
  syntax: 'on or off',
  words: ['on', 'off'],
  fromText: (text) => (text === 'on' || text === 'off' ? { value: text === 'on' } : mustBe('on or off', text)),
  fromToml: (value) => {
    if (typeof value === 'boolean') return { value };
    return value === 'on' || value === 'off' ? { value: value === 'on' } : mustBe('true or false', value);
  },
  toText: (value) => (value ? 'on' : 'off'),
};

/** One of some words. */
export function oneOf<const T extends string>(words: readonly T[]): OptionType<T> {
  const expected = words.length > 2 ? `one of ${words.join(', ')}` : words.join(' or ');
  const fromText = (text: string): Read<T> => {
    const value = words.find((word) => word === text);
    return value === undefined ? mustBe(expected, text, suggestion(text, words)) : { value };
  };
  return {
    syntax: words.length > 2 ? words.join(', ') : words.join(' or '),
    words,
    fromText,
    fromToml: (value) => (typeof value === 'string' ? fromText(value) : mustBe(expected)),
    toText: (value) => value,
  };
}

/**
 * A text that is read by a given function.
 * @param expected what it must be, for values that are no text
 */
export function textType<T>(
  syntax: string,
  expected: string,
  fromText: (text: string) => Read<T>,
  toText: (value: T) => string,
): OptionType<T> {
  return {
    syntax,
    fromText,
    fromToml: (value) => (typeof value === 'string' && value !== '' ? fromText(value) : mustBe(expected)),
    toText,
  };
}

/** An address. @param parse throws AddressError */
export function address<T>(example: string, parse: (text: string) => T, format: (value: T) => string): OptionType<T> {
  const fromText = (written: string): Read<T> => {
    try {
      return { value: parse(written) };
    } catch (error) {
      if (error instanceof AddressError) return { problem: error.message };
      throw error;
    }
  };
  return textType('ADDRESS', `an address, such as "${example}"`, fromText, format);
}

/**
 * Several words: with `+` between them after an address, a list of texts (or numbers) or one of them in TOML.
 * @param expected what they are: `users, by name or number`
 */
export function wordsType<T>(
  syntax: string,
  expected: string,
  read: (names: readonly string[]) => Read<T>,
  toText: (value: T) => string,
): OptionType<T> {
  return {
    syntax,
    fromText: (written) => read(written.split('+')),
    fromToml: (value) => {
      if (typeof value === 'string' || typeof value === 'number') return read(String(value).split('+'));
      if (!Array.isArray(value)) return mustBe(`${expected}, or a list of them`);
      const names: string[] = [];
      for (const [at, name] of value.entries()) {
        if (typeof name !== 'string' && typeof name !== 'number') return { ...mustBe('a text'), at };
        names.push(String(name));
      }
      return read(names);
    },
    toText,
  };
}

/**
 * A list of texts in TOML, and one of them after each of its flags.
 * @param expected what they are: `rules such as "allow query-*"`
 * @param read reads one of them
 */
export function list<T>(
  syntax: string,
  expected: string,
  read: (element: unknown) => Read<T>,
): OptionType<readonly T[]> {
  return {
    syntax,
    isList: true,
    fromText: (written) => all([written], read),
    fromToml: (value) => (Array.isArray(value) ? all(value, read) : mustBe(`a list of ${expected}`)),
    toText: (values) => values.map(String).join(', '),
  };
}

function all<T>(elements: readonly unknown[], read: (element: unknown) => Read<T>): Read<readonly T[]> {
  const values: T[] = [];
  for (const [at, element] of elements.entries()) {
    const one = read(element);
    if ('problem' in one) return { ...one, at };
    values.push(one.value);
  }
  return { value: values };
}

/** For `list`: a text that is not empty. @param expected `a rule such as "allow query-*"` */
export function textElement(expected: string): (element: unknown) => Read<string> {
  return (element) => (typeof element === 'string' && element !== '' ? { value: element } : mustBe(expected));
}
