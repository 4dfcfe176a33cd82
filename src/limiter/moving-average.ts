/** How much the newest value counts. */
const NEWEST = 0.2

/** An average that follows what is measured: the last few values make up most of it. */
export function movingAverage(average: number, newest: number): number {
  return average + (newest - average) * NEWEST
}
