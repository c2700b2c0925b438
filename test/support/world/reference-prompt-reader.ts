/**
 * How QEMU takes its input apart since 11.1, written for being plainly right, as reference-reader.ts is for the QEMUs before it, whose
 * lexer it shares. It follows 11.1's json-lexer, json-streamer and json-parser rule by rule, and shares no line with src/qmp.
 */
import {
  cString,
  fail,
  type Limits,
  type Outcome,
  ParseError,
  QEMU_LIMITS,
  type State,
  step,
  type Token,
  unescaped,
  type Value,
} from './reference-reader.js';

/** Something that is open. */
type Open =
  | { readonly kind: 'list'; readonly items: Value[] }
  | { readonly kind: 'object'; readonly members: [string, Value][]; key: string };

type Want = 'value' | 'value or ]' | ', or ]' | 'key' | 'key or }' | ':' | ', or }';

export class ReferencePromptReader {
  readonly #limits: Limits;
  #state: State = 'start';
  #text = '';
  #curX = 1;
  #curY = 1;
  #x = 1;
  #y = 1;
  #braces = 0;
  #brackets = 0;
  #count = 0;
  #size = 0;
  #error = false;
  #want: Want = 'value';
  #open: Open[] = [];
  #source = '';
  #outcomes: Outcome[] = [];

  constructor(limits: Limits = QEMU_LIMITS) {
    this.#limits = limits;
  }

  /** @returns the outcomes that the bytes of `input` (latin1) completed. */
  read(input: string): Outcome[] {
    this.#outcomes = [];
    for (const c of input) this.#feed(c);
    return this.#outcomes;
  }

  #feed(c: string): void {
    this.#curX++;
    if (c === '\n') {
      this.#curX = 1;
      this.#curY++;
    }
    for (;;) {
      const next = step(this.#state, c);
      if (next === 'error') {
        this.#text += c;
        this.#state = 'recovery';
        this.#take({ type: 'error', text: this.#text });
        this.#text = '';
        return;
      }
      const isOfNext = next.again === true;
      if (!isOfNext) {
        this.#text += c;
        this.#source += c;
      }
      if ('token' in next) {
        const token: Token = { type: next.token, text: this.#text };
        this.#take(token);
        this.#begin();
      } else {
        this.#state = next.state;
        if (next.state === 'recovery') this.#text = '';
        if (next.state === 'start') this.#begin();
      }
      if (!isOfNext) break;
    }
    if (this.#text.length > this.#limits.bytes) {
      this.#take({ type: 'fragment', text: this.#text });
      this.#begin();
    }
  }

  /** The start state is entered: the next token is said to be here. */
  #begin(): void {
    this.#state = 'start';
    this.#text = '';
    this.#x = this.#curX;
    this.#y = this.#curY;
    if (this.#open.length === 0) this.#source = '';
  }

  #take(token: Token): void {
    this.#size += token.text.length;
    this.#count++;
    const { type } = token;
    if (type === '{') this.#braces++;
    else if (type === '[') this.#brackets++;
    else if (type === '}' && this.#braces > 0) this.#braces--;
    else if (type === ']' && this.#brackets > 0) this.#brackets--;
    else if (type === '}' || type === ']' || type === 'error') {
      this.#braces = 0;
      this.#brackets = 0;
    }
    if (!this.#error) {
      try {
        this.#judge(token);
      } catch (error) {
        if (!(error instanceof ParseError)) throw error;
        this.#error = true;
        this.#outcomes.push({ error: error.message });
      }
    }
    if (this.#braces === 0 && this.#brackets === 0) {
      this.#error = false;
      this.#count = 0;
      this.#size = 0;
      this.#open = [];
      this.#want = 'value';
    }
  }

  #judge(token: Token): void {
    if (this.#size >= this.#limits.bytes) throw new ParseError('JSON token size limit exceeded');
    if (this.#count > this.#limits.tokens) throw new ParseError('JSON token count limit exceeded');
    if (this.#braces + this.#brackets > this.#limits.nesting) throw new ParseError('JSON nesting depth limit exceeded');
    try {
      this.#push(token);
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      // `fail` begins its texts so
      throw new ParseError(`${this.#y}:${this.#x}: ${error.message}`);
    }
  }

  #push(token: Token): void {
    const { type } = token;
    if (type === 'error') return fail(`stray '${cString(token.text)}'`);
    const inner = this.#open.at(-1);
    switch (this.#want) {
      case 'key':
      case 'key or }':
        if (type === '}' && this.#want === 'key or }') return this.#close();
        if (type !== 'string' || inner?.kind !== 'object') return fail('expecting key');
        inner.key = unescaped(token.text);
        this.#want = ':';
        return;
      case ':':
        if (type !== ':') return fail("expecting ':'");
        this.#want = 'value';
        return;
      case ', or }':
        if (type === '}') return this.#close();
        if (type !== ',') return fail("expected ',' or '}'");
        this.#want = 'key';
        return;
      case ', or ]':
        if (type === ']') return this.#close();
        if (type !== ',') return fail("expected ',' or ']'");
        this.#want = 'value';
        return;
      case 'value or ]':
        if (type === ']') return this.#close();
        return this.#value(token);
      case 'value':
        return this.#value(token);
    }
  }

  #value(token: Token): void {
    switch (token.type) {
      case '{':
        this.#open.push({ kind: 'object', members: [], key: '' });
        this.#want = 'key or }';
        return;
      case '[':
        this.#open.push({ kind: 'list', items: [] });
        this.#want = 'value or ]';
        return;
      case 'string':
        return this.#complete({ kind: 'string', bytes: unescaped(token.text) });
      case 'keyword':
        if (!['true', 'false', 'null'].includes(token.text)) return fail(`invalid keyword '${token.text}'`);
        return this.#complete({ kind: 'keyword', text: token.text });
      case 'integer':
      case 'float':
        return this.#complete({ kind: token.type, text: token.text });
      case '}':
      case ']':
      case ':':
      case ',':
      case 'fragment':
      case 'error':
        return fail('expecting value');
    }
  }

  #close(): void {
    const closed = this.#open.pop();
    if (closed === undefined) throw new Error('nothing is open');
    this.#complete(closed.kind === 'list' ? closed : { kind: 'object', members: closed.members });
  }

  #complete(value: Value): void {
    const outer = this.#open.at(-1);
    if (outer === undefined) {
      this.#outcomes.push({ value, source: this.#source });
    } else if (outer.kind === 'list') {
      outer.items.push(value);
      this.#want = ', or ]';
    } else {
      if (outer.members.some(([key]) => key === outer.key)) fail('duplicate key');
      outer.members.push([outer.key, value]);
      this.#want = ', or }';
    }
  }
}
