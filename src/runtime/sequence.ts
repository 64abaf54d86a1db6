/** Steps that are synchronous wherever they can be, and wait only where they must. */
export type Maybe<T> = T | Promise<T>

export const after = <A, B>(value: Maybe<A>, next: (value: A) => Maybe<B>): Maybe<B> =>
  value instanceof Promise ? value.then(next) : next(value)

/** Runs `step` on each item in turn; ends early with the first answer that is not null. */
export const firstOf = <T, R>(
  items: readonly T[],
  step: (item: T, index: number) => Maybe<R | null>,
  from = 0,
): Maybe<R | null> => {
  for (let i = from; i < items.length; i++) {
    const item = items[i]
    if (item === undefined) continue
    const answer = step(item, i)
    if (answer instanceof Promise) {
      return answer.then((settled) => (settled === null ? firstOf(items, step, i + 1) : settled))
    }
    if (answer !== null) return answer
  }
  return null
}
