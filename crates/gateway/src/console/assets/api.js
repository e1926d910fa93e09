// Asks the gateway. Where it wants a token, somebody is asked for one, and the request is sent again.

import { Kept } from './storage.js';

/** For this tab alone. It never goes into an address. */
const token = new Kept('sessionStorage', 'headkeeper-token');

/** The gateway said no, and why: problem details (RFC 9457). */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ? `${problem.title}: ${problem.detail}` : problem.title);
    this.status = status;
    this.problem = problem;
  }
}

let askForToken = null;

/** Who is asked for a token: given the problem, resolves to a token, or to null when there is none to be had. */
export function whenTokenIsNeeded(asks) {
  askForToken = asks;
}

export function hasToken() {
  return token.value !== null;
}

/** Whether a token is still there when the page is loaded again. */
export function tokenLasts() {
  return token.lasts;
}

/** Keeps a token for as long as this tab is open; null forgets it. */
export function keepToken(given) {
  token.keep(given);
}

/** Signals that end a sending after so many milliseconds. */
export function within(milliseconds) {
  return () => AbortSignal.timeout(milliseconds);
}

/**
 * Sends a request, and gives the response if it is a good one. Throws `Refused`, or what `fetch` throws when nobody answers.
 *
 * `signal` is asked for the signal that ends it, each time that it is sent: while somebody looks for a token no time passes for a request.
 */
export async function ask(path, { method = 'GET', body, headers = {}, signal } = {}) {
  for (;;) {
    const shown = token.value;
    const all = { ...headers };
    if (shown !== null) all.authorization = `Bearer ${shown}`;
    if (body !== undefined) all['content-type'] = 'application/json';
    const response = await fetch(path, {
      method,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal?.(),
      cache: 'no-store',
      // A certificate of the client is a credential, too: without it a gateway that asks for one could not be asked from its own page.
      credentials: 'same-origin',
      redirect: 'error',
    });
    if (response.ok || response.status === 304) return response;
    const problem = await problemOf(response);
    if (response.status !== 401) throw new Refused(response.status, problem);
    // Somebody may have given another one while this was on its way.
    if (token.value !== shown) continue;
    const given = askForToken === null ? null : await askForToken(problem);
    if (given === null) throw new Refused(response.status, problem);
  }
}

/** Sends a request and gives the JSON of the answer. */
export async function json(path, options) {
  return (await ask(path, options)).json();
}

/** An answer that is asked for again and again, and sent only when it is another one than before. */
export class Again {
  #path;
  #tag = null;
  #document = null;

  constructor(path) {
    this.#path = path;
  }

  /** The JSON of the answer; the same object as before while that is the same. */
  async json(options) {
    const headers = this.#tag === null ? {} : { 'if-none-match': this.#tag };
    const response = await ask(this.#path, { ...options, headers });
    if (response.status === 304) return this.#document;
    const document = await response.json();
    this.#tag = response.headers.get('etag');
    this.#document = document;
    return document;
  }
}

/** Where a service is, and where an instance of it. Relative to the page: it may be behind a prefix. */
export function servicePath(service) {
  return `v1/services/${encodeURIComponent(service)}`;
}

export function instancePath(service, id) {
  return `${servicePath(service)}/instances/${encodeURIComponent(id)}`;
}

/** Why a request failed, for people. */
export function reason(error) {
  if (error instanceof Refused) return error.message;
  if (error.name === 'TimeoutError') return 'the gateway did not answer in time';
  return 'the gateway cannot be reached';
}

async function problemOf(response) {
  const unknown = { title: `the gateway answered ${response.status}` };
  try {
    const problem = await response.json();
    return typeof problem.title === 'string' ? problem : unknown;
  } catch {
    return unknown;
  }
}
