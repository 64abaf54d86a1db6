/** Why something a client said is not taken. Shown as it is on the control channel. */

export const REFUSAL_CODES = [
  'url_chars',
  'url_syntax',
  'url_scheme',
  'url_userinfo',
  'url_host',
  'url_port',
  'blocked_target',
  'method',
  'header_name',
  'header_value',
  'header_reserved',
  'headers_shape',
  'headers_size',
  'domain',
] as const
export type RefusalCode = (typeof REFUSAL_CODES)[number]

export interface Refusal {
  readonly code: RefusalCode
  /** The parameter that was wrong, as the client named it: `url`, `headers.x-name`. */
  readonly field: string
  /** What was wrong, with which value, and what would be right. */
  readonly message: string
}

export interface Refused {
  readonly ok: false
  readonly refusal: Refusal
}

export const refuse = (code: RefusalCode, field: string, message: string): Refused => ({
  ok: false,
  refusal: { code, field, message },
})

/** A client's text inside a message: one line, at most 80 characters, nothing that a terminal would obey. */
export const quote = (text: string): string => {
  const cut = text.length > 80 ? `${text.slice(0, 79)}…` : text
  return JSON.stringify(cut).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
