/** A schema's complaint, as a sentence with the field, the value, and the cure. Only runs on the way to a refusal. */
import { z } from 'zod'
import { Refusal, show } from './refusal.ts'

/** The params as the schema types them. Throws Refusal INVALID_PARAMS that names the first field that is wrong. */
export const readParams = <S extends z.ZodType>(
  schema: S,
  params: unknown,
  /** What stands before the field, where the params are a part of something. */
  prefix: () => string = () => '',
): z.output<S> => {
  const parsed = schema.safeParse(params)
  if (parsed.success) return parsed.data
  throw refusalOf(schema, params, parsed.error.issues[0], prefix())
}

const refusalOf = (
  schema: z.ZodType,
  params: unknown,
  issue: z.core.$ZodIssue | undefined,
  prefix: string,
): Refusal => {
  if (issue === undefined) return new Refusal('INVALID_PARAMS', 'the params are not what the method takes')
  if (issue.code === 'unrecognized_keys') return unknownKey(schema, issue.path, issue.keys[0] ?? '', prefix)
  const field = fieldOf(prefix, issue.path)
  const value = valueAt(params, issue.path)
  return new Refusal('INVALID_PARAMS', sentence(field, value, schemaAt(schema, issue.path), issue), { field })
}

const sentence = (field: string, value: unknown, schema: z.ZodType | null, issue: z.core.$ZodIssue): string => {
  if (issue.code === 'custom') return `${field} ${issue.message}`
  const cure = descriptionOf(schema)
  if (value === undefined) return `${field} is missing${cure === undefined ? '' : `; it must be ${cure}`}`
  return cure === undefined
    ? `${field}: ${issue.message}; got ${show(value)}`
    : `${field} must be ${cure}; got ${show(value)}`
}

const unknownKey = (schema: z.ZodType, path: readonly PropertyKey[], key: string, prefix: string): Refusal => {
  const field = fieldOf(prefix, [...path, key])
  const at = schemaAt(schema, path)
  const known = at instanceof z.ZodObject ? Object.keys(at.shape) : []
  const cure = known.length === 0 ? 'it takes none' : `known are ${known.join(', ')}`
  return new Refusal('INVALID_PARAMS', `unknown parameter ${show(key)}; ${cure}`, { field })
}

/** `webhooks[3].retry.jitter`. */
const fieldOf = (prefix: string, path: readonly PropertyKey[]): string => {
  let text = prefix
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else text += `${text === '' ? '' : '.'}${String(step)}`
  }
  return text === '' ? 'params' : text
}

const valueAt = (value: unknown, path: readonly PropertyKey[]): unknown => {
  let at = value
  for (const step of path) {
    if (typeof at !== 'object' || at === null) return undefined
    at = Object.getOwnPropertyDescriptor(at, step)?.value
  }
  return at
}

/** What is optional is described by what it holds. */
const descriptionOf = (schema: z.ZodType | null): string | undefined => {
  if (schema === null || schema.description !== undefined) return schema?.description
  if (!(schema instanceof z.ZodOptional || schema instanceof z.ZodNullable)) return undefined
  const inner: unknown = schema.unwrap()
  return inner instanceof z.ZodType ? descriptionOf(inner) : undefined
}

/** The schema of a field, with its description, through optional, nullable and lists; null where a union hides it. */
const schemaAt = (schema: z.ZodType, path: readonly PropertyKey[]): z.ZodType | null => {
  let at: z.ZodType | null = schema
  for (const step of path) at = at === null ? null : stepInto(at, step)
  return at
}

const stepInto = (schema: z.ZodType, step: PropertyKey): z.ZodType | null => {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) {
    const inner: unknown = schema.unwrap()
    return inner instanceof z.ZodType ? stepInto(inner, step) : null
  }
  const next: unknown =
    schema instanceof z.ZodObject
      ? schema.shape[String(step)]
      : schema instanceof z.ZodArray
        ? schema.element
        : schema instanceof z.ZodRecord
          ? schema.valueType
          : null
  return next instanceof z.ZodType ? next : null
}
