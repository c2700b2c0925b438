// Ends a Node that is too old, with a line that says so. In the language of old ones, for they have to read it.
var version = process.versions.node.split('.').map(Number);
var isTaken = version[0] >= 24 || (version[0] === 22 && version[1] >= 12) || (version[0] === 20 && version[1] >= 19);
if (!isTaken) {
  process.stderr.write(
    'qmpmux: needs Node.js 20.19, 22.12, or 24 and later; this is ' +
      process.versions.node +
      ' (' +
      process.execPath +
      ')\n',
  );
  process.exit(69);
}
