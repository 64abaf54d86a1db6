import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '#cli/run-command.ts'
import type { Surroundings } from '#cli/session.ts'
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

  const run = (...argv: string[]) => runIn({}, ...argv)
  const runIn = async (
    more: Partial<Surroundings>,
    ...argv: string[]
  ): Promise<{ code: number; out: string; err: string }> => {
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
      ...more,
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

  it('RECV-07: what a receiver answered moves no cursor, as text or as JSON, and JSON still holds every character of it', async () => {
    // Escape sequences in seven and in eight bits, a bell, a delete, and what turns the direction of writing.
    const excerpt = 'a\u001b[2J\u009b2Jb\r\n\u0007\u007f\u202egnp.exe\u0000'
    stage.network.script = () => ({ excerpt })
    const scheduled = await run('schedule', 'http://10.1.2.3:8080/evil')
    const id = scheduled.out.split(' ')[0] ?? ''
    await expect.poll(async () => (await run('show', id)).out).toMatch(/delivered/)
    stage.network.script = () => ({})
    const text = stripVTControlCharacters((await run('show', id)).out)
    expect(text).toContain('a\\u001b[2J\\u009b2Jb\\u000d\\u000a\\u0007\\u007f\\u202egnp.exe\\u0000')
    const json = (await run('show', id, '--json')).out
    for (const out of [text, json]) expect(out.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    expect(JSON.parse(json)).toMatchObject({ attempts: [{ excerpt }] })
  })

  it('gives another instant, cancels all that flags pick, and replays what is over', async () => {
    const url = 'http://10.1.2.3:8080/again'
    const ids: string[] = []
    for (let n = 0; n < 3; n++)
      ids.push((await run('schedule', url, '--in', '1h', '--tag', 'again')).out.split(' ')[0] ?? '')
    const [first = ''] = ids
    expect((await run('reschedule', first, '--at', '2031-01-31T09:00:00Z')).out).toBe(
      `${first}  scheduled, due 2031-01-31T09:00:00.000Z\n`,
    )
    expect((await run('reschedule', first)).err).toMatch(/--at or --in/)
    expect((await run('cancel')).err).toMatch(/id of a webhook, or flags/)
    expect((await run('cancel', first, '--tag', 'again')).code).toBe(2)
    expect((await run('cancel', '--tag', 'again')).out).toBe('3 cancelled\n')
    expect((await run('run-now', first)).err).toMatch(/is over; replayWebhook/)
    expect((await run('replay', '--tag', 'again')).out).toBe('0 replayed\n')
    expect((await run('replay', first, '--new-id')).out).toMatch(/^msg_\w+ {2}(waiting|executing|delivered)/)
    expect((await run('replay', '--tag', 'again', '--state', 'cancelled', '--json')).out).toMatch(/"done": 3/)
  })

  it('sets and shows limits', async () => {
    const set = await run('limits', 'domain', 'acme.com', '--concurrency', '3', '--rate', '10', '--burst', '2')
    expect(set.out).toMatch(/acme\.com +all +3 +10 +2/)
    expect((await run('limits', 'brand', '--concurrency', '5')).out).toMatch(/all +default +5/)
    expect((await run('limits')).out).toMatch(/acme\.com[\s\S]*default/)
    expect((await run('limits', 'domain', 'acme.com', '--rate', 'none')).out).toMatch(/acme\.com +all +3 +-/)
  })

  it('sets no limit where another one was typed wrong', async () => {
    const of = ['limits', 'domain', 'half.com', '--concurrency', '3']
    expect(await run(...of, '--rate', 'abc')).toMatchObject({ code: 2, err: expect.stringMatching(/--rate must be/) })
    expect(await run(...of, '--burst', '4')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--burst needs --rate/),
    })
    expect((await run('limits', '--domain', 'half.com')).out).toMatch(/^none/)
  })

  it('sets weights, bounds of backlogs, and what a guard makes of failures', async () => {
    expect((await run('limits', 'weight', '3', 'heavy')).out).toMatch(/all +heavy +- +- +- +3 +-/)
    expect((await run('limits', 'weight', '2', 'heavy', '--domain', 'x.com')).out).toMatch(/x\.com +heavy .* 2 /)
    expect((await run('limits', 'backlog', '100', 'heavy')).out).toMatch(/all +heavy .* 3 +100 /)
    expect((await run('limits', 'backlog', 'none', 'heavy')).out).toMatch(/all +heavy .* 3 +- /)
    const adaptive = ['limits', 'domain', 'a.com', '--concurrency', '9', '--adaptive']
    expect((await run(...adaptive)).out).toMatch(/a\.com +all +9 .* yes /)
    expect((await run('limits', 'domain', 'a.com', '--concurrency', '9', '--no-adaptive')).out).toMatch(
      /a\.com +all +9 /,
    )
    const breaker = ['limits', 'breaker', 'a.com', '--no-enabled', '--open', '5s', '--closure', 'domain']
    expect((await run(...breaker)).out).toMatch(/a\.com +off +5000 ms +domain +0\.1/)
    expect((await run('limits', 'breaker', 'a.com', '--enabled')).out).toMatch(/a\.com +on +5000 ms/)
    expect((await run('limits', 'breaker', 'a.com', '--closure', 'all')).code).toBe(2)
    expect((await run('limits', 'domain', 'a.com', '--rate', '1', '--adaptive')).code).toBe(2)
  })

  it('puts hosts into a group, shows it, and dissolves it', async () => {
    await run('limits', 'domain', 'b.example.net', '--concurrency', '2')
    const set = await run('limits', 'group', 'payments', '*.example.net', 'pay.example.com')
    expect(set.err).toBe('')
    expect(set.out).toMatch(/group:payments +\*\.example\.net pay\.example\.com +1 /)
    expect(set.out).toMatch(/\nlimits of b\.example\.net do not count while it is in the group\n$/)
    expect((await run('limits', 'domain', 'group:payments', '--concurrency', '4')).out).toMatch(
      /group:payments +all +4 /,
    )
    expect((await run('limits')).out).toMatch(/group:payments +\*\.example\.net pay\.example\.com/)
    expect(await run('limits', 'domain', 'a.example.net', '--rate', '1')).toMatchObject({
      code: 1,
      err: expect.stringContaining('group:payments'),
    })
    expect(await run('limits', 'group', 'other', 'pay.example.com')).toMatchObject({
      code: 1,
      err: expect.stringContaining('group:payments'),
    })
    expect((await run('limits', 'group', 'payments', '--dissolve')).out).toMatch(/group:payments +none +2 /)
    expect((await run('limits', '--json')).out).not.toContain('example.com"')
    expect((await run('limits', 'domain', 'a.example.net', '--rate', '1')).code).toBe(0)
  })

  it('forecasts a domain', async () => {
    expect((await run('forecast', 'quiet.example.com')).out).toMatch(/^nothing is due\nassuming any starts/)
    await run('limits', 'domain', '10.5.5.5:8080', '--rate', '0.5')
    for (let i = 0; i < 3; i++) await run('schedule', 'http://10.5.5.5:8080/', '--in', '10s')
    const { out } = await run('forecast', '10.5.5.5:8080', '--bucket', '1m')
    expect(out).toMatch(/from +due +admitted +left waiting\n\S+Z +3 +3 /)
    expect(out).toMatch(/the last one starts at \S+Z\nassuming 0\.5 starts/)
    expect((await run('forecast', '10.5.5.5:8080', '--bucket', 'soon')).code).toBe(2)
  })

  it('says when a webhook should start', async () => {
    const { out } = await run('schedule', 'http://10.5.5.6:8080/', '--in', '1h', '--predict')
    expect(out).toMatch(/due (\S+) {2}expected to start at \1\n$/)
  })

  describe('top', () => {
    it('prints one view where there is no terminal, or where one is enough', async () => {
      await run('pause', '10.5.5.7:8080')
      await run('schedule', 'http://10.5.5.7:8080/')
      await expect.poll(async () => (await run('top')).out).toMatch(/10\.5\.5\.7:8080 +paused +░+ 0 of 10 .* 1 /)
      expect((await run('top', '--once', '--domain', '10.5.5.7:8080')).out).toMatch(/10\.5\.5\.7:8080 +paused/)
      expect(JSON.parse((await run('top', '--json')).out)).toMatchObject({ totals: { waiting: 1 } })
    })
    it('draws itself over and over until it is told to end, and gives the page back', async () => {
      let drawn = ''
      let quit: (() => void) | null = null
      const terminal = {
        rows: () => 20,
        columns: () => 80,
        write: (text: string) => {
          drawn += text
          if (drawn.split('HookPulse').length > 2) quit?.()
        },
      }
      const onQuit = (end: () => void) => {
        quit = end
        return () => {
          quit = null
        }
      }
      expect((await runIn({ terminal, onQuit }, 'top')).code).toBe(0)
      expect(drawn.startsWith('\u001b[?1049h')).toBe(true)
      expect(drawn).toMatch(/10\.5\.5\.7:8080 +paused/)
      expect(drawn.endsWith('\u001b[?1049l')).toBe(true)
      expect(quit).toBeNull()
      await run('resume', '10.5.5.7:8080')
    })
  })

  it('tails events, a line or an object each', async () => {
    const tailed = run('tail', 'webhooks', '--count', '1')
    const asJson = run('tail', '--json', '--count', '1', '--domain', '10.5.5.8:8080')
    await expect
      .poll(async () => {
        await run('schedule', 'http://10.5.5.8:8080/')
        return Promise.race([tailed, new Promise((resolve) => setTimeout(resolve, 50, null))])
      })
      .toBeTruthy()
    // Whichever is the next one: a webhook of the test before may just be ending.
    expect((await tailed).out).toMatch(
      /^\S+Z webhook\.finished id=msg_\S+ domain=10\.5\.5\.\d:8080 .*state=delivered\n$/,
    )
    expect(JSON.parse((await asJson).out)).toMatchObject({ topic: expect.any(String), seq: expect.any(Number) })
    expect((await run('tail', 'everything')).code).toBe(2)
  })

  it('draws the supervision tree', async () => {
    const { out } = await run('tree')
    expect(out).toMatch(/^root/m)
    expect(out).toMatch(/├─ store-keeper/)
  })

  it('fits lists, guards and limits into a terminal of 80 columns, and leaves nothing out where there is none', async () => {
    const url = 'http://a-long-name.of-a-backend.example.com:8443/hooks/orders/created'
    const { out: scheduled } = await run('schedule', url, '--in', '1h', '--tag', 'wide')
    await run('limits', 'domain', new URL(url).host, '--concurrency', '1000', '--rate', '2000', '--brand', 'somebody')
    const terminal = { rows: () => 24, columns: () => 80, write: () => undefined }
    for (const argv of [['list', '--tag', 'wide'], ['guards', new URL(url).host], ['limits'], ['keys']]) {
      const fitted = stripVTControlCharacters((await runIn({ terminal }, ...argv)).out)
      for (const line of fitted.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
    }
    expect((await runIn({ terminal }, 'list', '--tag', 'wide')).out).toContain(scheduled.split(' ')[0])
    expect((await run('list', '--tag', 'wide')).out).toContain(url)
  })

  it('says who has paused a domain, and why', async () => {
    const domain = '10.5.5.8:8080'
    await run('pause', domain, '--reason', 'moving house')
    const id = (await run('schedule', `http://${domain}/`)).out.split(' ')[0] ?? ''
    for (const argv of [
      ['guards', domain],
      ['explain', id],
    ])
      await expect.poll(async () => (await run(...argv)).out).toMatch(/paused by admin key_\S+: moving house, since 20/)
    await run('cancel', id)
    await run('resume', domain)
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
    [['limits', 'group', 'payments'], 2, /all of them, or --dissolve/],
    [['limits', 'group', 'payments', 'a.com', '--dissolve'], 2, /all of them, or --dissolve/],
    [['limits', 'domain', 'a.com', '--rate', 'fast'], 2, /none to remove/],
    [
      ['list', '--key', 'hp_admin_wrong', '--limit', '1'],
      1,
      /UNAUTHENTICATED: http\S+ does not take the key .*: give another/,
    ],
    [['list', '--url', 'here'], 2, /--url must be like/],
    [
      ['list', '--url', 'http://127.0.0.1:1'],
      1,
      /DISCONNECTED: no daemon answers at http:\/\/127.0.0.1:1 .*: start it/,
    ],
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
