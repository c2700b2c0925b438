/**
 * A folder of config files, as one config. A file that cannot be used is left out: it takes no other VM's monitor away.
 */

import { opendirSync } from 'node:fs';
import { join } from 'node:path';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import { type DaemonConfig } from './config.js';
import { ConfigError, type FileFault } from './config-error.js';
import {
  combine,
  monitorFault,
  type Owners,
  own,
  type Part,
  parsePart,
  placesOf,
  readText,
  refuseUnusable,
} from './config-file.js';
import { refuseUnknownPolicies } from './policy-names.js';

/** The most files that a folder may have. */
const MOST_FILES = 10_000;
/** A table of that name, or a key, in a text that may be no TOML. */
const MENTIONS_AUDIT = /^[ \t]*\[?[ \t]*["']?audit["']?[ \t]*[\].=]/m;

/**
 * Reads a folder of config files, `*.toml` in the order of their names, as one config: monitors and policies from all of them, each of the
 * other tables from one. It may be empty: monitors can be added later. A file that cannot be used is left out, and named in `folder.faults`;
 * unless it has the audit log: nothing is served unrecorded that was to be recorded.
 * @throws ConfigError when the folder cannot be read, or nothing in it can be used
 */
export function readConfigFolder(folder: string): DaemonConfig {
  const faults: FileFault[] = [];
  let parts: Part[] = [];
  /** Of a file that cannot be used, and has, or may have had, an audit log. */
  let unrecorded: unknown = null;
  for (const file of filesOf(folder)) {
    let content = '';
    try {
      content = readText(file, true);
      const part = parsePart(content, file);
      refuseUnusable(part);
      parts.push(part);
    } catch (error) {
      faults.push(faultOf(file, error));
      if (MENTIONS_AUDIT.test(content)) unrecorded ??= error;
    }
  }
  const chosen = choose(parts);
  ({ parts } = chosen);
  faults.push(...chosen.faults);
  faults.sort((a, b) => (a.file < b.file ? -1 : 1));
  if (parts.every(({ audit }) => audit === null)) {
    if (unrecorded !== null) throw unrecorded;
    const recorded = chosen.faults.find(({ file }) => chosen.audits.has(file));
    if (recorded !== undefined) throw new ConfigError(recorded.problem);
  }
  const [first] = faults;
  if (first !== undefined && parts.every(({ monitors }) => monitors.length === 0)) throw new ConfigError(first.problem);
  return { ...combine(parts), folder: { faults } };
}

/** @returns the files of a folder, in the order of their names. @throws ConfigError */
function filesOf(folder: string): readonly string[] {
  const names: string[] = [];
  try {
    const entries = opendirSync(folder);
    try {
      for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
        const { name } = entry;
        if (!name.endsWith('.toml') || name.startsWith('.')) continue;
        if (names.push(name) > MOST_FILES) throw new Error(`it holds more than ${MOST_FILES} files`);
      }
    } finally {
      entries.closeSync();
    }
  } catch (error) {
    const problem = errorCode(error) === 'ENOENT' ? 'there is no such folder' : describeSystemError(error);
    throw new ConfigError(`${folder}: ${problem}`, { cause: error });
  }
  return names.sort().map((name) => join(folder, name));
}

/** @throws errors that are not the file's fault */
function faultOf(file: string, error: unknown): FileFault {
  if (!(error instanceof ConfigError)) throw error;
  return { file, problem: error.message };
}

/**
 * Leaves out the files that do not go with those before them, and those whose policies are in no file that is left.
 * @returns the others; and which of all have an audit log
 */
function choose(all: readonly Part[]): {
  readonly parts: Part[];
  readonly faults: readonly FileFault[];
  readonly audits: ReadonlySet<string>;
} {
  const faults: FileFault[] = [];
  const audits = new Set(all.filter(({ audit }) => audit !== null).map(({ file }) => file));
  const without = (parts: readonly Part[], use: (part: Part) => void): Part[] =>
    parts.filter((part) => {
      try {
        use(part);
        return true;
      } catch (error) {
        faults.push(faultOf(part.file, error));
        return false;
      }
    });
  const owners: Owners = new Map();
  let parts = without(all, (part) => {
    own(owners, part);
  });
  const places = placesOf(parts);
  parts = without(parts, (part) => {
    places.take(part.monitors, monitorFault(part));
  });
  for (let before = -1; before !== parts.length; ) {
    before = parts.length;
    const policies = new Map(parts.flatMap((part) => [...part.policies]));
    parts = without(parts, (part) => {
      refuseUnknownPolicies(part.monitors, policies, monitorFault(part));
    });
  }
  return { parts, faults, audits };
}
