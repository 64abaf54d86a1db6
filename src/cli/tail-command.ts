/** `tail`: events as they happen, a line each. */
import type { Command } from 'commander'
import colors from 'picocolors'
import { type Client, type EventNotice, RpcFailure } from '#client/node.ts'
import { SUBSCRIPTION_TOPICS, type Topic } from '#control/protocol.ts'
import { type GlobalOptions, json, printable, type Surroundings, withConnection } from './session.ts'
import { readNumber, UsageError } from './usage.ts'

interface TailOptions extends GlobalOptions {
  readonly domain?: string
  readonly count?: string
  readonly fromSeq?: string
}

export const addTailCommand = (program: Command, around: Surroundings): void => {
  program
    .command('tail [topics...]')
    .description('prints events: webhooks, backpressure, supervision, monitor; all but the last by default')
    .option('--domain <domain>')
    .option('--count <n>', 'ends after so many events')
    .option('--from-seq <n>', 'begins after this number, as far as events are kept')
    .action((topics: readonly string[], _options: unknown, command: Command) => {
      const { domain, count, fromSeq, ...options } = command.optsWithGlobals<TailOptions>()
      const wanted = topics.map(topicOf)
      const most = count === undefined ? Number.POSITIVE_INFINITY : readNumber('--count', count)
      const of = {
        ...(domain === undefined ? {} : { domain }),
        ...(fromSeq === undefined ? {} : { fromSeq: readNumber('--from-seq', fromSeq) }),
      }
      return withConnection(options, around, async (client) => {
        const stream = await client.subscribe(wanted.length === 0 ? await allOf(client) : wanted, of)
        let told = 0
        for await (const notice of stream) {
          around.out(options.json === true ? `${json(notice)}\n` : eventLine(notice))
          told += 1
          if (told >= most) return
        }
        throw new RpcFailure('DISCONNECTED', 'the daemon has gone')
      })
    })
}

const topicOf = (text: string): Topic => {
  const topic = SUBSCRIPTION_TOPICS.find((one) => one === text)
  if (topic !== undefined) return topic
  throw new UsageError(`topics are ${SUBSCRIPTION_TOPICS.join(', ')}; got ${JSON.stringify(text)}`)
}

/** What this key may hear. */
const allOf = async (client: Client): Promise<readonly Topic[]> =>
  (await client.getInfo({})).role === 'admin' ? ['webhooks', 'backpressure', 'supervision'] : ['webhooks']

/** `2026-11-22T18:40:03.000Z webhook.finished id=msg_… state=delivered`. */
const eventLine = ({ data, gap }: EventNotice): string => {
  const { at, type, ...facts } =
    typeof data === 'object' && data !== null ? { at: '', type: '', ...data } : { at: '', type: '' }
  const told = Object.entries(facts)
    .filter(([, value]) => value !== null)
    .map(
      ([name, value]) =>
        `${colors.dim(`${name}=`)}${printable(typeof value === 'string' ? value : JSON.stringify(value))}`,
    )
  const missed = gap === true ? `${colors.yellow('(some events before this one were dropped)')}\n` : ''
  return `${missed}${at} ${colors.bold(type === '' ? 'monitor' : type)} ${told.join(' ')}\n`
}
