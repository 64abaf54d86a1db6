#!/usr/bin/env node
// The command of the installed package. Plain JavaScript that an old Node can read, so that it can say what is missing.
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  process.stderr.write(`hookpulse needs Node 24 or newer; this is Node ${process.versions.node}.\n`)
  process.stderr.write('Install a newer Node, or run it once with: npx -p node@24 -p hookpulse hookpulse\n')
  process.exit(1)
}
// The daemon's flags of Node, as `npm start` has them; V8 reads them once, before any program. Whoever gives their own keeps them.
const FLAGS = ['--max-semi-space-size=16', '--v8-pool-size=1']
const missing = FLAGS.filter((flag) => !process.execArgv.some((given) => given.startsWith(flag.split('=')[0])))
if (process.argv[2] === 'serve' && missing.length > 0 && process.execve !== undefined)
  process.execve(process.execPath, [process.execPath, ...process.execArgv, ...missing, ...process.argv.slice(1)])
await import('../dist/src/main.js')
