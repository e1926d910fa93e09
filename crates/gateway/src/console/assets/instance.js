// One instance, beside the list: all that it says of itself, and what can be done with it.

import { instancePath, json, reason } from './api.js';
import { confirm, isWeight } from './dialog.js';
import { byId, element, say } from './dom.js';
import { count, moment, percent, soMany, span, when } from './words.js';

export class Sheet {
  #dialog = byId('instance');
  #body = byId('instance-body');
  #actions = byId('instance-actions');
  #model = null;
  #id = null;
  #row = null;
  #gone = null;
  #held = 'asking …';
  #told = null;

  constructor() {
    byId('instance-close').addEventListener('click', () => this.#dialog.close());
    this.#dialog.addEventListener('click', (event) => {
      // Only the backdrop belongs to the dialog itself.
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.#dialog.addEventListener('close', () => {
      this.#id = null;
    });
  }

  open(model, row) {
    this.#model = model;
    this.#id = row.id;
    this.#row = row;
    this.#gone = null;
    this.#held = 'asking …';
    say(byId('instance-title'), row.id);
    this.#draw();
    this.#drawActions();
    this.#dialog.showModal();
    this.#askWhoHoldsIt();
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  /** Another state of the service came. */
  refresh() {
    if (this.#id === null) return;
    const row = this.#model.byId.get(this.#id);
    if (row === undefined) this.#gone ??= Date.now();
    else {
      this.#gone = null;
      if (row.weight === 0 !== (this.#row.weight === 0)) {
        this.#row = row;
        this.#drawActions();
      }
      this.#row = row;
    }
    this.#draw();
  }

  async #askWhoHoldsIt() {
    const id = this.#id;
    let held;
    try {
      const { ours, ends } = await json(instancePath(this.#model.name, id));
      held = ours
        ? `this gateway, for a program that renews it; the next time by ${moment(ends)}`
        : 'somebody else, in ZooKeeper; this gateway cannot change it';
    } catch (error) {
      held = `not known: ${reason(error)}`;
    }
    if (this.#id !== id) return;
    this.#held = held;
    this.#draw();
  }

  #draw() {
    const row = this.#row;
    const now = Date.now();
    const facts = [
      ['Address', row.address || 'none'],
      ['Unique code', row.code || 'none'],
      ['Weight', row.weight === 0 ? '0: drained, it is not picked' : count(row.weight)],
      ['Share of picks', `${percent(row.share)} by weight`],
      ['Registered', row.registered > 0 ? `${moment(row.registered)}, ${span(now - row.registered)} ago` : 'not known'],
      ['Master', row.isMaster ? `yes, with term ${this.#model.document.master.term}` : 'no'],
      ['Registered by', this.#held],
    ];
    const metadata = Object.entries(row.instance.metadata).sort(([a], [b]) => (a < b ? -1 : 1));
    // What somebody marks to copy it stays, as long as it says the same.
    const told = JSON.stringify([this.#gone, facts, metadata]);
    if (told === this.#told) return;
    this.#told = told;
    this.#body.replaceChildren(
      ...(this.#gone === null ? [] : [element('p', { class: 'problem' }, `It is not registered any more, since ${when(this.#gone)}.`)]),
      list(facts),
      element('h3', {}, 'Metadata'),
      metadata.length > 0 ? list(metadata) : element('p', { class: 'note' }, 'None.'),
    );
  }

  #drawActions() {
    const drained = this.#row.weight === 0;
    const drain = element('button', { type: 'button', class: drained ? undefined : 'danger' }, drained ? 'Undo drain …' : 'Drain …');
    drain.addEventListener('click', () => (drained ? this.#undrain() : this.#drain()));
    const weight = element('button', { type: 'button' }, 'Change weight …');
    weight.addEventListener('click', () => this.#weigh());
    this.#actions.replaceChildren(drain, weight);
  }

  #drain() {
    confirm({
      title: `Drain ${this.#id}?`,
      text: 'It stays registered and is picked no more. Requests that run are not touched. Its weight is remembered.',
      yes: 'Drain',
      effect: () => this.#afterWeight(0),
      act: () => this.#change({ drain: true }),
    });
  }

  #undrain() {
    confirm({
      title: `Let ${this.#id} be picked again?`,
      text: 'It has the weight again that it had before it was drained.',
      yes: 'Undo drain',
      effect: () => '',
      act: () => this.#change({ drain: false }),
    });
  }

  #weigh() {
    confirm({
      title: `Change the weight of ${this.#id}?`,
      text: `It is ${count(this.#row.weight)} now. 0 drains it.`,
      yes: 'Change weight',
      weight: this.#row.weight,
      effect: (weight) => (isWeight(weight) ? this.#afterWeight(weight) : ''),
      act: (weight) => this.#change({ weight }),
    });
  }

  /** What the shares would be. */
  #afterWeight(weight) {
    const { rows, weight: all } = this.#model;
    const total = all - this.#row.weight + weight;
    if (total === 0) return 'Nobody would be left to pick.';
    const others = rows.filter((row) => row.weight > 0 && row.id !== this.#id).length;
    const [was, is] = [percent(this.#row.share), percent(weight / total)];
    const them = others === 1 ? 'the only other one' : `the ${soMany(others, 'other')}`;
    if (weight === 0) return `Its share of ${was} goes to ${them}.`;
    return `Its share goes from ${was} to ${is}; ${others === 0 ? 'nobody else is picked' : `the rest goes to ${them}`}.`;
  }

  #change(body) {
    const path = instancePath(this.#model.name, this.#id);
    return json(path, { method: 'PATCH', body, signal: AbortSignal.timeout(10000) });
  }
}

function list(pairs) {
  return element('dl', { class: 'pairs' }, ...pairs.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))));
}
