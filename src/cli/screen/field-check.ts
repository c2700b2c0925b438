/**
 * A field that no row of a reply has may be misspelt, or only not there now: `error` of jobs none of which failed. The VM's schema
 * distinguishes them. It is requested once, when there is such a field.
 */
import type { CommandOptions } from '../../client/options.js';
import type { QmpClient } from '../../client/qmp-client.js';
import { prepareCommand } from '../../client/raw-command.js';
import { Schema, type SchemaType, type TypeName } from '../../qmp/schema.js';
import type { FieldPath, MissingField } from './fields.js';
import { writeProblem } from './screen-text.js';

export class FieldCheck {
  readonly #client: QmpClient;
  readonly #waiting: CommandOptions;
  #schema: Promise<Schema | null> | null = null;

  constructor(client: QmpClient, waiting: CommandOptions) {
    this.#client = client;
    this.#waiting = waiting;
  }

  /** Tells those on standard error that the command never returns. @returns whether there are any */
  async tell(command: string, missing: readonly MissingField[]): Promise<boolean> {
    if (missing.length === 0) return false;
    this.#schema ??= this.#client.execute('query-qmp-schema', undefined, this.#waiting).then(
      (answer) => Schema.read(answer),
      () => null,
    );
    const schema = await this.#schema;
    const returns = schema?.commands.get(prepareCommand(command, 0).name)?.returns;
    const unknown = missing.filter(
      ({ path }) => schema === null || returns === undefined || !hasField(schema, returns, path),
    );
    for (const { problem } of unknown) writeProblem(problem);
    return unknown.length > 0;
  }
}

/** @returns whether the schema has the field, in a command's result or in each of its items. */
function hasField(schema: Schema, returns: TypeName, path: FieldPath): boolean {
  let type: SchemaType = schema.type(returns);
  if (type.kind === 'array') type = schema.type(type.element);
  for (const name of path) {
    const next = memberOf(schema, type, name);
    if (next === null) return false;
    type = schema.type(next);
  }
  return true;
}

function memberOf(schema: Schema, type: SchemaType, name: string): TypeName | null {
  if (type.kind === 'array') return /^\d+$/.test(name) ? type.element : null;
  return schema.members(type, undefined).find((member) => member.name === name)?.type ?? null;
}
