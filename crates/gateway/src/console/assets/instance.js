// One instance, beside the list: all that it says of itself, and what can be done with it.

import { ask, instancePath, json, reason, Refused, within } from './api.js';
import { confirm, dismiss, isWeight } from './dialog.js';
import { byId, element, say, show } from './dom.js';
import { candidates } from './state.js';
import { told } from './timeline.js';
import { ALIKE, count, moment, percent, soMany, span, when } from './words.js';

/** How long the gateway may take to tell who holds an instance. */
const IN_TIME = 8000;

/** Nor is it asked more often than that who holds one, whatever the clocks say. */
const AT_MOST_EVERY = 2000;

/** No lease lasts longer: whatever the clocks say, it is asked again by then. */
const LONGEST_LEASE = 600000;

const ACCEPTED = 'Accepted, and not done yet: it will be as soon as ZooKeeper is there.';

/** What ends a change that was made here: the gateway keeps none of them. */
const UNLESS = 'the program registers it again, or this gateway is restarted';

const HELD_ELSEWHERE = 'Registered by somebody else, in ZooKeeper: this gateway changes only what programs have registered with it.';

export class Sheet {
  #dialog = byId('instance');
  #body = byId('instance-body');
  #drainer = byId('instance-drain');
  #weigher = byId('instance-weigh');
  #status = byId('instance-status');
  /** What is shown: the model of its service, and its id. */
  #shown = null;
  #row = null;
  #gone = null;
  #held = 'asking …';
  /** Whether this gateway can change it; null while that is not known. */
  #ours = null;
  #asking = false;
  /** When it is asked again who holds it. */
  #again = null;
  #told = null;
  #trust = { kind: '', warning: '' };

  constructor() {
    byId('instance-close').addEventListener('click', () => this.close());
    this.#dialog.addEventListener('click', (event) => {
      // Only the backdrop belongs to the dialog itself.
      if (event.target === this.#dialog) this.close();
    });
    this.#dialog.addEventListener('close', () => {
      // It comes late: another one may be shown by then.
      if (!this.#dialog.open) this.#leave();
    });
    this.#drainer.addEventListener('click', () => (this.#row.weight === 0 ? this.#undrain() : this.#drain()));
    this.#weigher.addEventListener('click', () => this.#weigh());
  }

  open(model, row) {
    this.#shown = { model, id: row.id };
    this.#row = row;
    this.#gone = null;
    this.#held = 'asking …';
    this.#ours = null;
    this.#asking = true;
    clearTimeout(this.#again);
    say(byId('instance-title'), row.id);
    say(byId('instance-news'), '');
    this.#draw();
    this.#dialog.showModal();
    this.#askWhoHoldsIt();
  }

  /** Closes it, and the question about it that nobody has answered. */
  close() {
    dismiss();
    this.#leave();
    if (this.#dialog.open) this.#dialog.close();
  }

  /** Another state of the service came. */
  refresh() {
    if (this.#shown === null) return;
    const row = this.#shown.model.byId.get(this.#shown.id);
    if (row === undefined) this.#gone ??= Date.now();
    else {
      // Somebody else may have registered it since.
      const isAnother = this.#gone !== null || row.registered !== this.#row.registered;
      this.#gone = null;
      this.#row = row;
      if (isAnother) this.#askWhoHoldsIt();
    }
    this.#draw();
  }

  /** The list can be trusted so far, which is to be seen and heard here: all else of the page lies behind. */
  trust(trust) {
    const isBack = this.#trust.kind === 'lost' && trust.kind !== 'lost';
    this.#trust = trust;
    if (this.#shown === null) return;
    this.#drawStatus();
    if (isBack) this.#askWhoHoldsIt();
  }

  /** Tells those who hear the page what happened to the instance. */
  hears(changes) {
    if (this.#shown === null) return;
    const about = changes.filter(({ id }) => id === this.#shown.id);
    if (about.length > 0) say(byId('instance-news'), about.map(told).join('; '));
  }

  #leave() {
    this.#shown = null;
    clearTimeout(this.#again);
  }

  async #askWhoHoldsIt() {
    const asked = this.#shown;
    let next = null;
    let held;
    let isOurs = null;
    try {
      const { ours, ends } = await json(instancePath(asked.model.name, asked.id), { signal: within(IN_TIME) });
      isOurs = ours;
      // By then it was renewed, or it is gone.
      if (ours) next = Math.min(LONGEST_LEASE, Math.max(AT_MOST_EVERY, ends - Date.now()));
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
    clearTimeout(this.#again);
    if (next !== null) this.#again = setTimeout(() => this.#askWhoHoldsIt(), next);
    this.#draw();
  }

  #draw() {
    this.#drawStatus();
    this.#drawActions();
    this.#drawFacts();
  }

  #drawStatus() {
    const isAccepted = this.#shown.model.accepted.has(this.#shown.id);
    this.#status.className = `trust ${this.#trust.kind}`;
    say(this.#status, [this.#trust.warning, isAccepted ? ACCEPTED : ''].filter((words) => words !== '').join(' '));
  }

  #drawFacts() {
    const row = this.#row;
    const now = Date.now();
    // Who is gone leads no more, and nobody may lead at all.
    const { master } = this.#shown.model.document;
    const leads = row.isMaster && this.#gone === null && master !== null;
    const facts = [
      ['Address', row.address || 'none'],
      ['Unique code', row.code || 'none'],
      ['Weight', row.weight === 0 ? '0: drained, it is not picked' : count(row.weight)],
      ['Share of picks', shareOf(row)],
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
    // The same buttons as before: one of them may have the focus.
    const drained = this.#row.weight === 0;
    say(this.#drainer, drained ? 'Undo drain …' : 'Drain …');
    this.#drainer.classList.toggle('danger', !drained);
    for (const button of [this.#drainer, this.#weigher]) button.disabled = this.#asking || this.#ours === false;
    say(byId('instance-elsewhere'), HELD_ELSEWHERE);
    show(byId('instance-elsewhere'), this.#ours === false);
  }

  // A question is about what was shown when it was asked, whatever is shown when it is answered.

  #drain() {
    const asked = this.#shown;
    confirm({
      title: `Drain ${asked.id}?`,
      text: `It stays registered and is picked no more, until you undo that, ${UNLESS}. Requests that run are not touched.`,
      yes: 'Drain',
      effect: () => afterWeight(asked, this.#row, 0),
      act: () => change(asked, { drain: true }, (weight) => weight === 0),
    });
  }

  #undrain() {
    const asked = this.#shown;
    confirm({
      title: `Let ${asked.id} be picked again?`,
      text: 'It has the weight again that it had before it was drained.',
      yes: 'Undo drain',
      effect: () => '',
      act: () => change(asked, { drain: false }, (weight) => weight > 0),
    });
  }

  #weigh() {
    const asked = this.#shown;
    confirm({
      title: `Change the weight of ${asked.id}?`,
      text: `It is ${count(this.#row.weight)} now. 0 drains it. The new one holds until ${UNLESS}.`,
      yes: 'Change weight',
      weight: this.#row.weight,
      effect: (weight) => (isWeight(weight) ? afterWeight(asked, this.#row, weight) : ''),
      act: (wanted) => change(asked, { weight: wanted }, (weight) => weight === wanted),
    });
  }
}

function shareOf({ share, weight }) {
  if (share > 0) return `${percent(share)} by weight; ${ALIKE}`;
  return weight === 0 ? 'none: it is drained' : 'none: it is the master, and others take them';
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
  if (!isPicked) return `Its share of ${was} by weight goes to ${them}; ${ALIKE}.`;
  return `Its share by weight goes from ${was} to ${is}, ${others === 0 ? 'and nobody else is picked' : `and the rest to ${them}; ${ALIKE}`}.`;
}

/**
 * Changes an instance. Gives null when that is done; else what is to be said: the gateway has accepted it, and ZooKeeper is away. Then the
 * sheet goes on saying so until `isDone`, given the weight that the list has, or until the instance is another one.
 */
async function change({ model, id }, body, isDone) {
  const response = await ask(instancePath(model.name, id), { method: 'PATCH', body, signal: within(10000) });
  const { state, problem } = await response.json();
  if (state === 'replaced') throw new Refused(409, { title: 'a newer process has registered the same id in ZooKeeper since' });
  model.accepted.delete(id);
  if (response.status !== 202) return null;
  const registered = model.byId.get(id)?.registered;
  model.accepted.set(id, (row) => isDone(row.weight) || row.registered !== registered);
  return problem === undefined ? ACCEPTED : `${ACCEPTED} It says: ${problem}.`;
}

function list(pairs) {
  return element('dl', { class: 'pairs' }, ...pairs.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))));
}
