// Makes a fresh clone ready to run. Only this file has to be understood by an old Node, so it only checks the version.
var required = [20, 9];
var version = process.versions.node.split('.').map(Number);

if (version[0] < required[0] || (version[0] === required[0] && version[1] < required[1])) {
  console.error(
    'Node ' +
      process.versions.node +
      ' is too old: ' +
      required.join('.') +
      ' or later is needed. See https://nodejs.org/en/download',
  );
  process.exit(1);
}

import('./setup_steps.js')
  .then(function (steps) {
    return steps.setUp();
  })
  .catch(function (error) {
    console.error(error.message);
    process.exit(1);
  });
