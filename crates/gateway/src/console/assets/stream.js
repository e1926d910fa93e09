// Server-sent events over `fetch`, since `EventSource` can show no token. Says when they stop, and connects again.

import { ask, reason, Refused } from './api.js';

/** The gateway is heard every 15 s at least. */
const SILENCE = 40000;
const LONGEST_WAIT = 15000;

/** The page failed, not the gateway. */
class Fault extends Error {}

/** Takes events out of text, however it is cut. */
export class Events {
  #unfinished = [];
  #data = [];
  #id = null;

  /** The events that end in this piece. */
  take(piece) {
    const events = [];
    let start = 0;
    for (let end; (end = piece.indexOf('\n', start)) !== -1; start = end + 1) {
      this.#unfinished.push(piece.slice(start, end));
      const line = this.#unfinished.join('').replace(/\r$/, '');
      this.#unfinished = [];
      this.#line(line, events);
    }
    if (start < piece.length) this.#unfinished.push(piece.slice(start));
    return events;
  }

  #line(line, events) {
    if (line === '') {
      if (this.#data.length > 0) events.push({ id: this.#id, data: this.#data.join('\n') });
      this.#data = [];
      return;
    }
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') this.#data.push(value);
    if (field === 'id') this.#id = value;
  }
}

/**
 * Follows a path for as long as it is not stopped.
 *
 * `onEvent` gets the JSON of each event. `onState` gets { kind: 'connecting' }, { kind: 'open', isCurrent }, or
 * { kind: 'lost', since, reason, retryAt }. `isCurrent` tells whether the gateway vouches for what came last, which it then sends only once that
 * changes. Else nothing is known before an event comes, and what is lost until then is so since it was lost before.
 */
export class Stream {
  #path;
  #onEvent;
  #onState;
  #stop = new AbortController();
  #wake = null;
  #seen = null;
  #since = null;

  constructor(path, { onEvent, onState }) {
    this.#path = path;
    this.#onEvent = onEvent;
    this.#onState = onState;
    this.#run();
  }

  stop() {
    this.#stop.abort();
    this.#wake?.();
  }

  /** Does not wait any longer. */
  retry() {
    this.#wake?.();
  }

  async #run() {
    let failures = 0;
    this.#tell({ kind: 'connecting' });
    while (!this.#stop.signal.aborted) {
      const outcome = await this.#once(() => {
        failures = 0;
      });
      if (this.#stop.signal.aborted) return;
      // What comes next would hardly be shown either.
      const wait = outcome.isFault ? LONGEST_WAIT : Math.min(1000 * 2 ** failures, LONGEST_WAIT) * (0.8 + 0.4 * Math.random());
      failures += 1;
      this.#since ??= outcome.since;
      this.#tell({ kind: 'lost', since: this.#since, reason: outcome.reason, retryAt: Date.now() + wait });
      await this.#sleep(wait);
    }
  }

  /** Connects once, and reads until it ends. Gives why and since when nothing comes. */
  async #once(opened) {
    let attempt = null;
    let heard = 0;
    let silent = false;
    // Asked for each time that the request is sent: the time in which somebody looked for a token is not the gateway's.
    const signal = () => {
      attempt = new AbortController();
      // Not the time of the day, which may be set.
      heard = performance.now();
      silent = false;
      return AbortSignal.any([this.#stop.signal, attempt.signal]);
    };
    const watchdog = setInterval(() => {
      if (performance.now() - heard < SILENCE) return;
      silent = true;
      attempt.abort();
    }, 1000);
    try {
      const headers = this.#seen === null ? {} : { 'last-event-id': this.#seen };
      const response = await ask(this.#path, { headers, signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const events = new Events();
      for (let first = true; ; first = false) {
        const { done, value } = await reader.read();
        if (done || this.#stop.signal.aborted) break;
        heard = performance.now();
        if (first) {
          opened();
          const isCurrent = this.#isSeen(response.headers.get('etag'));
          if (isCurrent) this.#since = null;
          this.#tell({ kind: 'open', isCurrent });
        }
        // Each is the whole state: the last one is enough.
        const last = events.take(value).at(-1);
        if (last === undefined) continue;
        this.#take(last);
      }
      return { since: Date.now(), reason: 'the gateway ended the stream' };
    } catch (error) {
      const since = Date.now();
      if (error instanceof Fault) return { since, reason: error.message, isFault: true };
      if (silent && !(error instanceof Refused)) return { since: since - (performance.now() - heard), reason: 'nothing was heard from the gateway' };
      return { since, reason: reason(error) };
    } finally {
      clearInterval(watchdog);
      // A browser has room for six: one that nobody reads any more must not stay.
      attempt?.abort();
    }
  }

  #take({ id, data }) {
    try {
      this.#onEvent(JSON.parse(data));
    } catch (error) {
      console.error(error);
      throw new Fault(`this page could not show what came (${error.message})`);
    }
    // Not before: what was not shown is to come again.
    this.#seen = id;
    this.#since = null;
  }

  /** Whether the state that a gateway has is the one that was seen last. Who compresses what passes makes its tag a weak one. */
  #isSeen(tag) {
    return this.#seen !== null && tag?.replace(/^W\//, '') === `"${this.#seen}"`;
  }

  #tell(state) {
    try {
      this.#onState(state);
    } catch (error) {
      // The stream goes on all the same.
      console.error(error);
    }
  }

  #sleep(time) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, time);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
