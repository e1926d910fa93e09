// What the browser keeps for this page. Where it keeps nothing, because somebody wants it so, the page does until it is left.

export class Kept {
  #storage = null;
  #key;
  #value = null;

  /** `kind` is 'sessionStorage' (this tab, until it is closed) or 'localStorage' (all tabs, for good). */
  constructor(kind, key) {
    this.#key = key;
    try {
      // To look at it is refused already.
      const storage = window[kind];
      this.#value = storage.getItem(key);
      this.#storage = storage;
    } catch {
      // Kept here alone.
    }
  }

  /** Null where nothing is kept. */
  get value() {
    return this.#value;
  }

  /** Whether it is still there when the page is loaded again. */
  get lasts() {
    return this.#storage !== null;
  }

  /** Keeps a text; null forgets it. */
  keep(value) {
    this.#value = value;
    try {
      if (value === null) this.#storage?.removeItem(this.#key);
      else this.#storage?.setItem(this.#key, value);
    } catch {
      this.#storage = null;
    }
  }
}
