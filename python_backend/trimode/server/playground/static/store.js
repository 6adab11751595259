// Store: a value that views watch. useStore draws a view again when it changes.
import { useEffect, useState } from "./vendor/htm-preact.js";

export class Store {
  #watchers = new Set();

  constructor(value) {
    this.value = value;
  }

  /** Take over the parts that `change` has, and call who watches. */
  set(change) {
    this.value = { ...this.value, ...change };
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** Call `watcher` at every change, until what this returns is called. */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}

export function useStore(store) {
  const [, again] = useState(0);
  useEffect(() => {
    again((count) => count + 1); // what changed between the first drawing and now
    return store.watch(() => again((count) => count + 1));
  }, [store]);
  return store.value;
}
