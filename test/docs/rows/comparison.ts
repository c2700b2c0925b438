/** Which test holds what each row of docs/explanation/comparison.md says of qmpmux: its file, and its name. */
export const COMPARISON_TESTS: Readonly<Record<string, readonly [file: string, name: string]>> = {
  'while another client is connected': [
    'e2e/clients/hmp.test.ts',
    'several people at a time, and a QMP client, each with their own line',
  ],
  'without libvirt': [
    'cli/commands/exec.qemu.test.ts',
    'works over every kind of address, against qmpmux and against QEMU itself',
  ],
  'arguments as `key=value`': [
    'cli/commands/exec.qemu.test.ts',
    "reads qmp-shell's syntax: dotted keys, objects, quotes, numbers, booleans",
  ],
  'transactions line by line': [
    'e2e/cli/shell.test.ts',
    'has transactions as qmp-shell has, and sends none with a wrong action, which is told at once',
  ],
  'line editing, history between sessions': [
    'e2e/cli/shell.test.ts',
    'keeps the history from session to session, but not secrets and lines behind a blank',
  ],
  'search backwards through the history': ['e2e/cli/shell.test.ts', 'Ctrl-R searches backwards through the history'],
  completion: [
    'e2e/cli/shell.test.ts',
    'completes commands, arguments, the words of an enum, QOM paths, devices and nodes',
  ],
  'arguments checked before sending': [
    'e2e/cli/shell.test.ts',
    'does not send what the schema refuses, and offers the nearest name',
  ],
  'help for a command': ['e2e/cli/shell.test.ts', 'help tells the arguments of a command, from the schema'],
  'results laid out': [
    'e2e/cli/shell.test.ts',
    'lays results out in colours, with every digit; without under NO_COLOR',
  ],
  'a pager for long results': ['e2e/cli/shell.test.ts', 'shows a long result in the pager, and goes on behind it'],
  'events while a line is typed': [
    'e2e/cli/shell.test.ts',
    'shows events as they come, without breaking the line that is typed',
  ],
  'a paste of several lines': [
    'e2e/cli/shell.test.ts',
    'executes a paste of several lines one after the other, each answer behind its line',
  ],
  'a resize of the terminal': ['e2e/cli/shell.test.ts', 'keeps the line in order when the terminal is resized'],
  'the human monitor': [
    'e2e/cli/shell.test.ts',
    '-H speaks to the human monitor, with completion from its help and the VM',
  ],
  'what is on the wire': ['e2e/cli/shell.test.ts', '-v shows the wire'],
  'save a result': ['e2e/cli/shell.test.ts', 'saves the last result to a file'],
  'give up waiting': ['e2e/cli/shell.test.ts', 'Ctrl-C cancels a line, and the waiting for an answer'],
  'when QEMU is restarted': [
    'e2e/cli/shell.test.ts',
    'says when the server is gone with QEMU, and goes on with the next QEMU at the same place',
  ],
  'when the server is restarted': ['e2e/cli/shell.test.ts', 'connects again when qmpmux is restarted, and says so'],
  '`quit` typed to leave': ['e2e/cli/shell.test.ts', 'asks again before it ends the VM by quit'],
  'in a pipe, with exit codes': [
    'shell/shell.qemu.test.ts',
    'goes on after a mistake, reports its line, and ends with 1 where QEMU refused, 64 where a line was not sent',
  ],
  'the guest agent': ['shell/shell.qemu.test.ts', '-N speaks to a guest agent, which sends no greeting'],
  'one command for scripts': [
    'cli/commands/exec.qemu.test.ts',
    '--return-value prints the value of "return", --fields its members',
  ],
  'out-of-band': ['cli/commands/exec.qemu.test.ts', '--oob overtakes, where the command may'],
  'wait for an event': ['cli/commands/events.test.ts', 'waits for one, prints it, and ends with 0'],
  'what was missed while away': [
    'cli/commands/missed-events.test.ts',
    'prints missed events with their numbers, gaps marked, and the number to go on from',
  ],
  'a command without the handshake': [
    'e2e/clients/programs.test.ts',
    '-U -N where negotiate=auto: a command alone is answered, events are spared',
  ],
  'nc, socat and telnet on a human monitor': [
    'e2e/clients/hmp.test.ts',
    'socat -,echo=0,icanon=0 in a terminal: someone edits, completes and recalls',
  ],
  'who is connected, who blocks': [
    'e2e/cli/own-commands.test.ts',
    'shows whose command QEMU is busy with, and who waits',
  ],
};
