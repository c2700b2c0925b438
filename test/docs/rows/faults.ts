/** Which tests hold each row of docs/reference/faults.md. A name with `${…}` is that of several. */
export const FAULT_TESTS: Readonly<Record<string, readonly string[]>> = {
  'QEMU is not there yet': [
    'may be started before QEMU, and outlives it: no socket while it is away, and EOF for its clients',
    'keeps who connects waiting while QEMU is away, and serves them when it is there',
  ],
  'QEMU is killed, or ends': ['tells of commands that were under way when QEMU went away'],
  'the same with `--keep-clients`': [
    'that is killed and started again under its path, with --keep-clients, is one error and two events to its clients',
  ],
  "QEMU's host is gone without a word (TCP)": [
    'with QEMU, ${what}, is noticed: its clients end, and it is dialled again',
  ],
  "a client's host is gone without a word (TCP)": [
    'with clients is noticed: they are let go of, whether they were sent something or not',
  ],
  'QEMU comes back with another version': ['that comes back with another version greets new clients with it'],
  'QEMU comes back without `oob`': ['have no out-of-band commands any more when the QEMU that comes back takes none'],
  'QEMU is stopped (SIGSTOP), or hangs': [
    'that is stopped is reported with the command that waits; what was sent is answered when it goes on',
  ],
  'the same with `command-timeout=`': [
    'that is stopped costs a client with a command-timeout an error, and its late answer reaches no one but the audit',
  ],
  'QEMU is stopped or hangs, and says nothing for `--probe-after`': [
    'because it is stopped is silent, is asked once, and answers when it goes on',
  ],
  "QEMU's main loop is busy, and answers nothing for `--probe-after`": [
    'because it runs a long command is busy, and answers when that is done',
    'because its main loop is busy elsewhere is busy too',
  ],
  "QEMU's monitor is deleted (`object-del`, 11.1)": [
    'because its monitor was deleted is given up when a client waits, and served again when there is a new one',
  ],
  "QEMU's monitor is made again on a live connection (11.1)": [
    'that is a greeting ends the connection: QEMU has made its monitor again, and knows of no command',
  ],
  'a command takes long': [
    'does not keep out-of-band commands of others from passing, nor from being reported themselves',
  ],
  "QEMU's socket is replaced by that of another QEMU": [
    'whose socket is replaced by that of another one is kept until it goes; then the other one is found',
  ],
  "QEMU's socket may not be opened": ['whose socket may not be opened is told with what to do, and used when it may'],
  "another client holds QEMU's monitor": ['is waited for while another client holds it, and used when that one leaves'],
  'the upstream is no QMP server': ['that is no QMP server is told as such, and used when it is one'],
  'QEMU owes an earlier client an answer or an event': [
    'is reached past messages for an earlier client, pretty or not, in pieces of any size',
  ],
  'what stands between passes on whole lines only, or echoes them': [
    '${what} is served, and the log says that commands are ended by line feeds',
  ],
  'QEMU greets and then hangs': ['is not waited for in vain when QEMU greets and hangs'],
  'garbage instead of JSON': [
    'that sends garbage in the middle has it logged, delivered to no one, and is left when nothing else comes',
  ],
  'an answer that nobody asked for, an id twice': [
    'that answers what nobody asked, or twice, has it logged and delivered to no one',
  ],
  'a message without an end': ['that sends a message without an end is left at the limit'],
  'any bytes at all from QEMU': ['no bytes from the upstream bring the multiplexer down or reach the wrong client'],
  'a client reads nothing': [
    'that reads nothing is disconnected after the grace period, with a line in the log; others notice nothing',
    'past the cap gets it disconnected at once',
  ],
  'a client reads slowly': ['that reads slowly, but reads, gets all of a long reply'],
  'the daemon is stopped (SIGSTOP), or its host sleeps': [
    'loses nothing when the daemon is stopped for longer than all limits, and goes on',
  ],
  'a client floods': [
    'has no more than two commands upstream while others are there, so one of theirs waits for two at most',
    '${each.limit} is told in the log, in the audit log and in the metrics',
  ],
  'a client does not negotiate': ['that does not negotiate is disconnected in time'],
  'a web page, or another HTTP client, comes to a TCP listener': [
    'is answered with 400 and closed, with a line in the log and the audit, and nothing of it is run',
  ],
  'too many clients, or too fast': ['that is one too many is told so before it is closed'],
  'someone who may not connect': [
    'with allow-uid= or allow-gid= lets in whom it names, and no one else gets as far as the greeting',
  ],
  'someone agrees on no TLS': [
    'whose certificates are not signed is told of in the log',
    'that never agrees on TLS takes no descriptors from those who are somewhere else, and those who do agree get in',
  ],
  'no descriptors left': ['tells those that it has none for, and serves the rest'],
  'the limit of open files is lowered under way': [
    'is served on while there are no descriptors for others, and they are served when there are some again',
  ],
  'all clients together hold too much': [
    'past its limit costs the client that holds the most its connection, and its waiting commands',
    '${each.limit} is told in the log, in the audit log and in the metrics',
  ],
  'a client sends descriptors and leaves, or nobody wants them': ['with its connection, ${name}'],
  'a client sends a descriptor, and too many files are open': [
    'holds no more descriptors than there is room for, and says so',
  ],
  "a client's descriptor cannot be sent on": [
    'names the error of the system when a descriptor cannot go with its command, which goes without',
  ],
  'a client sends a descriptor where none are taken': [
    'with fds=off says so to a command that takes a descriptor, and serves all others',
  ],
  "qmpmux cannot be started for a VM of libvirt's": ['is told when a VM cannot be started with qmpmux, and why'],
  'QEMU ends before its qmpmux has begun (libvirt in front)': ['leaves no qmpmux behind, if it takes ${delay} s'],
  'clients connect and vanish': ['leaks none of them to clients that connect and vanish'],
  'SIGTERM, SIGINT': [
    'lets no one in any more, answers what it has read, and ends then',
    'waits no longer than --drain-timeout for a monitor that does not answer',
  ],
  'SIGTERM while a changed config is gone over to': ['ends all the same, and begins nothing any more'],
  'standard error is full, stopped, unread or gone': [
    'on a full disk',
    'in a file that can grow no more goes on when there is room, and says how many lines are missing',
    'in a pipe that is full, where it goes on when somebody reads it',
    'in a socket that nobody reads',
    'on a terminal that stands still, and is closed then',
  ],
  'a second signal': ['ends at once on a second signal'],
  'a fault of qmpmux itself while it ends': [
    'while it ends is told and ends it with 70, when other monitors and the audit log have come to their end',
  ],
  "a fault of qmpmux itself in one monitor's code": [
    'is its own: one of ${what} ends its connections, is logged with a request to report it, and begins it again',
    'that comes again and again has it begun again more and more slowly',
  ],
  'qmpmux crashes': ['replace a stale socket, also one that qmpmux itself has left'],
  'the file of a socket is removed': ['are made anew when somebody has removed their files, and who is in stays in'],
  'a live socket is in the way': ['are refused at the start where another program listens'],
  'an upgrade, with sockets that were handed over (`fd:`)': [
    'can be replaced by another one without a connection being refused, or lost before it is greeted',
  ],
  'a crash in the middle of `--takeover`': ['goes on, and comes to its end, after it was killed before ${before}'],
  "QEMU's socket has a path so long that it could not be dialled aside": [
    'is not moved, and the refusal says by how much',
  ],
  "somebody changes what a socket's path names while it is made": [
    'gives its mode and owner to no other file (${bait})',
  ],
  'one file of a folder of configs cannot be used': [
    'is served without it, which the log, the status and the metrics say, until it is mended',
  ],
  'a socket of one monitor of a folder cannot be made': [
    'is served though one of its sockets cannot be made, and that one when it can',
  ],
  'the audit log cannot be written, for a full disk or another reason': [
    'refuses commands while its disk is full, with their ids and in order; everything else goes on',
  ],
  'the audit log has a second name, or another owner, or is where anyone may write': [
    'is checked again when it is reopened: it goes on in the old file where the new one is refused',
  ],
  'two stand where `--takeover` is to stand': [
    'is refused where another one stands already, and so is --restore while it does',
  ],
  'QEMU goes away behind --keep-clients while qmpmux events waits': [
    'are not waited for with --since either, unless it is back',
  ],
  'many hold connections to the metrics and say nothing': [
    'are there though a thousand have connected and say nothing, or not all',
  ],
  'standard output of a subcommand cannot be written': ['a disk that fills up under way costs no byte in silence'],
};
