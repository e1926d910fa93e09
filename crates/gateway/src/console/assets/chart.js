// A line over time, drawn as SVG.

import { WINDOW } from './state.js';
import { brief } from './words.js';

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 104;
const GRAIN = 5000;
const LEFT = 46;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 20;

function drawn(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

/** The ends of an axis on which both values are, and how far its lines are apart: whole numbers of 1, 2 or 5. */
export function axis(least, most, lines) {
  const rough = Math.max(1, (most - least) / lines);
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * magnitude).find((step) => step >= rough);
  const low = Math.floor(least / step) * step;
  const high = Math.max(low + step, Math.ceil(most / step) * step);
  return { low, high, step };
}

/** So many changes in the minute before each moment at which that number is another one. */
export function perMinute(news, now) {
  const minute = 60000;
  // Not to the millisecond: what goes out of the minute as the next comes in would look like a gap.
  const begun = (at) => at - (at % GRAIN);
  const turns = news.flatMap(({ at, value }) => [{ at: begun(at), by: value }, { at: begun(at) + minute, by: -value }]);
  turns.sort((a, b) => a.at - b.at);
  const points = [{ at: 0, value: 0 }];
  let value = 0;
  for (const { at, by } of turns) {
    if (at > now) break;
    value += by;
    if (points.at(-1).at === at) points.at(-1).value = value;
    else points.push({ at, value });
  }
  return points;
}

/**
 * The parts of a line between `from` and `now` for which something was known, each with where it ends. Points { at, value } hold until the next
 * one; gaps { at, until } come in order, and the last one may have no end.
 */
export function pieces(points, gaps, from, now) {
  const found = [];
  let begin = from;
  for (const { at, until } of [...gaps, { at: now, until: now }]) {
    const end = Math.min(at, now);
    if (end >= begin) {
      const before = points.findLast((point) => point.at <= begin);
      const inside = points.filter((point) => point.at > begin && point.at <= end);
      const seen = before === undefined ? inside : [{ at: begin, value: before.value }, ...inside];
      if (seen.length > 0) found.push({ points: seen, end });
    }
    begin = Math.max(begin, until ?? Infinity);
  }
  return found;
}

export class Chart {
  #place;
  #svg;
  #grid;
  #area;
  #line;
  #end;
  #what;
  #fromZero;
  #drawn = null;

  /** `what` names the values; `fromZero` has the axis begin there, and fills what is under the line. */
  constructor(place, { what, fromZero }) {
    this.#place = place;
    this.#what = what;
    this.#fromZero = fromZero;
    this.#svg = drawn('svg', { role: 'img', height: HEIGHT, width: '100%' });
    this.#grid = drawn('g', { class: 'grid' }, this.#svg);
    this.#area = drawn('path', { class: 'area' }, this.#svg);
    this.#line = drawn('path', { class: 'line' }, this.#svg);
    this.#end = drawn('circle', { class: 'end', r: 3 }, this.#svg);
    place.append(this.#svg);
    new ResizeObserver(() => this.#drawn && this.draw(...this.#drawn)).observe(place);
  }

  /** Draws points { at, value }, each of which holds until the next one, up to `now`; nothing where there are gaps { at, until }. */
  draw(points, now, gaps) {
    this.#drawn = [points, now, gaps];
    const width = this.#place.clientWidth;
    const from = now - WINDOW;
    const parts = pieces(points, gaps, from, now);
    if (parts.length === 0) this.#clear();
    if (width === 0 || parts.length === 0) return;
    const values = parts.flatMap((part) => part.points.map((point) => point.value));
    const { low, high, step } = axis(this.#fromZero ? 0 : Math.min(...values), Math.max(...values), 2);
    const x = (at) => LEFT + ((at - from) / WINDOW) * (width - LEFT - RIGHT);
    const y = (value) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    const round = (number) => Math.round(number * 10) / 10;

    const paths = parts.map(({ points: [first, ...others], end }) => {
      const steps = others.map(({ at, value }) => `H${round(x(at))}V${round(y(value))}`);
      return { begin: round(x(first.at)), path: `M${round(x(first.at))} ${round(y(first.value))}${steps.join('')}H${round(x(end))}` };
    });
    this.#line.setAttribute('d', paths.map(({ path }) => path).join(''));
    const floor = round(y(low));
    this.#area.setAttribute('d', this.#fromZero ? paths.map(({ begin, path }) => `${path}V${floor}H${begin}Z`).join('') : '');
    const last = parts.at(-1).points.at(-1).value;
    const isKnown = parts.at(-1).end === now;
    this.#end.setAttribute('cx', round(x(now)));
    this.#end.setAttribute('cy', round(y(last)));
    this.#end.setAttribute('visibility', isKnown ? 'visible' : 'hidden');
    this.#axes({ low, high, step }, x, y, from, now, width);
    const told = `${isKnown ? 'now' : 'last known'} ${last}, least ${Math.min(...values)}, most ${Math.max(...values)}`;
    this.#svg.setAttribute('aria-label', `${this.#what} in the last 10 minutes: ${told}`);
  }

  /** Nothing is known: nothing of what was drawn before stays. */
  #clear() {
    this.#line.setAttribute('d', '');
    this.#area.setAttribute('d', '');
    this.#end.setAttribute('visibility', 'hidden');
    this.#grid.replaceChildren();
    this.#svg.setAttribute('aria-label', `${this.#what} in the last 10 minutes: not known`);
  }

  #axes({ low, high, step }, x, y, from, now, width) {
    const marks = [];
    for (let value = low; value <= high; value += step) {
      const at = Math.round(y(value)) + 0.5;
      marks.push(drawn('line', { x1: LEFT, x2: width - RIGHT, y1: at, y2: at }));
      const label = drawn('text', { x: LEFT - 6, y: at + 3.5, 'text-anchor': 'end' });
      label.textContent = brief(value);
      marks.push(label);
    }
    for (const [at, words, anchor] of [[from, '10 min ago', 'start'], [(from + now) / 2, '5 min', 'middle'], [now, 'now', 'end']]) {
      const label = drawn('text', { x: x(at), y: HEIGHT - 4, 'text-anchor': anchor });
      label.textContent = words;
      marks.push(label);
    }
    this.#grid.replaceChildren(...marks);
  }
}
