// All services with how many instances each has, asked for again and again while somebody looks.

import { Again, reason, within } from './api.js';
import { byId, element, say, show } from './dom.js';
import { count, soMany, when } from './words.js';

const EVERY = 2000;
const IN_TIME = 8000;

/** More than these are found by the filter. */
const MOST = 500;

export class Services {
  #list = byId('services-list');
  #filter = byId('services-filter');
  #note = byId('services-note');
  #source = byId('services-source');
  #answer = new Again('v1/services');
  #document = null;
  #failed = null;
  #chosen = null;
  #items = new Map();
  #timer = null;
  #asking = false;

  constructor() {
    this.#filter.addEventListener('input', () => this.#draw());
    this.#filter.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || this.#filter.value === '') return;
      this.#filter.value = '';
      this.#draw();
    });
    const nav = this.#list.closest('nav');
    nav.addEventListener('keydown', (event) => this.#key(event));
    document.addEventListener('visibilitychange', () => this.ask());
    this.ask();
  }

  /** Marks the service that is shown. */
  choose(name) {
    this.#chosen = name;
    this.#draw();
  }

  /** Goes to this service, or where one looks for it. */
  focus(name) {
    const item = this.#items.get(name);
    (item?.link ?? this.#filter).focus();
  }

  focusFilter() {
    this.#filter.focus();
    this.#filter.select();
  }

  /** Asks now, and again in a while. Nobody is asked for a page that nobody sees. */
  async ask() {
    if (this.#asking) return;
    clearTimeout(this.#timer);
    if (document.hidden) return;
    this.#asking = true;
    try {
      this.#document = await this.#answer.json({ signal: within(IN_TIME) });
      this.#failed = null;
    } catch (error) {
      this.#failed = { since: this.#failed?.since ?? Date.now(), reason: reason(error) };
    }
    this.#asking = false;
    this.#draw();
    this.#timer = setTimeout(() => this.ask(), EVERY);
  }

  #draw() {
    const services = this.#document?.services ?? [];
    const wanted = this.#filter.value.trim().toLowerCase();
    const found = services.filter(({ name }) => name.toLowerCase().includes(wanted));
    const shown = found.slice(0, MOST);
    const names = new Set(shown.map(({ name }) => name));
    for (const [name, item] of this.#items) {
      if (names.has(name)) continue;
      item.place.remove();
      this.#items.delete(name);
    }
    shown.forEach(({ name, instances }, at) => {
      const item = this.#item(name);
      const isTold = instances !== null;
      say(item.count, isTold ? count(instances) : '–');
      item.count.title = isTold ? '' : 'ZooKeeper does not tell';
      item.place.classList.toggle('nobody', instances === 0);
      if (name === this.#chosen) item.link.setAttribute('aria-current', 'page');
      else item.link.removeAttribute('aria-current');
      // Moved only when it has to be: the focus stays where it is.
      if (this.#list.children[at] !== item.place) this.#list.insertBefore(item.place, this.#list.children[at] ?? null);
    });
    say(byId('services-count'), this.#document === null ? '' : count(services.length));
    this.#tellSource();
    this.#tellNote(services, found);
  }

  #item(name) {
    const known = this.#items.get(name);
    if (known !== undefined) return known;
    const number = element('span', { class: 'number' });
    const link = element('a', { href: `#/service/${encodeURIComponent(name)}`, title: name }, element('span', { class: 'name' }, name), number);
    const item = { place: element('li', {}, link), link, count: number };
    this.#items.set(name, item);
    return item;
  }

  #tellSource() {
    const { source, stale_since: stale } = this.#document ?? {};
    let [kind, words] = ['', ''];
    if (this.#failed !== null) [kind, words] = ['lost', `not updated since ${when(this.#failed.since)}`];
    else if (source === 'live') [kind, words] = ['live', 'live'];
    else if (source === 'unknown') [kind, words] = ['stale', 'there may be others'];
    else if (source !== undefined) [kind, words] = ['stale', stale === undefined ? 'stale' : `stale since ${when(stale)}`];
    this.#source.className = `pill ${kind}`;
    say(this.#source, words);
  }

  #tellNote(services, found) {
    let words = '';
    if (this.#failed !== null) words = `${this.#failed.reason}.`;
    else if (this.#document === null) words = 'Asking …';
    else if (services.length === 0) words = 'Nobody has registered yet.';
    else if (found.length === 0) words = 'No service has such a name.';
    else if (found.length > MOST) words = `${soMany(found.length - MOST, 'more service')}: filter to see them.`;
    show(this.#note, words !== '');
    say(this.#note, words);
  }

  #key(event) {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    const stops = [this.#filter, ...this.#list.querySelectorAll('a')];
    const at = stops.indexOf(document.activeElement);
    const next = stops[at + (event.key === 'ArrowDown' ? 1 : -1)];
    if (at === -1 || next === undefined) return;
    next.focus();
    event.preventDefault();
  }
}
