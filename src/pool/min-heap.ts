/** What a heap holds knows its own place in it, so that it can be taken out or moved without a search. */
export interface HeapItem {
  /** -1: in no heap. An item is in one heap at a time. */
  heapIndex: number
}

/** A binary heap, the least first. */
export class MinHeap<Item extends HeapItem> {
  readonly #items: Item[] = []
  readonly #before: (a: Item, b: Item) => boolean

  constructor(before: (a: Item, b: Item) => boolean) {
    this.#before = before
  }

  get size(): number {
    return this.#items.length
  }

  get first(): Item | undefined {
    return this.#items[0]
  }

  /** In no order. */
  values(): IterableIterator<Item> {
    return this.#items.values()
  }

  push(item: Item): void {
    item.heapIndex = this.#items.push(item) - 1
    this.#up(item)
  }

  remove(item: Item): void {
    const index = item.heapIndex
    const last = this.#items.pop()!
    item.heapIndex = -1
    if (last === item) return
    this.#put(last, index)
    this.moved(last)
  }

  /** The item's rank has changed. */
  moved(item: Item): void {
    this.#up(item)
    this.#down(item)
  }

  #put(item: Item, index: number): void {
    this.#items[index] = item
    item.heapIndex = index
  }

  #up(item: Item): void {
    let index = item.heapIndex
    while (index > 0) {
      const parent = this.#items[(index - 1) >> 1]!
      if (!this.#before(item, parent)) break
      this.#put(parent, index)
      index = (index - 1) >> 1
    }
    this.#put(item, index)
  }

  #down(item: Item): void {
    let index = item.heapIndex
    for (;;) {
      let child = 2 * index + 1
      if (child >= this.#items.length) break
      if (child + 1 < this.#items.length && this.#before(this.#items[child + 1]!, this.#items[child]!)) child++
      if (!this.#before(this.#items[child]!, item)) break
      this.#put(this.#items[child]!, index)
      index = child
    }
    this.#put(item, index)
  }
}
