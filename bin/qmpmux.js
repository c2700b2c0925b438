#!/usr/bin/env node
// What an older Node cannot read is loaded behind this; what is written here, any can.
import './node-version.cjs';

// Not awaited: an older Node would not read that, and not get to the line above. A failure ends the process either way.
void import('../dist/cli/main.js');
