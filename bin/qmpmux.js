#!/usr/bin/env node
// What an older Node cannot read is loaded behind this; what is written here, any can.
var version = process.versions.node.split('.').map(Number);
var isTaken = version[0] >= 24 || (version[0] === 22 && version[1] >= 12) || (version[0] === 20 && version[1] >= 19);
if (isTaken) import('../dist/cli/main.js');
else {
  process.stderr.write(
    'qmpmux: needs Node.js 20.19, 22.12, or 24 and later; this is ' +
      process.versions.node +
      ' (' +
      process.execPath +
      ')\n',
  );
  process.exitCode = 69;
}
