/** The schema of the QEMU that was recorded for the simulated monitor. */
import { readFileSync } from 'node:fs';
import { isJsonArray, isJsonObject, parseJson } from '../../../dist/qmp/json/value.js';
import { Schema } from '../../../dist/qmp/schema.js';

export function recordedSchema(): Schema {
  const file = parseJson(readFileSync(new URL('../../../dist/demo/recorded-replies.json', import.meta.url), 'utf8'));
  const replies = file.ok && isJsonObject(file.value) ? file.value['replies'] : undefined;
  const all = isJsonArray(replies) ? replies.filter(isJsonObject) : [];
  const schema = Schema.read(all.find((reply) => reply['execute'] === 'query-qmp-schema')?.['return'] ?? null);
  if (schema === null) throw new Error('there is no schema in recorded-replies.json');
  return schema;
}
