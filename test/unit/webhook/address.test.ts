import { describe, expect, it } from 'vitest'
import { DENIED } from '#test/support/denied-addresses.ts'
import {
  type AddressPolicy,
  deniedListener,
  isDefaultPort,
  judgeAddress,
  mayCallPort,
  PUBLIC_ONLY,
  parseAllowedTarget,
} from '#webhook/address.ts'
import { parseAddress } from '#webhook/address-range.ts'

const PUBLIC =
  `8.8.8.8, 1.1.1.1, 9.255.255.255, 11.0.0.0, 100.63.255.255, 100.128.0.0, 126.255.255.255, 128.0.0.0, 168.63.129.17,
169.253.255.255, 169.255.0.0, 172.15.255.255, 172.32.0.0, 192.0.1.0, 192.167.255.255, 192.169.0.0, 198.17.255.255, 198.20.0.0,
203.0.114.0, 223.255.255.255, 2000::1, 2001:200::1, 2001:4860:4860::8888, 2003::1, 2606:4700:4700::1111, 3fff:1000::1,
2606:4700:0:0:1:5efe:a00:1`.split(/,\s*/)
const NEVER =
  `169.254.169.254, fe80::1, fd00:ec2::254, fd20:ce::254, 100.100.100.200, 168.63.129.16, 192.0.0.192, 0.0.0.0, 0.1.2.3, ::,
224.0.0.1, ff02::1, 255.255.255.255, ::ffff:169.254.169.254, ::a9fe:a9fe, 64:ff9b::a9fe:a9fe, 2002:a9fe:a9fe::`.split(
    /,\s*/,
  )

const allows = (policy: AddressPolicy, address: string, port = 443) => judgeAddress(policy, address, port).ok
const withTargets = (...targets: string[]): AddressPolicy => ({
  ...PUBLIC_ONLY,
  allowTargets: targets.map((text) => parseAllowedTarget(text) ?? expect.fail(`${text} does not parse`)),
})

describe('SSRF-01: the address policy', () => {
  it.each(PUBLIC)('allows %s', (address) => expect(judgeAddress(PUBLIC_ONLY, address, 443)).toEqual({ ok: true }))
  it.each(DENIED)('denies %s', (address) => expect(allows(PUBLIC_ONLY, address)).toBe(false))
  it.each([
    'fe80::1%eth0',
    '1.2.3',
    '0x7f.1',
    '127.1',
    '',
    '1.2.3.4.5',
    '01.2.3.4',
    '1.2.3.256',
    ':::',
    '1::2::3',
    '::1.2.3',
    '12345::',
  ])('refuses %j, which is no address', (text) => {
    expect(parseAddress(text)).toBeNull()
    expect(allows(PUBLIC_ONLY, text)).toBe(false)
  })

  it('opens loopback, RFC 1918 and unique local addresses by allowPrivate, and nothing else', () => {
    const open: AddressPolicy = { ...PUBLIC_ONLY, allowPrivate: true }
    const opened = DENIED.filter((address) => allows(open, address))
    expect(opened).toEqual([
      '10.0.0.0',
      '10.255.255.255',
      '127.0.0.1',
      '127.255.255.255',
      '172.16.0.0',
      '172.31.255.255',
      '192.168.0.1',
      '::1',
      'fc00::1',
    ])
  })

  it.each(NEVER)('never allows %s, whatever the options say', (address) => {
    const wideOpen: AddressPolicy = {
      ...withTargets('0.0.0.0/0:1-65535', '::/0:1-65535', '0.0.0.0/0', '::/0'),
      allowPrivate: true,
    }
    expect(allows(wideOpen, address)).toBe(false)
    expect(allows(wideOpen, address, 80)).toBe(false)
  })

  it("never allows the daemon's own listeners, in no spelling", () => {
    const policy: AddressPolicy = {
      ...withTargets('::ffff:0:0/96', '127.0.0.0/8'),
      allowPrivate: true,
      denyTargets: deniedListener('127.0.0.1', 7411, []),
    }
    expect(allows(policy, '127.0.0.1', 7411)).toBe(false)
    expect(allows(policy, '::ffff:127.0.0.1', 7411)).toBe(false)
    expect(allows(policy, '127.0.0.1', 7412)).toBe(true)
    expect(allows(policy, '127.0.0.2', 7411)).toBe(true)
  })

  it.each([
    ['0.0.0.0', ['127.0.0.1', '127.9.9.9', '10.0.0.7'], ['::1', '10.0.0.8']],
    ['::', ['127.0.0.1', '::1', '10.0.0.7', 'fd00::7'], ['10.0.0.8', 'fd00::8']],
    ['localhost', ['127.0.0.1', '::1'], ['127.0.0.2', '10.0.0.7']],
    ['10.0.0.7', ['10.0.0.7'], ['127.0.0.1']],
  ])('a listener on %s denies every address that reaches it', (host, denied, allowed) => {
    const denyTargets = deniedListener(host, 7411, ['10.0.0.7', 'fd00::7'])
    const policy: AddressPolicy = { ...PUBLIC_ONLY, allowPrivate: true, denyTargets }
    for (const address of denied) expect(allows(policy, address, 7411), address).toBe(false)
    for (const address of allowed) expect(allows(policy, address, 7411), address).toBe(true)
    expect(allows(policy, '127.0.0.1', 7412)).toBe(true)
  })

  it('names the option that would allow a private address', () => {
    expect(judgeAddress(PUBLIC_ONLY, '10.1.2.3', 80)).toEqual({
      ok: false,
      why: 'private (10.0.0.0/8): to call your own network, start with --allow-private or --allow-target 10.1.2.3',
    })
  })
})

describe('SSRF-08: ports', () => {
  it.each([80, 443, 1024, 8080, 8443, 3000, 65_535])('allows %i', (port) => expect(isDefaultPort(port)).toBe(true))
  it.each([0, 1, 22, 25, 1023, 2375, 3306, 5432, 6379, 9200, 11_211, 27_017, 6000, 6667, 10_080, 65_536])(
    'denies %i',
    (port) => {
      expect(isDefaultPort(port)).toBe(false)
      expect(allows(PUBLIC_ONLY, '8.8.8.8', port)).toBe(false)
    },
  )
  it('opens a port only for the addresses that were named with it', () => {
    const policy = withTargets('10.0.0.0/8:22,9200-9300', '192.168.1.0/24')
    expect(mayCallPort(policy, 22)).toBe(true)
    expect(mayCallPort(policy, 25)).toBe(false)
    expect(allows(policy, '10.1.1.1', 22)).toBe(true)
    expect(allows(policy, '10.1.1.1', 9250)).toBe(true)
    expect(allows(policy, '10.1.1.1', 443), 'only the ports that were listed').toBe(false)
    expect(allows(policy, '8.8.8.8', 22)).toBe(false)
    expect(allows(policy, '192.168.1.7', 8080)).toBe(true)
    expect(allows(policy, '192.168.1.7', 22)).toBe(false)
    expect(allows(policy, '192.168.2.7', 8080)).toBe(false)
  })
  it.each([
    ['10.0.0.0/8', null],
    ['10.1.2.3', null],
    ['10.1.2.3:8080', [[8080, 8080]]],
    [
      '10.0.0.0/8:80,9000-9100',
      [
        [80, 80],
        [9000, 9100],
      ],
    ],
    ['fd00::/8:443', [[443, 443]]],
    ['[::1]:8080', [[8080, 8080]]],
    ['[fd00::]/8:8080', [[8080, 8080]]],
    ['::1', null],
    ['fd00::/8', null],
  ])('understands --allow-target %s', (text, ports) => expect(parseAllowedTarget(text)?.ports).toEqual(ports))
  it.each([
    '',
    'acme.com',
    '10.0.0.0/33',
    '10.0.0/8',
    '10.0.0.0/8:0',
    '10.0.0.0/8:9-8',
    '10.0.0.0/8:70000',
    '10.0.0.0/8:',
    'fd00::/129',
    '*',
  ])('does not understand --allow-target %j', (text) => expect(parseAllowedTarget(text)).toBeNull())
})
