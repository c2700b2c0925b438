/** Which lines hold a secret, and so stay out of the history: those of which the audit log would not keep something either. */

import { HMP_COMMAND } from '../mux/policy/policy-rule.js';

/**
 * @param sent the command that the line became
 * @param line checked in its place where it became none: a password after a misspelt command is still a password
 */
export async function isSecret(
  sent: { readonly name: string; readonly json: string } | null,
  line: string,
): Promise<boolean> {
  const { Redactor } = await import('../audit/redact/redaction.js');
  const redactor = new Redactor();
  if (sent === null) {
    // Perhaps it was meant for the text monitor.
    const json = JSON.stringify({ execute: HMP_COMMAND, arguments: { 'command-line': line.replace(/^\.hmp\s/, '') } });
    const asHmp = redactor.command(HMP_COMMAND, Buffer.from(json));
    return (asHmp?.message ?? redactor.malformed(Buffer.from(line))) !== null;
  }
  return (redactor.command(sent.name, Buffer.from(sent.json))?.message ?? null) !== null;
}
