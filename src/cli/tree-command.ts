/** `tree`: every process of the daemon. */
import type { Command } from 'commander'
import colors from 'picocolors'
import type { Results } from '#client/node.ts'
import { type GlobalOptions, printable, type Surroundings, withClient } from './session.ts'

type Node = Results['getSupervisionTree']['tree']

export const addTreeCommand = (program: Command, around: Surroundings): void => {
  program
    .command('tree')
    .description('shows the supervision tree')
    .action((_options: unknown, command: Command) =>
      withClient(
        command.optsWithGlobals<GlobalOptions>(),
        around,
        (client) => client.getSupervisionTree({}),
        ({ tree }) => treeLines(tree, '', '').join(''),
      ),
    )
}

const treeLines = (node: Node, lead: string, below: string): string[] => {
  const name = node.kind === 'supervisor' ? colors.bold(printable(node.name)) : printable(node.name)
  const restarts = node.restarts === 0 ? '' : colors.yellow(`  restarted ${node.restarts}x`)
  const mailbox = node.mailbox === 0 ? '' : `  mailbox ${node.mailbox}`
  const state = node.state === 'waiting' ? '' : `  ${node.state}`
  const line = `${lead}${name} ${colors.dim(`<${node.pid ?? '-'}>`)}${state}${mailbox}${restarts}\n`
  return [
    line,
    ...node.children.flatMap((child, i) => {
      const last = i === node.children.length - 1
      return treeLines(child, `${below}${last ? '└─ ' : '├─ '}`, `${below}${last ? '   ' : '│  '}`)
    }),
  ]
}
