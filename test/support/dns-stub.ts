/** A name server on loopback, over UDP and TCP, that answers as a test scripts it (RFC 1035, section 4). */
import { createSocket } from 'node:dgram'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { parseAddress } from '#webhook/address-range.ts'

/** `name`: whose record it is; default: the name that was asked for. */
export type DnsRecord = { readonly name?: string } & (
  | { readonly type: 'A' | 'AAAA'; readonly address: string }
  | { readonly type: 'CNAME'; readonly to: string }
)
export type DnsFault = 'NXDOMAIN' | 'SERVFAIL' | 'REFUSED'
/** `family`: 4 for A, 6 for AAAA. Null: no answer at all. */
export type DnsScript = (name: string, family: 4 | 6, asked: number) => readonly DnsRecord[] | DnsFault | null

const RCODES: Readonly<Record<DnsFault, number>> = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 }
const TYPES = { A: 1, CNAME: 5, AAAA: 28 } as const
const HEAD_BYTES = 12
/** What is longer is cut off over UDP, so that it is asked for over TCP. */
const UDP_BYTES_MAX = 1_200

export class DnsStub {
  /** `name family transport`, in order. */
  readonly asked: string[] = []
  readonly #script: DnsScript
  readonly #udp = createSocket('udp4')
  readonly #tcp = createServer((socket) => this.#serve(socket))
  readonly #sockets = new Set<Socket>()

  private constructor(script: DnsScript) {
    this.#script = script
    this.#udp.on('message', (question, from) => {
      const answer = this.#answer(question, 'udp')
      if (answer !== null) this.#udp.send(answer, from.port, from.address)
    })
  }

  static async start(script: DnsScript): Promise<DnsStub> {
    const stub = new DnsStub(script)
    await new Promise<void>((resolve) => stub.#tcp.listen(0, '127.0.0.1', resolve))
    await new Promise<void>((resolve) => stub.#udp.bind(stub.#port, '127.0.0.1', resolve))
    return stub
  }

  get #port(): number {
    return (this.#tcp.address() as AddressInfo).port
  }
  /** As `dnsServers` takes it. */
  get server(): string {
    return `127.0.0.1:${this.#port}`
  }
  askedFor(name: string): number {
    return this.asked.filter((one) => one.startsWith(`${name} `)).length
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#udp.close(resolve))
    await new Promise((resolve) => this.#tcp.close(resolve))
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    let pending = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const end = 2 + pending.readUInt16BE(0)
        const answer = this.#answer(pending.subarray(2, end), 'tcp')
        pending = pending.subarray(end)
        if (answer !== null) socket.write(Buffer.concat([u16(answer.length), answer]))
      }
    })
  }

  #answer(question: Buffer, transport: 'udp' | 'tcp'): Buffer | null {
    const labels: string[] = []
    let at = HEAD_BYTES
    for (let length = question[at] ?? 0; length > 0; length = question[at] ?? 0) {
      labels.push(question.toString('latin1', at + 1, at + 1 + length))
      at += 1 + length
    }
    const end = at + 5
    const name = labels.join('.')
    const family = question.readUInt16BE(at + 1) === TYPES.A ? 4 : 6
    const key = `${name} ${family}`
    const answer = this.#script(name, family, this.asked.filter((one) => one.startsWith(`${key} `)).length)
    this.asked.push(`${key} ${transport}`)
    if (answer === null) return null
    const records = typeof answer === 'string' ? [] : answer.map((record) => encoded(record, name))
    const rcode = typeof answer === 'string' ? RCODES[answer] : 0
    const whole = message(question.subarray(0, end), ANSWER | rcode, records)
    return transport === 'tcp' || whole.length <= UDP_BYTES_MAX
      ? whole
      : message(question.subarray(0, end), ANSWER | TRUNCATED, [])
  }
}

/** Flags: an answer, recursion wanted and offered; cut off. */
const ANSWER = 0x8180
const TRUNCATED = 0x0200
const message = (question: Buffer, flags: number, records: readonly Buffer[]): Buffer =>
  Buffer.concat([
    question.subarray(0, 2),
    ...[flags, 1, records.length, 0, 0].map(u16),
    question.subarray(HEAD_BYTES),
    ...records,
  ])

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff])
const nameBytes = (name: string): Buffer =>
  Buffer.concat([
    ...name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')])),
    Buffer.from([0]),
  ])
/** With a time to live of 0: whoever keeps it does so on his own account. */
const encoded = (record: DnsRecord, asked: string): Buffer => {
  const data = record.type === 'CNAME' ? nameBytes(record.to) : Buffer.from(parseAddress(record.address) ?? [])
  return Buffer.concat([
    nameBytes(record.name ?? asked),
    u16(TYPES[record.type]),
    u16(1),
    Buffer.alloc(4),
    u16(data.length),
    data,
  ])
}
