import { Bench } from 'tinybench'

export const median = values => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

/**
 * Measures ways of doing the same, in turn: the machine's moods come to all of them alike.
 *
 * @param ways - by name: does it so many times
 * @returns by name: medians of wall time and processor time for each, in microseconds
 */
export async function inTurn(ways, { count, rounds = 9 }) {
  const wall = new Map(Object.keys(ways).map(name => [name, []]))
  const cpu = new Map(Object.keys(ways).map(name => [name, []]))
  for (let round = -1; round < rounds; round++) {
    const all = Object.entries(ways)
    const order = round % 2 === 0 ? all : all.reverse()
    for (const [name, run] of order) {
      // What the one before has left behind is not this one's to clear away.
      await new Promise(resolve => setTimeout(resolve, 20))
      const before = process.cpuUsage()
      const bench = new Bench({ iterations: 1, time: 0, warmup: false })
      // Told, or it runs it once more beside the first to find that out.
      bench.add(name, () => run(count), { async: true })
      const [task] = await bench.run()
      if (task.result.state !== 'completed')
        throw new Error(`${name}: ${task.result.state}`, { cause: task.result.error })
      const { user, system } = process.cpuUsage(before)
      // The first round compiles.
      if (round < 0) continue
      wall.get(name).push((task.result.latency.mean * 1000) / count)
      cpu.get(name).push((user + system) / count)
    }
  }
  return Object.fromEntries(
    Object.keys(ways).map(name => [name, { wall: median(wall.get(name)), cpu: median(cpu.get(name)) }]),
  )
}

export const one = call => async count => {
  for (let index = 0; index < count; index++) await call()
}

export const atOnce = (call, parallel) => async count => {
  for (let index = 0; index < count; index += parallel) {
    await Promise.all(Array.from({ length: parallel }, call))
  }
}

export const fixed = (value, digits = 1) => value.toFixed(digits)
