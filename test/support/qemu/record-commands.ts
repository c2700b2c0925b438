/**
 * Records the commands of a QEMU and their arguments: `QMPMUX_QEMU=PROGRAM node build/support/qemu/record-commands.js` writes
 * test/mux/policy/commands/qemu-MAJOR.MINOR.txt. A line is a command and its arguments, those of all variants of a union together; the
 * possible actions of a list follow as `COMMAND/ACTION`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startQemu } from './qemu.js';
import { commandLines } from './recorded-commands.js';

const ends: (() => unknown)[] = [];
const vm = await startQemu({ after: (end) => ends.push(end) });
const version = vm.version.split('.').slice(0, 2).join('.');
const lines = commandLines(await vm.execute('query-qmp-schema'));
const file = join(fileURLToPath(new URL('../../../test/mux/policy/commands', import.meta.url)), `qemu-${version}.txt`);
writeFileSync(file, `# Commands of QEMU ${vm.version}, by test/support/qemu/record-commands.ts\n${lines.join('\n')}\n`);
console.log(`${file}: ${lines.length} lines`);
for (const end of ends) await end();
