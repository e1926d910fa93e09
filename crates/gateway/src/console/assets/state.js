// What is known of one service: its rows, and what happened to it since the page was opened.

import { knowsMaster, ofInstances, ofService, same } from './changes.js';
import { address } from './words.js';

/** How far back charts go. */
export const WINDOW = 10 * 60 * 1000;

/** What the timeline keeps. */
const MOST_ENTRIES = 400;

/** The most points that a chart gets in a second; who comes and goes at once is still seen. */
const MOST_A_SECOND = 8;

/** An instance as the table has it. What is costly to make is made once, for as long as the instance stays the same. */
class Row {
  constructor(instance, changedAt) {
    this.instance = instance;
    this.id = instance.id;
    this.address = address(instance);
    this.code = instance.server_unique_code ?? '';
    this.weight = instance.weight;
    this.registered = instance.registered_at ?? 0;
    const { zone, ...others } = instance.metadata;
    this.zone = zone ?? '';
    this.others = Object.entries(others)
      .map(([key, value]) => `${key}=${value}`)
      .sort()
      .join('  ');
    this.isMaster = false;
    this.share = 0;
    this.changedAt = changedAt;
    // So that 10.0.0.10 comes behind 10.0.0.9.
    this.order = natural(this.id);
  }

  /** All that is searched, in small letters. */
  get text() {
    this.searched ??= [this.id, this.address, this.code, `zone=${this.zone}`, this.others].join('\n').toLowerCase();
    return this.searched;
  }
}

/** A key that sorts the numbers in a text as numbers. */
export function natural(text) {
  return text.replace(/\d+/g, (digits) => digits.padStart(12, '0'));
}

/**
 * Who gets requests that anybody may answer: all that have a weight. A master that is spared gets them only when nobody else does.
 * `weightOf` tells the weight of each.
 */
export function candidates({ rows, sparesMaster }, weightOf = ({ weight }) => weight) {
  const able = rows.filter((row) => weightOf(row) > 0);
  const others = sparesMaster ? able.filter((row) => !row.isMaster) : able;
  return others.length > 0 ? others : able;
}

export class Service {
  constructor(name) {
    this.name = name;
    this.document = null;
    this.byId = new Map();
    this.rows = [];
    this.sparesMaster = false;
    this.weight = 0;
    this.drained = 0;
    /** The newest first: { at, change } with a change, or several of one kind. */
    this.entries = [];
    /** How many instances there were: { at, value }. */
    this.counts = [];
    /** How many changes came: { at, value }. */
    this.news = [];
    /** When nothing was known: { at, until }, the latest last; until null while that goes on. */
    this.gaps = [];
    /** Who led when that was known the last time. */
    this.led = undefined;
    /** What the gateway has accepted and not done yet: by id, how one tells from the row that it is over. */
    this.accepted = new Map();
  }

  /** Takes the state that came. Gives what changed; nothing the first time. */
  take(document, now) {
    const before = this.document;
    const isFirst = before === null;
    const changes = isFirst
      ? []
      : [...ofService(before, document, this.led), ...ofInstances(this.byId, document.instances)];
    this.document = document;
    if (knowsMaster(document)) this.led = document.master;
    this.#arrange(isFirst ? 0 : now);
    this.regain(now);
    this.#count(now, changes.length);
    for (const entry of gathered(changes)) this.note(entry, now);
    return changes;
  }

  /** Writes something into the timeline. */
  note(change, at) {
    this.entries.unshift({ at, change });
    if (this.entries.length > MOST_ENTRIES) this.entries.length = MOST_ENTRIES;
  }

  /** From this moment on nothing is known of it. */
  lose(at) {
    if (this.document === null || this.gaps.at(-1)?.until === null) return;
    this.gaps.push({ at, until: null });
  }

  /** What is known is so again. */
  regain(now) {
    const last = this.gaps.at(-1);
    if (last?.until === null) last.until = now;
  }

  /** Since when nothing is known of it; null while it is, and before anything was. */
  get unknownSince() {
    const last = this.gaps.at(-1);
    return last?.until === null ? last.at : null;
  }

  #arrange(now) {
    const byId = new Map();
    let weight = 0;
    let drained = 0;
    for (const instance of this.document.instances) {
      const known = this.byId.get(instance.id);
      const row = known !== undefined && same(known.instance, instance) ? known : new Row(instance, now);
      byId.set(instance.id, row);
      weight += row.weight;
      if (row.weight === 0) drained += 1;
    }
    const rows = [...byId.values()];
    const master = this.document.master;
    for (const row of rows) {
      row.share = 0;
      row.isMaster = master !== null && leads(master, row);
    }
    Object.assign(this, { byId, rows, weight, drained, sparesMaster: this.document.master_is_spared === true });
    const picked = candidates(this);
    const total = picked.reduce((sum, row) => sum + row.weight, 0);
    // As algorithms pick that look at weights.
    for (const row of picked) row.share = row.weight / total;
    for (const [id, isOver] of this.accepted) {
      const row = byId.get(id);
      if (row === undefined || isOver(row)) this.accepted.delete(id);
    }
  }

  #count(now, changes) {
    // A service may change many times in a second, and all points are gone through whenever they are drawn.
    const isFull = (points) => points.at(-MOST_A_SECOND)?.at > now - 1000;
    const many = this.rows.length;
    if (isFull(this.counts)) this.counts.at(-1).value = many;
    else if (this.counts.at(-1)?.value !== many) this.counts.push({ at: now, value: many });
    if (changes > 0 && isFull(this.news)) this.news.at(-1).value += changes;
    else if (changes > 0) this.news.push({ at: now, value: changes });
    // One before the window is kept: it tells where the line begins.
    while (this.counts.length > 1 && this.counts[1].at < now - WINDOW) this.counts.shift();
    while (this.gaps.length > 0 && this.gaps[0].until !== null && this.gaps[0].until < now - WINDOW) this.gaps.shift();
    while (this.news.length > 0 && this.news[0].at < now - WINDOW - 60000) this.news.shift();
  }
}

/** Whether a row is the one that leads: the same id, or, where it stands under another one, the same address and code. */
function leads(master, row) {
  if (master.id === row.id) return true;
  if (master.data === undefined) return false;
  const where = address(master.data);
  const code = master.data.server_unique_code ?? '';
  return (where !== '' || code !== '') && where === row.address && code === row.code;
}

/** Many changes of one kind at once are one entry. */
function gathered(changes) {
  const kinds = Map.groupBy(changes, (change) => change.kind);
  return [...kinds.values()].flatMap((alike) =>
    alike.length > 6 ? [{ kind: alike[0].kind, many: alike.length, ids: alike.slice(0, 3).map(({ id }) => id) }] : alike,
  );
}
