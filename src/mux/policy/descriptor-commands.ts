/** Whether commands of this name, sent in-band, take the file descriptor that waits in QEMU's monitor (monitor/fds.c). */
export function takesDescriptor(name: string): boolean {
  return name === 'getfd' || name === 'add-fd';
}
