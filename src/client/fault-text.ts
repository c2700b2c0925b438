/** The findings of a check against the schema, for people: the place, the fault, and the probable intention. */
import { type Fault, pathText } from '../qmp/schema.js';
import { suggestion } from '../shared/spelling.js';

/** Where no name is near, up to this many are all listed. */
const MOST_NAMES_LISTED = 12;

/** @param command whose arguments they are, where that is one command @returns one line, such as `file.drvier is unexpected; did you mean "driver"?` */
export function faultText(fault: Fault, command?: string): string {
  const where = pathText(fault.path);
  switch (fault.kind) {
    case 'missing':
      return `${where} is missing`;
    case 'unexpected':
      if (command !== undefined && fault.path.length === 1 && fault.known.length === 0)
        return `${command} takes no arguments`;
      return `${where} is unexpected${alternatives(String(fault.path.at(-1) ?? ''), fault.known)}`;
    case 'type':
      return fault.expected === 'alternate'
        ? `${where} is of the wrong type`
        : `${where} must be ${article(fault.expected)}`;
    case 'value':
      return `${where} cannot be ${JSON.stringify(fault.value)}${alternatives(fault.value, fault.known)}`;
  }
}

function alternatives(word: string, known: readonly string[]): string {
  const near = suggestion(word, known);
  if (near !== '') return near;
  if (known.length === 0) return '; nothing is allowed there';
  return known.length <= MOST_NAMES_LISTED ? ` (known: ${known.join(', ')})` : '';
}

function article(type: string): string {
  return type === 'null' ? 'null' : `${/^[aio]/.test(type) ? 'an' : 'a'} ${type}`;
}
