#!/usr/bin/env node
// What an older Node cannot read is loaded behind this; what is written here, any can.
import './node-version.cjs';

import('../dist/cli/main.js');
