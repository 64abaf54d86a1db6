import { describe, expect, it } from 'vitest'
import { type AddressPolicy, PUBLIC_ONLY, parseAllowedTarget } from '#webhook/address.ts'
import { parseDomain, parseTarget } from '#webhook/url.ts'

const PRIVATE: AddressPolicy = { ...PUBLIC_ONLY, allowPrivate: true }
const codeOf = (url: unknown, policy = PUBLIC_ONLY) => {
  const parsed = parseTarget(url, policy)
  return parsed.ok ? 'ok' : parsed.refusal.code
}
const domainOf = (url: string, policy = PUBLIC_ONLY) => {
  const parsed = parseTarget(url, policy)
  return parsed.ok ? parsed.target.domain : parsed.refusal.message
}

describe('SSRF-05: spellings of a URL', () => {
  it.each([
    'http://0x7f.1/',
    'http://2130706433/',
    'http://0177.0.0.1/',
    'http://127.1/',
    'http://①②⑦.0.0.1/',
    'http://127。0。0。1/',
    'http://１２７.0.0.1/',
    'http://%31%32%37.0.0.1/',
    'http://127.0.0.1./',
    'http://0/',
    'http://localhost/',
    'http://localhost./',
    'http://LOCALHOST/',
    'http://a.localhost/',
    'http://[::ffff:7f00:1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::127.0.0.1]/',
    'http://[::1]/',
    'http://[64:ff9b::a9fe:a9fe]/',
    'http://[2002:7f00:1::]/',
    'http://169.254.169.254/latest/meta-data/',
    'http://metadata.google.internal/',
    'http://printer.local/',
    'http://db.svc/',
    'http://x.cluster.local./',
  ])('refuses %s as a blocked target', (url) => expect(codeOf(url)).toBe('blocked_target'))

  it.each([
    ['http://ok\\@127.0.0.1/', 'url_chars'],
    ['http://exa\tmple.com/', 'url_chars'],
    ['http://exa\nmple.com/', 'url_chars'],
    [' http://acme.com/', 'url_chars'],
    ['http://acme.com/a b', 'url_chars'],
    ['http://acme.com/\u0000', 'url_chars'],
    ['', 'url_chars'],
    [`http://acme.com/${'a'.repeat(2_050)}`, 'url_chars'],
    [42, 'url_chars'],
    [null, 'url_chars'],
    [{ toString: () => 'http://acme.com/' }, 'url_chars'],
    ['acme.com/hook', 'url_syntax'],
    ['/hook', 'url_syntax'],
    ['http://', 'url_syntax'],
    ['http://[fe80::1%25eth0]/', 'url_syntax'],
    ['http://a%00b/', 'url_syntax'],
    ['http://acme.com:99999/', 'url_syntax'],
    ['http://1.2.3.4.5/', 'url_syntax'],
    ['ftp://acme.com/', 'url_scheme'],
    ['file:///etc/passwd', 'url_scheme'],
    ['data:text/plain,x', 'url_scheme'],
    ['ws://acme.com/', 'url_scheme'],
    ['http://ok@127.0.0.1/', 'url_userinfo'],
    ['http://:secret@acme.com/', 'url_userinfo'],
    ['http://acme..com/', 'url_host'],
    ['http://acme.com../', 'url_host'],
    ['http://-acme.com/', 'url_host'],
    ['http://acme/', 'url_host'],
    [`http://${'a'.repeat(64)}.com/`, 'url_host'],
    [`http://${'abcdefgh.'.repeat(29)}com/`, 'url_host'],
    ['http://acme.com:0/', 'url_port'],
    ['http://acme.com:22/', 'url_port'],
    ['http://acme.com:25/', 'url_port'],
    ['http://acme.com:5432/', 'url_port'],
    ['http://acme.com:6379/', 'url_port'],
  ])('refuses %j as %s', (url, code) => expect(codeOf(url)).toBe(code))

  it('says the field, the value and the cure', () => {
    const parsed = parseTarget('http://10.0.0.5/', PUBLIC_ONLY, 'webhooks.3.url')
    expect(parsed).toMatchObject({ ok: false, refusal: { field: 'webhooks.3.url' } })
    expect(parsed.ok ? '' : parsed.refusal.message).toContain('--allow-private')
  })

  it('calls private names and addresses where the operator allows it, but never the metadata service', () => {
    expect(codeOf('http://localhost:3000/x', PRIVATE)).toBe('ok')
    expect(codeOf('http://billing/x', PRIVATE)).toBe('ok')
    expect(codeOf('http://10.0.0.5/x', PRIVATE)).toBe('ok')
    expect(codeOf('http://[::1]:8080/x', PRIVATE)).toBe('ok')
    expect(codeOf('http://169.254.169.254/', PRIVATE)).toBe('blocked_target')
    expect(codeOf('http://localhost:6379/', PRIVATE)).toBe('url_port')
  })

  it('lets a name have an unusual port where a target with that port is allowed; the address is judged when it is known', () => {
    const target = parseAllowedTarget('10.0.0.0/8:22') ?? expect.fail()
    const policy: AddressPolicy = { ...PUBLIC_ONLY, allowTargets: [target] }
    expect(codeOf('http://git.acme.com:22/', policy)).toBe('ok')
    expect(codeOf('http://8.8.8.8:22/', policy)).toBe('blocked_target')
  })
})

describe('the normal form of a URL', () => {
  it.each([
    ['HTTPS://API.Acme.COM:443/Hook?a=1#frag', 'https://api.acme.com/Hook?a=1', 'api.acme.com'],
    ['http://api.acme.com.:8080/', 'http://api.acme.com:8080/', 'api.acme.com:8080'],
    ['http://api.acme.com', 'http://api.acme.com/', 'api.acme.com'],
    ['https://api.acme.com:80/', 'https://api.acme.com:80/', 'api.acme.com'],
    [
      'http://bücher.example.org/ü?q=ü',
      'http://xn--bcher-kva.example.org/%C3%BC?q=%C3%BC',
      'xn--bcher-kva.example.org',
    ],
    ['http://134744072/', 'http://8.8.8.8/', '8.8.8.8'],
    ['https://[2606:4700:4700:0::1111]:8443/', 'https://[2606:4700:4700::1111]:8443/', '[2606:4700:4700::1111]:8443'],
  ])('%s is stored as %s under %s', (url, stored, domain) => {
    expect(parseTarget(url, PUBLIC_ONLY)).toMatchObject({ ok: true, target: { url: stored, domain } })
  })

  it.each([
    ['API.Acme.com', 'api.acme.com'],
    ['api.acme.com.', 'api.acme.com'],
    ['api.acme.com:443', 'api.acme.com'],
    ['api.acme.com:80', 'api.acme.com'],
    ['api.acme.com:8080', 'api.acme.com:8080'],
    ['https://api.acme.com/hook', 'api.acme.com'],
    ['https://api.acme.com:8443/hook', 'api.acme.com:8443'],
    ['localhost:3000', 'localhost:3000'],
    ['[::1]:8080', '[::1]:8080'],
    ['127.1', '127.0.0.1'],
  ])('D-13: the domain %s that a person types is the guard key %s', (typed, domain) => {
    expect(parseDomain(typed)).toEqual({ ok: true, domain })
  })

  it.each(['', 'a b', 'acme.com/x', 'u@acme.com', 'acme..com', 'acme.com:0', 'acme.com:99999', 7, null])(
    '%j is no domain',
    (typed) => expect(parseDomain(typed)).toMatchObject({ ok: false, refusal: { code: 'domain' } }),
  )

  it('gives a URL and its typed domain one key', () => {
    expect(domainOf('https://api.acme.com:443/x')).toBe('api.acme.com')
    expect(parseDomain('API.ACME.COM.:80')).toEqual({ ok: true, domain: domainOf('http://api.acme.com./') })
  })
})
