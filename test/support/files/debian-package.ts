/** Builds the Debian package as `npm run deb` does. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Scope, scratch } from './scratch.js';

const builder = fileURLToPath(new URL('../../../packaging/deb.mjs', import.meta.url));

/**
 * @param version another one than the present
 * @param environment variables to override
 * @returns the path of the package, which goes away with `scope`
 */
export function buildDebianPackage(
  scope: Scope,
  version?: string,
  environment: Readonly<Record<string, string>> = {},
): string {
  const folder = scratch(scope);
  const env = { ...process.env, ...environment, ...(version === undefined ? {} : { QMPMUX_DEB_VERSION: version }) };
  execFileSync(process.execPath, [builder, folder], { stdio: 'pipe', env });
  return join(folder, readdirSync(folder).find((name) => name.endsWith('.deb')) ?? '');
}
