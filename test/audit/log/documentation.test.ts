import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { KINDS } from '../../../dist/audit/log/kinds.js';
import { parseMoment } from '../../../dist/audit/read/moment.js';
import { SECRET_MEMBERS } from '../../../dist/audit/redact/redaction-table.js';
import { auditReplay } from '../../../dist/cli/commands/audit/replay.js';
import { auditShow } from '../../../dist/cli/commands/audit/show.js';
import { serve } from '../../../dist/cli/commands/serve/serve.js';
import { AUDIT } from '../../../dist/daemon/config/options/daemon.js';
import { namesOf } from '../../../dist/daemon/config/options/row.js';

const read = (page: string) => readFileSync(new URL(`../../../docs/${page}`, import.meta.url), 'utf8');
const page = read('reference/audit.md');
const guide = read('how-to/audit-and-verify.md');
const schema: { readonly oneOf: readonly { readonly properties: { readonly kind: { readonly const: string } } }[] } =
  JSON.parse(readFileSync(new URL('../../../dist/audit/record.schema.json', import.meta.url), 'utf8'));

test('the page on the audit log has every kind of record, and so has the schema', () => {
  for (const kind of KINDS) assert.ok(page.includes(`\`${kind}\``), kind);
  assert.deepEqual(schema.oneOf.map((each) => each.properties.kind.const).toSorted(), [...KINDS].toSorted());
});

test('the page on the audit log has every flag, every key of the config, and every secret member; how to read it, every option', () => {
  const flags = Object.keys(serve.options).filter((name) => name.startsWith('audit'));
  assert.equal(flags.length, 8);
  for (const flag of flags) assert.ok(page.includes(`\`--${flag} `) || page.includes(`\`--${flag}\``), flag);
  for (const key of namesOf(AUDIT)) assert.ok(page.includes(`| \`${key}\``), key);
  for (const member of SECRET_MEMBERS) assert.ok(page.includes(`\`${member}\``), member);
  for (const flag of Object.keys(auditShow.options).filter((name) => !name.endsWith('color'))) {
    const name = flag === 'follow' ? '-f' : `--${flag}`;
    assert.ok(guide.includes(`\`${name}\``) || guide.includes(`\`${name} `), flag);
  }
  for (const form of ['Tuesday 14:00', 'yesterday 14:00', '14:00', '1w']) {
    assert.ok(guide.includes(`\`${form}\``), form);
    parseMoment(form, Date.now());
  }
  assert.ok('to' in auditReplay.options);
});
