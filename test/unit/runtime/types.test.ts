/** What the compiler knows: checked by `tsc`, run for the record. */
import { describe, expectTypeOf, it } from 'vitest'
import type { Behaviour, CallResult } from '#runtime/behaviour.ts'
import type { Context } from '#runtime/context.ts'
import type { From } from '#runtime/from.ts'
import type { Answer, Call, Name, Ref, ReplyOf, RequestOf, SystemInfo } from '#runtime/protocol.ts'

type ShopProtocol = {
  readonly call:
    | Call<{ readonly type: 'price'; readonly of: string }, number>
    | Call<{ readonly type: 'names' }, readonly string[]>
  readonly cast: { readonly type: 'close' }
  readonly info: Answer<'asked', number, { readonly from: From<number> }> | { readonly type: 'tick' }
  readonly continue: never
}
type Shop = Behaviour<ShopProtocol, null, { n: number }>
type Handlers = NonNullable<Shop['call']>

describe('the types', () => {
  it('the reply follows the message', () => {
    expectTypeOf<ReplyOf<ShopProtocol, { type: 'price' }>>().toEqualTypeOf<number>()
    expectTypeOf<ReplyOf<ShopProtocol, { type: 'names' }>>().toEqualTypeOf<readonly string[]>()
    type Asked = (ctx: Context<ShopProtocol>, shop: Name<ShopProtocol>) => Promise<number>
    const ask = (ctx: Context<ShopProtocol>, shop: Name<ShopProtocol>) => ctx.call(shop, { type: 'price', of: 'tea' })
    expectTypeOf(ask).toEqualTypeOf<Asked>()
  })

  it('handlers are exhaustive: each request has one, with its own reply', () => {
    expectTypeOf<keyof Handlers>().toEqualTypeOf<'price' | 'names'>()
    expectTypeOf<Parameters<Handlers['price']>[0]>().toEqualTypeOf<{ readonly type: 'price'; readonly of: string }>()
    type Result = Exclude<ReturnType<Handlers['price']>, Promise<unknown>>
    expectTypeOf<Result>().toEqualTypeOf<CallResult<ShopProtocol, { n: number }, number>>()
    expectTypeOf<{ price: Handlers['price'] }>().not.toExtend<Handlers>()
  })

  it('a road of the protocol must be served', () => {
    type Served = Pick<Shop, 'name' | 'version' | 'init' | 'call' | 'cast'>
    expectTypeOf<Served>().toExtend<Shop>()
    expectTypeOf<Omit<Served, 'cast'>>().not.toExtend<Shop>()
    expectTypeOf<Omit<Served, 'call'>>().not.toExtend<Shop>()
  })

  it('a name speaks one protocol', () => {
    expectTypeOf<Name<ShopProtocol>>().toExtend<Ref<ShopProtocol>>()
    expectTypeOf<RequestOf<ShopProtocol>['type']>().toEqualTypeOf<'price' | 'names'>()
  })

  it('an info is what the protocol says, or a signal', () => {
    type Info = Parameters<NonNullable<Shop['info']>>[0]
    expectTypeOf<Info['type']>().toEqualTypeOf<'asked' | 'tick' | SystemInfo['type']>()
    type Asked = Extract<Info, { type: 'asked'; ok: true }>
    expectTypeOf<Asked['value']>().toEqualTypeOf<number>()
    expectTypeOf<Asked['data']>().toEqualTypeOf<{ readonly from: From<number> }>()
  })
})
