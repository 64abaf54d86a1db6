/** What the client needs of a WebSocket; made by `ws` in Node, by the browser's own elsewhere. */
export interface ClientSocket {
  send(text: string): void
  close(): void
}
export interface SocketEvents {
  readonly open: () => void
  readonly text: (text: string) => void
  /** Said once, also where it never opened. */
  readonly closed: (why: string) => void
}
/** `sendsKey`: the key went with the upgrade; otherwise the client authenticates by its first message. */
export type OpenSocket = (
  url: string,
  key: string,
  events: SocketEvents,
) => ClientSocket & { readonly sendsKey: boolean }
