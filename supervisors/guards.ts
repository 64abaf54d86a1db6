/**
 * guards: one guard per active domain, one brand-limiter per active brand; idle ones stop. Dynamic, all children temporary:
 * the next webhook of a domain starts its guard again (the scheduler sees every death, D-2), so a crash here is never this
 * supervisor's to repair, and one domain's poison costs nobody else's intensity. House intensity, for form.
 *
 * What outlives them lies in tables of root (D-10): its own death, with all of them, forgets nothing.
 */
import { guards } from '#actors/guard.ts'
import { dynamicSupervisorSpec } from '#runtime/dynamic-supervisor.ts'
import type { ChildSpec } from '#runtime/supervisor-spec.ts'
import { HOUSE_FLAGS } from './house.ts'

export const guardsSupervisor = (): ChildSpec => dynamicSupervisorSpec({ id: guards, name: guards, flags: HOUSE_FLAGS })
