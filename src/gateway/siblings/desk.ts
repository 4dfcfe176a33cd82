import type { Alert, AlertSender } from '../monitor/alerts.js'
import { metricsText, type Served } from '../monitor/metrics.js'
import { type Change, change } from '../operator/change.js'
import { type Overview, overviewOf } from '../operator/overview.js'
import type { Tallies } from '../policies/counters.js'
import type { Route } from '../proxy/route.js'
import { mergeMetrics, mergeOverviews } from './merge.js'
import type { Question, SiblingNews, Siblings, Spending } from './siblings.js'

/** What processes tell each other of is collected for so long, in milliseconds. */
const TOGETHER = 20

export interface DeskOptions {
  readonly siblings: Siblings
  /** Whether the processes share their limits: then each tells of all that is left. */
  readonly isShared: boolean
  routes(): ReadonlyMap<string, Route>
  /** What was counted of the callers of a route. */
  served(path: string): Served
  /** What a policy counts. */
  tallies(policy: string): Tallies | undefined
  senders(): readonly AlertSender[]
}

/** Speaks for all processes of a gateway: what one is asked, it asks the others too; what it counts, it tells them. */
export class Desk {
  readonly #options: DeskOptions
  readonly #outbox: Spending[] = []

  constructor(options: DeskOptions) {
    this.#options = options
  }

  /** Answers the others from now on, and hears what they tell. */
  open(): void {
    this.#options.siblings.listen(
      question => this.#answer(question),
      news => this.#hear(news),
    )
  }

  /** What there is, in all processes. */
  async overview(): Promise<Overview[]> {
    const { siblings, isShared } = this.#options
    const own = this.#overview()
    if (siblings.size === 1) return own
    const others = ((await siblings.ask({ kind: 'overview' })) as Overview[][]).flat()
    return own.map(each => mergeOverviews([each, ...others.filter(({ path }) => path === each.path)], isShared))
  }

  /** What all processes have to tell Prometheus. */
  async metrics(): Promise<string> {
    const { siblings, isShared } = this.#options
    if (siblings.size === 1) return this.#metrics()
    return mergeMetrics([this.#metrics(), ...((await siblings.ask({ kind: 'metrics' })) as string[])], isShared)
  }

  /** Changes keys, in all processes. */
  async change(each: Change): Promise<Response> {
    const answer = change(this.#options.routes(), each)
    if (answer.ok) await this.#options.siblings.ask({ kind: 'change', ...each })
    return answer
  }

  /** Sends an alert. All go out from one process, which knows what it has told already. */
  alert(each: Alert): void {
    const { siblings, senders } = this.#options
    if (siblings.index > 0) siblings.tell({ kind: 'alert', alert: each })
    else for (const sender of senders()) sender.send(each)
  }

  /** Lets a policy's counts be those of all processes. */
  share(policy: string, tallies: Tallies): void {
    const { size } = this.#options.siblings
    if (size === 1) return
    tallies.processes = size
    tallies.onSpent = (name, unit, units) => this.#spent({ policy, name, unit, units })
  }

  #spent(each: Spending): void {
    this.#outbox.push(each)
    if (this.#outbox.length > 1) return
    const send = () => this.#options.siblings.tell({ kind: 'spent', spent: this.#outbox.splice(0) })
    setTimeout(send, TOGETHER).unref()
  }

  #hear(news: SiblingNews): void {
    switch (news.kind) {
      case 'alert':
        if (this.#options.siblings.index === 0) this.alert(news.alert)
        return
      case 'spent':
        for (const { policy, name, unit, units } of news.spent) this.#options.tallies(policy)?.hear(name, unit, units)
    }
  }

  #answer(question: Question): unknown {
    switch (question.kind) {
      case 'overview':
        return this.#overview()
      case 'metrics':
        return this.#metrics()
      case 'change':
        return change(this.#options.routes(), question).status
    }
  }

  #overview(): Overview[] {
    return [...this.#options.routes().values()].map(({ path, fetch }) => overviewOf(path, fetch))
  }

  #metrics(): string {
    const { routes, served } = this.#options
    return metricsText([...routes().values()].map(({ path, fetch }) => ({ path, fetch, served: served(path) })))
  }
}
