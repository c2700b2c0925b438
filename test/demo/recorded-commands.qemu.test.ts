/** The simulated monitor says what one QEMU said: which of those commands the installed QEMU does not know. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { isJsonArray, isJsonObject, type JsonValue, parseJson } from '../../dist/qmp/json/value.js';
import { missing, startQemu } from '../support/qemu/qemu.js';
import { QEMU_VERSIONS } from '../support/qemu/recorded-commands.js';
import { recordedSchema } from '../support/qemu/recorded-schema.js';

function textOf(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

describe('what the demo answers', { skip: missing('qemu') }, () => {
  it('is to commands that the installed QEMU has too, or here are the others', async (t) => {
    const file = parseJson(readFileSync(new URL('../../dist/demo/recorded-replies.json', import.meta.url), 'utf8'));
    const replies = file.ok && isJsonObject(file.value) ? file.value['replies'] : undefined;
    const recorded = new Set(
      (isJsonArray(replies) ? replies : []).filter(isJsonObject).map((reply) => textOf(reply['execute'])),
    );
    assert.ok(recorded.size > 30);
    for (const name of recorded) assert.ok(recordedSchema().commands.has(name), name);

    const vm = await startQemu(t);
    // the shape is that of qapi/control.json
    const commands = (await vm.execute('query-commands')) as { name: string }[];
    const names = new Set(commands.map(({ name }) => name));
    const gone = [...recorded].filter((name) => !names.has(name));
    t.diagnostic(`of ${recorded.size} recorded commands QEMU ${vm.version} does not have: ${gone.join(' ') || 'none'}`);
    const isRecorded = QEMU_VERSIONS.some((version) => vm.version.startsWith(`${version}.`));
    if (isRecorded) assert.deepEqual(gone, []);
  });
});
