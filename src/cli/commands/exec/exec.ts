/**
 * `qmpmux exec`: commands to a QMP server, and its answers, byte for byte unless asked otherwise.
 * This room owns how words and lines become commands (syntax.ts, in the language of src/shell) and the stream of `exec -`: many commands, a
 * bounded number under way, answers in the order of the commands.
 */
import type { QmpClient } from '../../../client/qmp-client.js';
import { isJsonArray, isJsonObject } from '../../../qmp/json/value.js';
import { suggestion } from '../../../shared/spelling.js';
import { valueReader } from '../../../shell/language/value-file.js';
import { ADDRESS_NOTE, takeTarget } from '../../framework/address-operand.js';
import { Deadline } from '../../framework/deadline.js';
import { EXIT } from '../../framework/exit-code.js';
import { subcommand, UsageError } from '../../framework/subcommand.js';
import { parseFields } from '../../screen/fields.js';
import { describeError, type OutputForm, writeReply } from '../../screen/reply-output.js';
import { writeProblem } from '../../screen/screen-text.js';
import { ExecSyntax } from './syntax.js';

interface Flags {
  readonly pretty: boolean | undefined;
  readonly 'return-value': boolean | undefined;
  readonly fields: string | undefined;
  readonly hmp: boolean | undefined;
}

export const exec = subcommand({
  name: 'exec',
  usage: 'exec [OPTIONS] [ADDRESS] COMMAND…',
  operands: 'words',
  options: {
    pretty: { type: 'boolean', describe: 'pretty-print the reply, keeping numbers as QEMU wrote them' },
    'return-value': { type: 'boolean', describe: 'print only the value of "return"' },
    fields: {
      type: 'string',
      describe:
        'print only these members of "return", such as device,inserted.file: one line per list item, fields separated by tabs',
    },
    hmp: { type: 'boolean', describe: 'run COMMAND on the human monitor and print its text, like qmpmux hmp' },
    oob: { type: 'boolean', describe: 'execute out-of-band, ahead of commands that QEMU is busy with' },
    timeout: {
      type: 'string',
      describe: 'give up after this time, such as 5s; QEMU still finishes a command it has started (default: never)',
    },
  },
  examples: [
    ['$0 exec /run/vm.mux query-status', 'the state of the VM'],
    ['$0 exec /run/vm.mux query-status --fields status', 'only the status, in one word'],
    ['$0 exec /run/vm.mux \'{"execute":"query-block"}\' --pretty', 'JSON goes to QEMU unchanged'],
    [
      '$0 exec /run/vm.mux blockdev-add driver=null-co node-name=d size=1048576 cache.direct=true',
      "arguments in qmp-shell's syntax",
    ],
    ['$0 exec /run/vm.mux object-add qom-type=secret id=s0 data=@/run/key', 'a secret, from a file'],
    ["printf 'stop\\nquery-status\\ncont\\n' | $0 exec /run/vm.mux -", 'several commands'],
  ],
  notes: [
    'COMMAND is JSON; or a name and key=value words as in qmp-shell, with dotted keys, and {…} or […] for values; or - for lines or objects ' +
      'on standard input, which are sent without waiting for answers; the answers keep their order.',
    'A value @FILE is read from a file, @- from standard input, without the final line feed. This keeps secrets out of the arguments, which ' +
      'every user of the host can see. Write @@ for an @ at the beginning of a value.',
    ADDRESS_NOTE,
    'Exit codes: 0 returned, 1 QEMU answered with an error, or a field of --fields does not ' +
      'exist, 64 wrong command line, 69 no answer.',
  ].join('\n'),

  async run(flags, operands) {
    const { target, rest } = takeTarget(operands);
    const [first] = rest;
    if (first === undefined) throw new UsageError('the command is missing: JSON, or NAME KEY=VALUE…');
    const form = formOf(flags);
    const isStream = first === '-' && rest.length === 1;
    const syntax = new ExecSyntax(flags.hmp === true, flags.oob === true, valueReader(!isStream));
    // Report a mistake before connecting.
    const command = isStream ? null : syntax.complete(syntax.words(rest));
    const oob = flags.oob === true || command?.includes('"exec-oob"') === true;
    const deadline = new Deadline(flags.timeout);
    try {
      const client = await deadline.connect(target, { oob });
      try {
        if (command === null) {
          const { executeAll } = await import('./stream.js');
          return (await executeAll(client, syntax, form, deadline.waiting)) ? EXIT.ok : EXIT.failed;
        }
        const { error, missing } = writeReply(await client.executeRaw(command, deadline.waiting), form);
        if (missing.length > 0) {
          const { FieldCheck } = await import('../../screen/field-check.js');
          const isUnknown = await new FieldCheck(client, deadline.waiting).tell(command, missing);
          return isUnknown ? EXIT.failed : EXIT.ok;
        }
        if (error === null) return EXIT.ok;
        const near = error.class === 'CommandNotFound' ? await nearestCommand(client, first, deadline) : '';
        writeProblem(`${describeError(error)}${near}`);
        return EXIT.failed;
      } finally {
        client.destroy();
      }
    } catch (error) {
      throw deadline.explain(error, target);
    }
  },
});

function formOf(flags: Flags): OutputForm {
  const given = (['hmp', 'fields', 'return-value'] as const).filter((flag) => (flags[flag] ?? false) !== false);
  const [one, other] = given;
  if (one !== undefined && other !== undefined) throw new UsageError(`--${one} and --${other} cannot be combined`);
  const pretty = flags.pretty === true;
  if (pretty && (one === 'hmp' || one === 'fields')) throw new UsageError(`--pretty and --${one} cannot be combined`);
  if (flags.fields !== undefined) {
    const fields = parseFields(flags.fields);
    if (fields === null) throw new UsageError(`--fields: a name is missing in ${JSON.stringify(flags.fields)}`);
    return { what: fields, pretty };
  }
  return { what: one === 'hmp' ? 'text' : one === 'return-value' ? 'value' : 'reply', pretty };
}

/** @returns `; did you mean …?`, or nothing, for a name that QEMU does not know. */
async function nearestCommand(client: QmpClient, name: string, deadline: Deadline): Promise<string> {
  if (name.startsWith('{')) return '';
  const commands = await client.execute('query-commands', undefined, deadline.waiting).catch(() => null);
  if (commands === null || !isJsonArray(commands)) return '';
  const names = commands.map((command) => (isJsonObject(command) ? command['name'] : undefined));
  return suggestion(
    name,
    names.filter((known) => typeof known === 'string'),
  );
}
