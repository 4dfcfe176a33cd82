/** What a list holds carries its own links, so that it can be taken out without a search. */
export interface ListItem<Item> {
  list: LinkedList<Item & ListItem<Item>> | undefined
  before: (Item & ListItem<Item>) | undefined
  after: (Item & ListItem<Item>) | undefined
}

/** First in, first out, and out of the middle. */
export class LinkedList<Item> {
  first: (Item & ListItem<Item>) | undefined
  #last: (Item & ListItem<Item>) | undefined
  size = 0

  append(item: Item & ListItem<Item>): void {
    item.list = this as LinkedList<Item & ListItem<Item>>
    item.before = this.#last
    item.after = undefined
    if (this.#last) this.#last.after = item
    else this.first = item
    this.#last = item
    this.size++
  }

  remove(item: Item & ListItem<Item>): void {
    if (item.before) item.before.after = item.after
    else this.first = item.after
    if (item.after) item.after.before = item.before
    else this.#last = item.before
    item.before = item.after = item.list = undefined
    this.size--
  }
}
