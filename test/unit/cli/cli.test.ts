import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '#cli/run-command.ts'
import { ControlStage } from '#test/support/control-stage.ts'

describe('the command line', () => {
  let stage: ControlStage
  const data = mkdtempSync(join(tmpdir(), 'hookpulse-cli-'))
  beforeAll(async () => {
    stage = await ControlStage.start()
    writeFileSync(join(data, 'admin.key'), `${stage.adminKey}\n`)
  })
  afterAll(async () => {
    rmSync(data, { recursive: true })
    await stage.stop()
  })

  const run = async (...argv: string[]): Promise<{ code: number; out: string; err: string }> => {
    let out = ''
    let err = ''
    const around = {
      env: { HOOKPULSE_URL: stage.url, HOOKPULSE_DATA: data },
      out: (text: string) => {
        out += text
      },
      err: (text: string) => {
        err += text
      },
    }
    return { code: await runCommand(argv, '1.2.3', around), out, err }
  }

  it('schedules, lists, shows and cancels, with the key that lies beside the data', async () => {
    const url = 'http://10.1.2.3:8080/a'
    const { code, out } = await run(
      'schedule',
      url,
      '--body',
      '{"a":1}',
      '--in',
      '1h',
      '--name',
      'first',
      '--tag',
      'cli',
    )
    expect(code).toBe(0)
    const id = out.split(' ')[0] ?? ''
    expect(id).toMatch(/^msg_/)
    expect((await run('list', '--tag', 'cli')).out).toMatch(new RegExp(`${id} +scheduled`))
    expect((await run('show', id)).out).toMatch(/name +first[\s\S]*no attempt yet/)
    expect((await run('explain', id)).out).toMatch(/is scheduled\nexpected to start at/)
    expect((await run('cancel', id)).out).toBe('cancelled\n')
    expect((await run('list', '--state', 'delivered', '--tag', 'cli')).out).toBe('none\n')
  })

  it('sets and shows limits', async () => {
    const set = await run('limits', 'domain', 'acme.com', '--concurrency', '3', '--rate', '10', '--burst', '2')
    expect(set.out).toMatch(/acme\.com +all +3 +10 +2/)
    expect((await run('limits', 'brand', '--concurrency', '5')).out).toMatch(/all +default +5/)
    expect((await run('limits')).out).toMatch(/acme\.com[\s\S]*default/)
    expect((await run('limits', 'domain', 'acme.com', '--rate', 'none')).out).toMatch(/acme\.com +all +3 +-/)
  })

  it('draws the supervision tree', async () => {
    const { out } = await run('tree')
    expect(out).toMatch(/^root/m)
    expect(out).toMatch(/├─ store-keeper/)
  })

  it('shows guards', async () => {
    expect((await run('guards', 'nobody.example')).out).toMatch(/nobody\.example +idle +0 of 10/)
    expect((await run('guards')).code).toBe(0)
  })

  it('pauses and resumes', async () => {
    expect((await run('pause', 'still.example.com', '--reason', 'release')).out).toBe('still.example.com is paused\n')
    expect((await run('resume', 'still.example.com')).out).toBe('still.example.com is resumed\n')
    expect((await run('pause', '--brand', 'acme')).out).toBe('acme is paused\n')
    expect((await run('resume', '--brand', 'acme')).out).toBe('acme is resumed\n')
    expect((await run('pause')).code).toBe(2)
  })

  it('makes, lists and revokes keys', async () => {
    const made = await run('keys', 'create', '--brand', 'shop')
    expect(made.out).toMatch(/^hp_brand_/)
    const id = /^ *(key_\w+) +brand +shop/m.exec((await run('keys', '--brand', 'shop')).out)?.[1] ?? ''
    expect((await run('keys', 'revoke', id)).out).toBe(`${id} is revoked\n`)
    expect((await run('list', '--key', made.out.trim())).code).toBe(1)
    expect((await run('brands')).out).toMatch(/shop/)
  })

  it('prints JSON for programs', async () => {
    expect(JSON.parse((await run('limits', '--json')).out)).toHaveProperty('limits')
    expect(JSON.parse((await run('--json', 'tree')).out)).toHaveProperty('tree.name', 'root')
  })

  it.each([
    [['fly'], 2, /unknown command 'fly'/],
    [['schedule'], 2, /missing required argument 'url'/],
    [['schedule', 'http://a.com', '--in', 'soon'], 2, /--in must be a duration like 500ms.*"soon"/],
    [['schedule', 'http://a.com', '--body', '{'], 2, /--body must be JSON.*--body-text/],
    [['schedule', 'http://a.com', '--header', 'x'], 2, /"name: value"/],
    [['limits', 'domain', 'a.com'], 2, /--concurrency or --rate/],
    [['limits', 'domain', 'a.com', '--rate', 'fast'], 2, /none to remove/],
    [['list', '--key', 'hp_admin_wrong', '--limit', '1'], 1, /UNAUTHENTICATED/],
    [['list', '--url', 'here'], 2, /--url must be like/],
    [['list', '--url', 'http://127.0.0.1:1'], 1, /DISCONNECTED/],
    [['show', 'msg_none'], 1, /NOT_FOUND \[id\]/],
    [['schedule', 'ftp://a.com'], 1, /INVALID_PARAMS \[url\]: url has the scheme/],
    [['list', '--data', '/nowhere'], 2, /no key: give --key/],
  ])('answers %j with the exit code %i and a sentence', async (argv, code, says) => {
    const { code: got, err } = await run(...argv)
    expect(err).toMatch(says)
    expect(got).toBe(code)
  })

  it('helps, and tells its version', async () => {
    const help = await run('--help')
    expect([help.code, help.out]).toEqual([0, expect.stringContaining('schedule')])
    expect(await run('--version')).toMatchObject({ code: 0, out: '1.2.3\n' })
  })
})
