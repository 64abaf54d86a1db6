/** Queries that the writer answers, between groups; the rest goes to the maintenance connection. */
import type { ReadQuery } from '#store/store.ts'

export const WRITER_READS = ['horizon', 'lane', 'due-lanes', 'started', 'limits', 'groups', 'brands', 'keys'] as const
export type WriterRead = Extract<ReadQuery, { type: (typeof WRITER_READS)[number] }>
export const isWriterRead = (query: ReadQuery): query is WriterRead => WRITER_READS.some((type) => type === query.type)
