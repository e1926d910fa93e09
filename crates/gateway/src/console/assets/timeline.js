// What happened since the page was opened, the newest first.

import { element } from './dom.js';
import { address, clock, count, soMany, span } from './words.js';

const MARKS = { came: '+', went: '−', weight: '↕', data: '✎', master: '★', 'no-master': '☆', source: '⇄', lost: '✕', back: '✓', away: '…' };

const MANY = { came: 'came', went: 'went', weight: 'changed weight', data: 'changed their data' };

/** A change in words. */
export function told(change) {
  const { kind, id, was, is } = change;
  if (change.many !== undefined) return `${soMany(change.many, 'instance')} ${MANY[kind]}: ${change.ids.join(', ')}, …`;
  switch (kind) {
    case 'came':
      return `${id} came, with weight ${count(is.weight)}`;
    case 'went':
      return `${id} went`;
    case 'weight':
      if (is.weight === 0) return `${id} is drained; its weight was ${count(was.weight)}`;
      return `${id} has weight ${count(is.weight)}, after ${count(was.weight)}`;
    case 'data':
      return address(was) === address(is) ? `${id} says something else of itself` : `${id} moved to ${address(is)}`;
    case 'master':
      return `${is.id} leads, with term ${is.term}${was === null ? '' : `, after ${was.id}`}`;
    case 'no-master':
      return `nobody leads; ${was.id} did`;
    case 'source':
      return is === 'live' ? 'the list is live again' : 'ZooKeeper is away: the list is the last that was known';
    case 'lost':
      return `no updates any more: ${change.reason}`;
    case 'back':
      return `updates come again, after ${span(change.after)}`;
    case 'away':
      return `not watched for ${span(change.after)}, while another service was shown`;
    default:
      return kind;
  }
}

export class Timeline {
  #list;
  #entries = null;
  #newest = null;

  constructor(list) {
    this.#list = list;
  }

  /** Shows these entries; the same list again, with more in front, is cheap. */
  show(entries) {
    const known = this.#entries === entries && this.#newest !== null ? entries.indexOf(this.#newest) : -1;
    if (known === -1) this.#list.replaceChildren(...entries.map(line));
    else this.#list.prepend(...entries.slice(0, known).map(line));
    while (this.#list.children.length > Math.max(1, entries.length)) this.#list.lastChild.remove();
    if (entries.length === 0) this.#list.replaceChildren(element('li', { class: 'none' }, 'Nothing has happened yet.'));
    this.#entries = entries;
    this.#newest = entries[0] ?? null;
  }
}

function line({ at, change }) {
  return element(
    'li',
    { class: change.kind },
    element('time', { datetime: new Date(at).toISOString() }, clock(at)),
    element('span', { class: 'mark', 'aria-hidden': 'true' }, MARKS[change.kind] ?? '·'),
    element('span', { class: 'told' }, told(change)),
  );
}
