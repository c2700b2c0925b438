import { readFileSync } from 'node:fs';

/** @returns qmpmux's version, as in its package.json. */
export function packageVersion(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  // Our own package.json.
  const { version }: { version: string } = JSON.parse(file);
  return version;
}
