/** Reading a whole log, as tests do. */
import { type LogLine, lineBatches } from '../../../dist/audit/log/log-lines.js';
import type { Filter } from '../../../dist/audit/read/filter.js';

/** Lets every record through. */
export const EVERYTHING: Filter = {
  client: null,
  uid: null,
  monitor: null,
  command: null,
  match: null,
  kinds: null,
  since: null,
  until: null,
  slow: null,
  errors: false,
};

/** Reads all lines of a file. @param visit called for each line, in order. @throws AuditReadError */
export async function eachLine(
  file: string,
  visit: (line: LogLine) => void,
  options?: Parameters<typeof lineBatches>[1],
): Promise<void> {
  for await (const lines of lineBatches(file, options)) for (const line of lines) visit(line);
}
