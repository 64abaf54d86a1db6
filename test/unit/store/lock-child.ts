/** Holds the lock of a directory until it is killed. */
import { lockDirectory } from '#store/sqlite/directory-lock.ts'

lockDirectory(process.argv[2] ?? '')
process.send?.('held')
process.on('message', () => undefined)
