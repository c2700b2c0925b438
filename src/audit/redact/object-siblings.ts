/** Members of an object that define the others: the kind of an object that is made, the property that is set. */
import type { MessageTokens } from './message-tokens.js';
import { classOfName, NameClass } from './secret-names.js';

/** Members of an object that define the others, by their values' tokens; -1 where there is none. */
export interface Siblings {
  kind: number;
  property: number;
  name: number;
  target: number;
  transport: number;
  driver: number;
}
export const NO_SIBLINGS: Readonly<Siblings> = {
  kind: -1,
  property: -1,
  name: -1,
  target: -1,
  transport: -1,
  driver: -1,
};

function siblingOf(name: string): keyof Siblings | null {
  if (name === 'name' || name === 'target' || name === 'transport' || name === 'driver') return name;
  const found = classOfName(name);
  if ((found & NameClass.Kind) !== 0) return 'kind';
  return (found & NameClass.Property) === 0 ? null : 'property';
}

/**
 * Reads the names of an object's members.
 * @param object the token that opens it
 * @param names takes them
 * @returns those that define the others
 */
export function siblingsIn(tokens: MessageTokens, object: number, names: string[]): Siblings {
  let siblings: Siblings | null = null;
  const end = tokens.closeOf(object);
  for (let key = object + 1; key < end; key = tokens.closeOf(key + 2) + 2) {
    const name = tokens.name(key);
    names.push(name);
    if (!tokens.isText(key + 2)) continue;
    const found = siblingOf(name);
    if (found === null) continue;
    siblings ??= { ...NO_SIBLINGS };
    // One that is spelled rightly says more.
    if (siblings[found] < 0 || name === 'qom-type' || name === found) siblings[found] = key + 2;
  }
  return siblings ?? NO_SIBLINGS;
}
