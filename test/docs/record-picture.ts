/** Makes the picture of the README: `npm run picture`, with the QEMU that QMPMUX_QEMU names. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { record, svgOf } from './picture.js';

const file = fileURLToPath(new URL('../../docs/images/session.svg', import.meta.url));
const ends: (() => unknown)[] = [];
try {
  const picture = svgOf(await record({ after: (end) => ends.push(end) }));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, picture);
  console.log(`${file}: ${picture.length} bytes`);
} finally {
  for (const end of ends.toReversed()) await end();
}
