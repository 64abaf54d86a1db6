/** Who asked, for a deferred reply. Opaque. */
declare const answers: unique symbol
export interface From<Reply> {
  readonly [answers]?: (reply: Reply) => void
}
