// Puts the parts together: the address tells which service is shown, its stream brings its states, and everything is drawn from the last one.

import { hasToken, keepToken, servicePath, whenTokenIsNeeded } from './api.js';
import { Chart, perMinute } from './chart.js';
import { askForToken, mayAskAgain } from './dialog.js';
import { byId, element, say, show } from './dom.js';
import { Sheet } from './instance.js';
import { listen } from './keys.js';
import { Services } from './services.js';
import { Service } from './state.js';
import { Stream } from './stream.js';
import { Table } from './table.js';
import { Timeline, told } from './timeline.js';
import { trust } from './trust.js';
import { count, soMany, span } from './words.js';

whenTokenIsNeeded(askForToken);

const services = new Services();
const sheet = new Sheet();
const timeline = new Timeline(byId('timeline'));
const charts = {
  instances: new Chart(byId('chart-instances'), { what: 'instances', fromZero: false }),
  changes: new Chart(byId('chart-changes'), { what: 'changes per minute', fromZero: true }),
};
const table = new Table(byId('table'), { onOpen: (row) => sheet.open(shown.model, row) });

/** The services that were looked at last, whose timelines go on when they are looked at again: the one shown is the last. */
const models = new Map();

/** So many are kept: each may have ten thousand instances. */
const MOST_MODELS = 5;

/**
 * What is shown: the service, its stream, and how that is; whether the gateway vouches for what is shown, and since when nothing more was heard
 * that had been heard (null: it was not lost).
 */
let shown = null;

function route() {
  const [, name] = location.hash.match(/^#\/service\/([^/]+)$/) ?? [];
  let wanted = null;
  try {
    wanted = name === undefined ? null : decodeURIComponent(name);
  } catch {
    // Nobody's name.
  }
  if (wanted === (shown?.model.name ?? null)) return;
  leave();
  if (wanted !== null) enter(wanted);
  document.body.dataset.view = wanted === null ? 'services' : 'service';
  document.title = wanted === null ? 'Headkeeper' : `${wanted} · Headkeeper`;
  show(byId('no-service'), wanted === null);
  show(byId('service'), wanted !== null);
  services.choose(wanted);
}

/** The focus goes along where what had it is not seen any more: the way back leads to the service that was `left`. */
function keepFocus(left) {
  const at = document.activeElement;
  const side = byId(shown === null ? 'main' : 'services');
  // Some browsers give a link no focus when it is touched.
  if ((at === document.body ? side : at).checkVisibility()) return;
  if (shown === null) services.focus(left);
  else byId('service-name').focus();
}

function leave() {
  if (shown === null) return;
  sheet.close();
  shown.stream.stop();
  shown.model.leftAt = Date.now();
  shown.model.lose(shown.model.leftAt);
  shown = null;
}

function enter(name) {
  const model = models.get(name) ?? new Service(name);
  models.delete(name);
  models.set(name, model);
  if (models.size > MOST_MODELS) models.delete(models.keys().next().value);
  if (model.leftAt !== undefined && model.document !== null) model.note({ kind: 'away', after: Date.now() - model.leftAt }, Date.now());
  byId('search').value = '';
  table.reset();
  table.search('');
  shown = { model, state: { kind: 'connecting' }, stream: null, isHeard: false, lostSince: null };
  const mine = shown;
  shown.stream = new Stream(`${servicePath(name)}/watch`, {
    onEvent: (document) => mine === shown && receive(document),
    onState: (state) => mine === shown && stateIs(state),
  });
  draw();
}

function receive(document) {
  hear();
  const changes = shown.model.take(document, Date.now());
  announce(changes);
  drawSoon();
}

/** Once before the browser paints the next time, however much comes; not at all while nobody sees it. */
let drawsSoon = false;
function drawSoon() {
  if (drawsSoon) return;
  drawsSoon = true;
  requestAnimationFrame(() => {
    drawsSoon = false;
    if (shown === null) return;
    sheet.refresh();
    draw();
  });
}

function stateIs(state) {
  shown.state = state;
  if (state.kind === 'lost') {
    shown.isHeard = false;
    if (shown.lostSince === null) {
      shown.lostSince = state.since;
      shown.model.note({ kind: 'lost', reason: state.reason }, state.since);
      shown.model.lose(state.since);
    }
    // What is shown may be of an earlier time: nobody has told anything since another service was shown.
    shown.state = { ...state, since: shown.model.unknownSince ?? state.since };
  }
  // That somebody is there does not tell what is so now.
  if (state.kind === 'open' && state.isCurrent) hear();
  timeline.show(shown.model.entries);
  drawHead();
}

/** The gateway vouches for what is shown, or for what comes now. */
function hear() {
  const now = Date.now();
  shown.isHeard = true;
  shown.model.regain(now);
  if (shown.lostSince === null) return;
  shown.model.note({ kind: 'back', after: now - shown.lostSince }, now);
  shown.lostSince = null;
}

/** Tells those who hear the page, not too much. */
function announce(changes) {
  if (changes.length === 0) return;
  sheet.hears(changes);
  say(byId('news'), changes.length <= 3 ? changes.map(told).join('; ') : `${soMany(changes.length, 'change')} of ${shown.model.name}`);
}

function draw() {
  const { model } = shown;
  say(byId('service-name'), model.name);
  table.show(model.rows, model.document !== null);
  timeline.show(model.entries);
  drawHead();
  drawFacts();
  drawBad(model.document?.unusable ?? []);
  drawMatches();
  drawCharts();
}

function drawHead() {
  const { state, model } = shown;
  const now = Date.now();
  const pill = byId('service-source');
  const trusted = trust(state, model.document, shown.isHeard, now);
  const { kind, words, warning } = trusted;
  pill.className = `pill ${kind}`;
  say(pill, words);
  sheet.trust(trusted);
  byId('service').classList.toggle('outdated', !shown.isHeard);
  const banner = byId('stream-banner');
  // Empty while it is hidden: who hears the page is told anew each time, also of the same.
  say(byId('stream-banner-text'), state.kind === 'lost' ? warning : '');
  if (state.kind === 'lost') {
    const wait = state.retryAt - now;
    say(byId('stream-banner-next'), `That is ${span(now - state.since)} ago; ${wait > 0 ? `next try in ${span(wait)}` : 'trying again …'}`);
  }
  show(banner, state.kind === 'lost');
}

function drawFacts() {
  const { model } = shown;
  const { document } = model;
  const master = document?.master ?? null;
  const unknown = document === null;
  say(byId('fact-instances'), unknown ? '–' : count(model.rows.length));
  say(byId('fact-weight'), unknown ? '–' : count(model.weight));
  say(byId('fact-drained'), unknown ? '–' : count(model.drained));
  say(byId('fact-master'), unknown ? '–' : leader(document));
  say(byId('fact-term'), master === null ? '–' : String(master.term));
}

function leader({ master, master_source: source }) {
  if (source === 'never') return 'no elections in this layout';
  if (source === 'unknown') return 'not known yet';
  if (master === null) return 'nobody';
  const where = shown.model.rows.find((row) => row.isMaster);
  const named = where !== undefined && where.id !== master.id ? `${master.id} (${where.id})` : master.id;
  const bad = master.bad === undefined ? '' : `; its data cannot be read: ${master.bad}`;
  return `${named}${source === 'stale' ? ', last known' : ''}${bad}`;
}

function drawBad(bad) {
  show(byId('bad'), bad.length > 0);
  if (bad.length === 0) return;
  say(byId('bad-summary'), `${soMany(bad.length, 'node')} cannot be read`);
  byId('bad-list').replaceChildren(
    ...bad.slice(0, 100).map(({ path, reason }) => element('li', {}, element('code', {}, path), ` ${reason}`)),
    ...(bad.length > 100 ? [element('li', {}, `and ${count(bad.length - 100)} more`)] : []),
  );
}

function drawMatches() {
  const { shown: found, all } = table.matches;
  const words = found === all ? soMany(all, 'instance') : `${count(found)} of ${count(all)}`;
  say(byId('matches'), shown.model.document === null ? '' : words);
}

function drawCharts() {
  const { model, isHeard } = shown;
  const now = Date.now();
  const changes = perMinute(model.news, now);
  charts.instances.draw(model.counts, now, model.gaps);
  charts.changes.draw(model.document === null ? [] : changes, now, model.gaps);
  say(byId('chart-instances-now'), model.document === null ? '' : count(model.rows.length));
  say(byId('chart-changes-now'), model.document === null ? '' : isHeard ? count(changes.at(-1).value) : '–');
}

function tick() {
  if (shown === null || document.hidden) return;
  drawHead();
  drawCharts();
  table.tick();
}

function tokenChanged() {
  const button = byId('token-forget');
  say(button, hasToken() ? 'Forget token' : 'Enter a token');
  show(button, hasToken() || tokenWasAsked);
}

let tokenWasAsked = false;
document.addEventListener('token', () => {
  tokenWasAsked = true;
  tokenChanged();
});
byId('token-forget').addEventListener('click', () => {
  if (hasToken()) {
    keepToken(null);
    // Nothing of what was seen with it stays.
    location.reload();
    return;
  }
  mayAskAgain();
  services.ask();
  shown?.stream.retry();
});

byId('search').addEventListener('input', (event) => {
  table.search(event.target.value);
  drawMatches();
});
byId('search').addEventListener('keydown', (event) => {
  if (event.key === 'ArrowDown') {
    table.focus();
    event.preventDefault();
  } else if (event.key === 'Escape' && event.target.value !== '') {
    event.target.value = '';
    table.search('');
    drawMatches();
    event.preventDefault();
  }
});
byId('stream-retry').addEventListener('click', () => {
  mayAskAgain();
  shown?.stream.retry();
});
document.querySelector('[data-skip]').addEventListener('click', (event) => {
  // The address tells which service is shown, and is left alone.
  event.preventDefault();
  byId('main').focus();
});
listen({
  onSearch: () => {
    if (shown === null) services.focusFilter();
    else byId('search').focus();
  },
});
say(byId('gateway'), location.host);
tokenChanged();
window.addEventListener('hashchange', () => {
  const left = shown?.model.name;
  route();
  keepFocus(left);
});
route();
setInterval(tick, 1000);
