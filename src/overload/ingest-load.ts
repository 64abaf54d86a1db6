/**
 * What the ingest thread has been given and has not read yet, shown to the door: what of it may come to wait for the store must count
 * there already, or frames are read only to be refused, and the thread that reads them has no time for those that fit.
 */

/** Mutable: changed in place by the ingest actor, at every frame. Readers take it as `Readonly`. */
export interface IngestLoad {
  /** Bytes of frames that wait to be read or are being read. */
  heldBytes: number
  /** Webhooks in a byte of such frames, smoothed; 0: none was read yet. */
  rowsPerByte: number
}
export const newIngestLoad = (): IngestLoad => ({ heldBytes: 0, rowsPerByte: 0 })

/** The weight of the newest frame: the last five or so decide. */
const NEWEST = 0.2

/** A frame of schedules was read. */
export const readRows = (load: IngestLoad, rows: number, bytes: number): void => {
  const found = rows / bytes
  load.rowsPerByte = load.rowsPerByte === 0 ? found : load.rowsPerByte + NEWEST * (found - load.rowsPerByte)
}

/** Webhooks that frames of so many bytes should hold. */
export const rowsIn = (load: Readonly<IngestLoad>, bytes: number): number => Math.ceil(bytes * load.rowsPerByte)
