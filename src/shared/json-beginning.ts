/**
 * Whether a text can still become JSON, seen as it is typed: a fault that no further text can mend is found at once.
 *
 * JSON as QEMU reads it: strings in single quotes too. One look at each character; the memory is a bracket for each level that is open.
 */

/** What may come next. */
type Expected = 'value' | 'value or ]' | 'name' | 'name or }' | ':' | ', or ]' | ', or }';

/** `tru` is not distinguished from `true` before its end. */
const WORD = /[\w.+-]/;
const SCALAR = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;
/** Only the beginning of a longer word is kept; no number or name in JSON has to be that long. */
const LONGEST_WORD = 1024;

export class JsonBeginning {
  /** Why it is no JSON, for people; null as long as it can become JSON. */
  fault: string | null = null;
  readonly #open: ('{' | '[')[] = [];
  #expected: Expected = 'value';
  #quote = '';
  #isEscaped = false;
  #word = '';

  /** @param character the next one of the text; ignored after a fault, and after the end of the value */
  take(character: string): void {
    if (this.fault !== null) return;
    if (this.#quote !== '') this.#takeInString(character);
    else if (WORD.test(character)) this.#word = (this.#word + character).slice(0, LONGEST_WORD);
    else {
      this.#endWord();
      if (this.fault === null && !/\s/.test(character)) this.#takeMark(character);
    }
  }

  #takeInString(character: string): void {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (character === '\\') this.#isEscaped = true;
    else if (character === this.#quote) {
      this.#quote = '';
      this.#ended(this.#expected.startsWith('name'));
    }
    if (character < ' ') this.fault = `the quote ${this.#quote} is not closed at the end of the line`;
  }

  #takeMark(character: string): void {
    if (character === '"' || character === "'") {
      if (!this.#expected.startsWith('name') && !this.#expected.startsWith('value')) this.#fail(character);
      else this.#quote = character;
    } else if (character === '{' || character === '[') {
      if (!this.#expected.startsWith('value')) this.#fail(character);
      else {
        this.#open.push(character);
        this.#expected = character === '{' ? 'name or }' : 'value or ]';
      }
    } else if ((character === '}' || character === ']') && this.#expected.endsWith(character)) {
      this.#open.pop();
      this.#ended(false);
    } else if (character === ':' && this.#expected === ':') this.#expected = 'value';
    else if (character === ',' && this.#expected.startsWith(',')) {
      this.#expected = this.#open.at(-1) === '{' ? 'name' : 'value';
    } else this.#fail(character);
  }

  #endWord(): void {
    const word = this.#word;
    if (word === '') return;
    this.#word = '';
    if (!this.#expected.startsWith('value')) this.#fail(word);
    else if (SCALAR.test(word)) this.#ended(false);
    else this.fault = `${word.slice(0, 40)} is not a JSON value; put text in quotes`;
  }

  /** A name or a value is over. */
  #ended(isName: boolean): void {
    if (isName) this.#expected = ':';
    else this.#expected = this.#open.at(-1) === '{' ? ', or }' : ', or ]';
  }

  #fail(found: string): void {
    const what = this.#expected.replace('name', 'a name in quotes').replace('value', 'a value');
    this.fault = `${what} is expected, not ${found.slice(0, 40)}`;
  }
}
