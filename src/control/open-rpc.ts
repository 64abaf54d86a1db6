/** The OpenRPC document (https://spec.open-rpc.org), made from the methods' schemas. */
import { z } from 'zod'
import { METHODS, type MethodSpec } from './protocol.ts'

let made: Readonly<Record<string, unknown>> | null = null

export const openRpc = (version: string): Readonly<Record<string, unknown>> => {
  made ??= {
    openrpc: '1.3.2',
    info: { title: 'HookPulse control channel', version, license: { name: 'MIT' } },
    methods: Object.entries(METHODS).map(([name, spec]) => methodOf(name, spec)),
  }
  return made
}

const methodOf = (name: string, spec: MethodSpec): Readonly<Record<string, unknown>> => {
  const schema = z.toJSONSchema(spec.params, { io: 'input', unrepresentable: 'any' })
  const required = schema.required ?? []
  return {
    name,
    summary: spec.admin === true ? `${spec.summary} Admin keys only.` : spec.summary,
    paramStructure: 'by-name',
    params: Object.entries(schema.properties ?? {}).map(([param, of]) => ({
      name: param,
      required: required.includes(param),
      schema: of,
    })),
    result: { name: 'result', schema: { type: 'object' } },
  }
}
