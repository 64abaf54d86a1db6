// `npm run build`: dist/ is what the package ships, since Node strips no types below node_modules.
import { spawnSync } from 'node:child_process'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
rmSync(`${root}dist`, { recursive: true, force: true })

const tsc = spawnSync('tsc', ['-p', `${root}tsconfig.build.json`], { stdio: 'inherit', cwd: root })
if (tsc.status !== 0) process.exit(tsc.status ?? 1)

// What is not TypeScript (SQL, JSON, pages) goes along as it is.
cpSync(`${root}src`, `${root}dist/src`, { recursive: true, filter: (file) => !/\.ts$/.test(file) })

// The emitted files still import `#room/file.ts`; here those keys mean the emitted ones. The version is read by `#package`.
const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
const imports = {
  '#actors/*.ts': './actors/*.js',
  '#supervisors/*.ts': './supervisors/*.js',
  '#*.ts': './src/*.js',
  '#package': './package.json',
}
writeFileSync(`${root}dist/package.json`, `${JSON.stringify({ type: 'module', version, imports }, null, 2)}\n`)
