// One instance, beside the list: all that it says of itself, and what can be done with it.

import { instancePath, json, reason } from './api.js';
import { confirm, dismiss, isWeight } from './dialog.js';
import { byId, element, say } from './dom.js';
import { candidates } from './state.js';
import { count, moment, percent, soMany, span, when } from './words.js';

/** How long the gateway may take to tell who holds an instance. */
const IN_TIME = 8000;

const HELD_ELSEWHERE = 'Registered by somebody else, in ZooKeeper: this gateway changes only what programs have registered with it.';

export class Sheet {
  #dialog = byId('instance');
  #body = byId('instance-body');
  #actions = byId('instance-actions');
  /** What is shown: the model of its service, and its id. */
  #shown = null;
  #row = null;
  #gone = null;
  #held = 'asking …';
  /** Whether this gateway can change it; null while that is not known. */
  #ours = null;
  #asking = false;
  #told = null;

  constructor() {
    byId('instance-close').addEventListener('click', () => this.close());
    this.#dialog.addEventListener('click', (event) => {
      // Only the backdrop belongs to the dialog itself.
      if (event.target === this.#dialog) this.close();
    });
    this.#dialog.addEventListener('close', () => {
      // It comes late: another one may be shown by then.
      if (!this.#dialog.open) this.#shown = null;
    });
  }

  open(model, row) {
    this.#shown = { model, id: row.id };
    this.#row = row;
    this.#gone = null;
    this.#held = 'asking …';
    this.#ours = null;
    this.#asking = true;
    say(byId('instance-title'), row.id);
    this.#draw();
    this.#drawActions();
    this.#dialog.showModal();
    this.#askWhoHoldsIt();
  }

  /** Closes it, and the question about it that nobody has answered. */
  close() {
    dismiss();
    this.#shown = null;
    if (this.#dialog.open) this.#dialog.close();
  }

  /** Another state of the service came. */
  refresh() {
    if (this.#shown === null) return;
    const row = this.#shown.model.byId.get(this.#shown.id);
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
    const asked = this.#shown;
    let held;
    let isOurs = null;
    try {
      const { ours, ends } = await json(instancePath(asked.model.name, asked.id), { signal: AbortSignal.timeout(IN_TIME) });
      isOurs = ours;
      held = ours
        ? `this gateway, for a program that renews it; the next time by ${moment(ends)}`
        : 'somebody else, in ZooKeeper; this gateway cannot change it';
    } catch (error) {
      held = `not known: ${reason(error)}`;
    }
    if (this.#shown !== asked) return;
    this.#held = held;
    this.#ours = isOurs;
    this.#asking = false;
    this.#draw();
    this.#drawActions();
  }

  #draw() {
    const row = this.#row;
    const now = Date.now();
    // Who is gone leads no more, and nobody may lead at all.
    const { master } = this.#shown.model.document;
    const leads = row.isMaster && this.#gone === null && master !== null;
    const spared = row.share === 0 && row.weight > 0;
    const facts = [
      ['Address', row.address || 'none'],
      ['Unique code', row.code || 'none'],
      ['Weight', row.weight === 0 ? '0: drained, it is not picked' : count(row.weight)],
      ['Share of picks', spared ? 'none: it is the master, and others take them' : `${percent(row.share)} by weight`],
      ['Registered', row.registered > 0 ? `${moment(row.registered)}, ${span(now - row.registered)} ago` : 'not known'],
      ['Master', leads ? `yes, with term ${master.term}` : 'no'],
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
    const disabled = this.#asking || this.#ours === false;
    const drain = element('button', { type: 'button', disabled, class: drained ? undefined : 'danger' }, drained ? 'Undo drain …' : 'Drain …');
    drain.addEventListener('click', () => (drained ? this.#undrain() : this.#drain()));
    const weight = element('button', { type: 'button', disabled }, 'Change weight …');
    weight.addEventListener('click', () => this.#weigh());
    const why = this.#ours === false ? element('p', { class: 'note' }, HELD_ELSEWHERE) : undefined;
    this.#actions.replaceChildren(drain, weight, ...(why === undefined ? [] : [why]));
  }

  // A question is about what was shown when it was asked, whatever is shown when it is answered.

  #drain() {
    const asked = this.#shown;
    confirm({
      title: `Drain ${asked.id}?`,
      text: 'It stays registered and is picked no more. Requests that run are not touched. Its weight is remembered.',
      yes: 'Drain',
      effect: () => afterWeight(asked, this.#row, 0),
      act: () => change(asked, { drain: true }),
    });
  }

  #undrain() {
    const asked = this.#shown;
    confirm({
      title: `Let ${asked.id} be picked again?`,
      text: 'It has the weight again that it had before it was drained.',
      yes: 'Undo drain',
      effect: () => '',
      act: () => change(asked, { drain: false }),
    });
  }

  #weigh() {
    const asked = this.#shown;
    confirm({
      title: `Change the weight of ${asked.id}?`,
      text: `It is ${count(this.#row.weight)} now. 0 drains it.`,
      yes: 'Change weight',
      weight: this.#row.weight,
      effect: (weight) => (isWeight(weight) ? afterWeight(asked, this.#row, weight) : ''),
      act: (weight) => change(asked, { weight }),
    });
  }
}

/** What the shares would be if one had another weight. */
function afterWeight({ model, id }, row, weight) {
  const weightOf = (other) => (other.id === id ? weight : other.weight);
  const picked = candidates(model, weightOf);
  if (picked.length === 0) return 'Nobody would be left to pick.';
  const total = picked.reduce((sum, other) => sum + weightOf(other), 0);
  const isPicked = picked.some((other) => other.id === id);
  if (!isPicked && row.share === 0) return 'It gets no requests now, and none then.';
  const others = picked.length - (isPicked ? 1 : 0);
  const [was, is] = [percent(row.share), percent(isPicked ? weight / total : 0)];
  const them = others === 1 ? 'the only other one' : `the ${soMany(others, 'other')}`;
  if (!isPicked) return `Its share of ${was} goes to ${them}.`;
  return `Its share goes from ${was} to ${is}; ${others === 0 ? 'nobody else is picked' : `the rest goes to ${them}`}.`;
}

function change({ model, id }, body) {
  return json(instancePath(model.name, id), { method: 'PATCH', body, signal: AbortSignal.timeout(10000) });
}

function list(pairs) {
  return element('dl', { class: 'pairs' }, ...pairs.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))));
}
