/** Which tests hold the bounds of each row of docs/explanation/hostile-input.md. A name with `${…}` is that of several. */
export const HOSTILE_INPUT_TESTS: Readonly<Record<string, readonly string[]>> = {
  "a client's bytes, cut into messages": [
    'by ${what} costs no more than in proportion, in one chunk and in single bytes',
    'has its bytes copied a few times at most, whatever the chunks',
  ],
  "a message's grammar": ['is parsed in steps, and comes to the same as a small one'],
  'what a client sends, one message after the other': [
    'such as ${what}, lets others in after a small part of it',
    'shares its part of a turn with a thousand like it, so that one more waits for none of them',
  ],
  ids: ['of up to 64 KiB is taken, and of more is malformed, whatever it is made of'],
  'names of commands, and members that are none': [
    'has a name that is reported cut after 1024 bytes, and goes to QEMU with all of it',
  ],
  numbers: ['is rounded by all its digits, and scaled by all its exponent'],
  'arguments, for rules that look at them': [
    'that has too many arguments, or too long ones, is taken apart no further',
  ],
  'our own commands': ['are kept for a moment if the crowd is large, and new otherwise'],
  "QEMU's messages, cut and classified": ['by ${what} costs no more than in proportion'],
  "QEMU's greeting, and the answers to our handshake": [
    'that greets with more than 64 KiB is no QMP server, and answers to the handshake of more than 4 MiB are nobody’s',
  ],
  'what QEMU owes an earlier client, before its greeting': [
    'is given up after a thousand messages, or 64 MiB, without a greeting',
  ],
  "a greeting's version and capabilities": ['does no harm by a version that is nested deep, or no number'],
  'fd sets in arguments': ['is used, as far as is known, by a command with too many arguments to be looked at'],
  'the first bytes of a TCP client': [
    'is never mistaken for the input of a monitor’s client, of which nothing is lost',
  ],
  "telnet's own bytes": ['is the same however it is cut'],
  'requests for metrics': [
    'are put together once for all clients that ask at a time, and not for questions without end in one packet',
  ],
  "a command's standard error": ['fills no log, whatever it says'],
  "libvirtd's messages": ['a fault that the server reports is cut to the length of a log line'],
  'a pretty-printing QEMU': ['by pretty-printing costs no more than in proportion'],
  'all of these': ['eight times the text takes no reader far more than eight times the work'],
};
