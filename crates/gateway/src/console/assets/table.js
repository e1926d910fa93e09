// The instances as a table. However many there are, only the rows in sight are in the page.

import { element, say, show } from './dom.js';
import { ALIKE, count, percent, span } from './words.js';
import { natural } from './state.js';

/** The height of a row, in pixels. */
const ROW = 32;

/** So many rows are kept above and below those in sight. */
const BEYOND = 8;

/** For so long a row shows that it has changed, in milliseconds. */
const FRESH = 3000;

/** The columns: how each is sorted, and what stands in it. `some` tells whether any row has something to show there. */
const COLUMNS = [
  { name: 'id', title: 'Instance', key: (row) => row.order, text: (row) => row.id },
  { name: 'address', title: 'Address', key: (row) => natural(row.address), text: (row) => row.address, some: (row) => row.address !== '' && row.address !== row.id },
  { name: 'code', title: 'Code', key: (row) => natural(row.code), text: (row) => row.code, some: (row) => row.code !== '' },
  { name: 'weight', title: 'Weight', key: (row) => row.weight, text: (row) => count(row.weight), number: true },
  { name: 'share', title: 'Share', about: `By weight, as weight-round-robin and weight-random pick; ${ALIKE}`, key: (row) => row.share, text: (row) => (row.weight === 0 ? 'drained' : percent(row.share)), number: true },
  { name: 'zone', title: 'Zone', key: (row) => natural(row.zone), text: (row) => row.zone, some: (row) => row.zone !== '' },
  { name: 'age', title: 'Age', about: 'Since it was first registered', key: (row) => -row.registered, text: (row, now) => (row.registered > 0 ? span(now - row.registered) : '–'), number: true },
  { name: 'metadata', title: 'Metadata', key: (row) => row.others, text: (row) => row.others, some: (row) => row.others !== '' },
];

export class Table {
  #scroll;
  #table;
  #body;
  #above = element('td');
  #below = element('td');
  #pool = [];
  #empty;
  #onOpen;
  #rows = [];
  /** Whether anything is known: no rows are nobody only then. */
  #isKnown = false;
  #shown = [];
  #query = '';
  #sort = { column: COLUMNS[0], down: false };
  #active = null;
  /** Where a button of the mouse went down, and who stood there then. */
  #pressed = null;
  #asked = false;
  /** The largest share; null where all who are picked have the same. */
  #largest = null;

  /** `onOpen` gets the row that somebody chose. */
  constructor(place, { onOpen }) {
    this.#scroll = place;
    this.#onOpen = onOpen;
    const heads = COLUMNS.map((column, at) => this.#head(column, at));
    this.#body = element('tbody', { role: 'rowgroup' });
    this.#table = element(
      'table',
      { role: 'grid', tabindex: '0', 'aria-label': 'Instances', 'aria-colcount': COLUMNS.length, 'aria-keyshortcuts': 'ArrowUp ArrowDown Enter' },
      element('thead', { role: 'rowgroup' }, element('tr', { role: 'row', 'aria-rowindex': 1 }, ...heads)),
      this.#body,
    );
    this.#empty = element('p', { class: 'empty', hidden: true });
    place.append(this.#table, this.#empty);
    place.style.setProperty('--row', `${ROW}px`);
    place.addEventListener('scroll', () => this.#ask(), { passive: true });
    new ResizeObserver(() => this.#ask()).observe(place);
    this.#table.addEventListener('keydown', (event) => this.#key(event));
    this.#table.addEventListener('focus', () => {
      // Who was chosen may not be among those that are searched for.
      if (!this.#shown.some((row) => row.id === this.#active)) this.#activate(0, false);
    });
    this.#body.addEventListener('pointerdown', (event) => {
      const line = event.target.closest('tr[data-id]');
      this.#pressed = line === null ? null : { line, id: line.dataset.id };
    });
    this.#body.addEventListener('click', (event) => this.#click(event));
  }

  /** Shows these rows from now on, none while nothing is known. */
  show(rows, isKnown) {
    this.#rows = rows;
    this.#isKnown = isKnown;
    const shares = rows.map((row) => row.share).filter((share) => share > 0);
    const largest = shares.reduce((a, b) => Math.max(a, b), 0);
    this.#largest = shares.every((share) => share === largest) ? null : largest;
    this.#arrange();
  }

  /** Shows only what has all words of the query. Gives how many those are. */
  search(query) {
    this.#query = query.trim().toLowerCase();
    this.#scroll.scrollTop = 0;
    this.#arrange();
  }

  /** How many are shown, and of how many. */
  get matches() {
    return { shown: this.#shown.length, all: this.#rows.length };
  }

  /** Another service: nothing is chosen, and the top is seen. */
  reset() {
    this.#active = null;
    this.#scroll.scrollTop = 0;
  }

  focus() {
    this.#table.focus();
  }

  /** Ages and what is fresh change by themselves. */
  tick() {
    this.#ask();
  }

  #head(column, at) {
    const button = element('button', { type: 'button', title: column.about }, column.title);
    button.addEventListener('click', () => {
      const down = this.#sort.column === column ? !this.#sort.down : false;
      this.#sort = { column, down };
      this.#arrange();
    });
    const kind = `${column.name}${column.number ? ' number' : ''}`;
    column.head = element('th', { role: 'columnheader', scope: 'col', 'aria-colindex': at + 1, class: kind }, button);
    return column.head;
  }

  #arrange() {
    const words = this.#query.split(/\s+/).filter((word) => word !== '');
    const found = this.#rows.filter((row) => words.every((word) => row.text.includes(word)));
    const { column, down } = this.#sort;
    const keyed = found.map((row) => ({ row, key: column.key(row) }));
    const way = down ? -1 : 1;
    keyed.sort((a, b) => {
      if (a.key !== b.key) return a.key < b.key ? -way : way;
      return a.row.order < b.row.order ? -1 : 1;
    });
    this.#shown = keyed.map(({ row }) => row);
    for (const one of COLUMNS) {
      const hidden = one.some !== undefined && !this.#rows.some(one.some);
      this.#table.classList.toggle(`no-${one.name}`, hidden);
      one.head.setAttribute('aria-sort', one !== column ? 'none' : down ? 'descending' : 'ascending');
    }
    this.#table.setAttribute('aria-rowcount', this.#shown.length + 1);
    show(this.#empty, this.#shown.length === 0);
    say(this.#empty, this.#whyEmpty());
    this.#ask();
  }

  #whyEmpty() {
    if (!this.#isKnown) return 'Not known yet.';
    return this.#rows.length === 0 ? 'Nobody is registered.' : 'No instance matches the search.';
  }

  /** Draws before the browser paints the next time, once however often it is asked. */
  #ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  #draw() {
    const all = this.#shown.length;
    const top = Math.floor(this.#scroll.scrollTop / ROW) - BEYOND;
    const room = Math.ceil(this.#scroll.clientHeight / ROW) + 2 * BEYOND;
    const first = Math.max(0, Math.min(top, all - room));
    const end = Math.min(all, first + room);
    this.#above.style.height = `${first * ROW}px`;
    this.#below.style.height = `${(all - end) * ROW}px`;
    const now = Date.now();
    const most = this.#largest;
    const drawn = [];
    let active = null;
    for (let at = first; at < end; at += 1) {
      const line = (this.#pool[at - first] ??= new Line());
      const row = this.#shown[at];
      const isActive = row.id === this.#active;
      line.fill(row, at, isActive, now, most);
      if (isActive) active = line.element.id;
      drawn.push(line.element);
    }
    const wanted = [this.#gap(this.#above, first), ...drawn, this.#gap(this.#below, all - end)].filter(Boolean);
    // What stays is left where it is: a row that is taken out and put back is not clicked any more.
    const there = this.#body.children;
    const stay = new Set(wanted);
    for (const row of [...there]) if (!stay.has(row)) row.remove();
    wanted.forEach((row, at) => there[at] === row || this.#body.insertBefore(row, there[at] ?? null));
    if (active === null) this.#table.removeAttribute('aria-activedescendant');
    else this.#table.setAttribute('aria-activedescendant', active);
  }

  #gap(cell, rows) {
    if (rows === 0) return null;
    return cell.parentElement ?? element('tr', { class: 'gap', 'aria-hidden': 'true' }, cell);
  }

  #activate(at, opens) {
    const row = this.#shown[Math.max(0, Math.min(at, this.#shown.length - 1))];
    if (row === undefined) return;
    this.#active = row.id;
    this.#reveal(this.#shown.indexOf(row));
    this.#ask();
    if (opens) this.#onOpen(row);
  }

  #reveal(at) {
    const head = this.#table.tHead.offsetHeight;
    const top = at * ROW;
    const height = this.#scroll.clientHeight - head;
    if (top < this.#scroll.scrollTop) this.#scroll.scrollTop = top;
    else if (top + ROW > this.#scroll.scrollTop + height) this.#scroll.scrollTop = top + ROW - height;
  }

  #key(event) {
    if (event.target !== this.#table || event.altKey || event.ctrlKey || event.metaKey) return;
    const at = this.#shown.findIndex((row) => row.id === this.#active);
    const page = Math.max(1, Math.floor(this.#scroll.clientHeight / ROW) - 2);
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.#shown.length - 1 };
    if (event.key in moves) this.#activate(moves[event.key], false);
    else if ((event.key === 'Enter' || event.key === ' ') && at !== -1) this.#activate(at, true);
    else return;
    event.preventDefault();
  }

  #click(event) {
    const line = event.target.closest('tr[data-id]');
    // Somebody who marks text to copy it opens nothing.
    if (line === null || !getSelection().isCollapsed) return;
    // Who is where may have changed since that was drawn, and who is drawn there since the button went down.
    const isPressed = event.detail > 0 && this.#pressed?.line === line;
    const id = isPressed ? this.#pressed.id : line.dataset.id;
    const at = this.#shown.findIndex((row) => row.id === id);
    if (at !== -1) this.#activate(at, true);
  }
}

/** A row of the page, filled again and again. */
class Line {
  constructor() {
    this.cells = COLUMNS.map((column, at) => {
      const text = element('span', { class: 'text' });
      const cell = element('td', { role: 'gridcell', 'aria-colindex': at + 1, class: `${column.name}${column.number ? ' number' : ''}` }, text);
      return { column, cell, text };
    });
    this.badge = element('span', { class: 'badge', hidden: true }, 'master');
    this.cells[0].cell.prepend(this.badge);
    this.bar = element('span', { class: 'bar', 'aria-hidden': 'true' });
    this.cells.find(({ column }) => column.name === 'share').cell.prepend(this.bar);
    this.element = element('tr', { role: 'row' }, ...this.cells.map(({ cell }) => cell));
  }

  fill(row, at, isActive, now, most) {
    const { element: line } = this;
    if (line.dataset.at !== String(at)) {
      line.dataset.at = at;
      line.id = `row-${at}`;
      line.setAttribute('aria-rowindex', at + 2);
    }
    if (line.dataset.id !== row.id) line.dataset.id = row.id;
    for (const { column, cell, text } of this.cells) {
      const words = column.text(row, now);
      if (text.textContent === words) continue;
      text.textContent = words;
      cell.title = words;
    }
    show(this.badge, row.isMaster);
    // Beside the largest; where all are alike it would say nothing.
    this.bar.style.inlineSize = `${most === null ? 0 : Math.round((row.share / most) * 100)}%`;
    line.classList.toggle('active', isActive);
    line.setAttribute('aria-selected', isActive);
    line.classList.toggle('drained', row.weight === 0);
    line.classList.toggle('fresh', now - row.changedAt < FRESH);
  }
}
