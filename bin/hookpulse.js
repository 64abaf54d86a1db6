#!/usr/bin/env node
// The command of the installed package. Plain JavaScript that an old Node can read, so that it can say what is missing.
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  process.stderr.write(`hookpulse needs Node 24 or newer; this is Node ${process.versions.node}.\n`)
  process.stderr.write('Install a newer Node, or run it once with: npx -p node@24 -p hookpulse hookpulse\n')
  process.exit(1)
}
await import('../dist/src/main.js')
