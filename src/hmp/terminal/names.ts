/** Names for the completions of one human monitor, asked of QEMU; names that cannot change while it lives are asked once. */

import { quote } from '../../qmp/json/unicode.js';
import type { JsonValue } from '../../qmp/json/value.js';
import { Schema } from '../../qmp/schema.js';
import { encodeUtf8 } from './bytes.js';
import { type HmpQuestion, helpNames, listedNames, schemaNames } from './completion.js';

export type Answer = { readonly returned: JsonValue } | { readonly error: string };

/** How QEMU is asked. One question at a time. */
interface HmpAsker {
  /** @param args a JSON object, or empty */
  ask(command: string, args: string, then: (answer: Answer) => void): void;
  /** Has it run a line of the human monitor. */
  run(line: string, then: (answer: Answer) => void): void;
}

type Found = (names: readonly string[]) => void;

export class HmpNames {
  readonly #asker: HmpAsker;
  /** By question. */
  readonly #known = new Map<string, readonly string[]>();

  constructor(asker: HmpAsker) {
    this.#asker = asker;
  }

  /** @param found receives the names, a character for a byte; none if QEMU does not say */
  find(question: HmpQuestion, found: Found): void {
    switch (question.kind) {
      case 'words':
        found(question.words);
        break;
      case 'query':
        this.#asker.ask(question.command, question.args, (answer) => {
          found('error' in answer ? [] : listedNames(question.list, answer.returned).map(encodeUtf8));
        });
        break;
      case 'unpluggable':
        this.#findUnpluggable(found);
        break;
      case 'schema':
        this.#once(question.command, found, (learn) => {
          this.#asker.ask('query-qmp-schema', '', (answer) => {
            if ('error' in answer) found([]);
            else learn(schemaNames(Schema.read(answer.returned), question.command, question.argument));
          });
        });
        break;
      case 'help':
        this.#once(question.line, found, (learn) => {
          this.#asker.run(question.line, (answer) => {
            if ('error' in answer || typeof answer.returned !== 'string') found([]);
            else learn(helpNames(answer.returned, question.line));
          });
        });
    }
  }

  #once(key: string, found: Found, look: (learn: Found) => void): void {
    const known = this.#known.get(key);
    if (known !== undefined) return found(known);
    look((names) => {
      this.#known.set(key, names);
      found(names);
    });
  }

  /** Devices that have a name, one after the other, are asked whether they can be unplugged. */
  #findUnpluggable(found: Found): void {
    this.#asker.ask('qom-list', '{"path":"/machine/peripheral"}', (answer) => {
      const devices = 'error' in answer ? [] : [...listedNames('object', answer.returned)];
      const names: string[] = [];
      const next = (): void => {
        const device = devices.shift();
        if (device === undefined) return found(names.map(encodeUtf8));
        const path = quote(`/machine/peripheral/${device}`);
        this.#asker.ask('qom-get', `{"path":${path},"property":"hotpluggable"}`, (told) => {
          if ('returned' in told && told.returned === true) names.push(device);
          next();
        });
      };
      next();
    });
  }
}
