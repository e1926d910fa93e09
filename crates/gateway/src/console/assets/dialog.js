// Dialogs: is this meant, which token, which keys there are.

import { keepToken, reason, tokenLasts } from './api.js';
import { byId, say, show } from './dom.js';

const MOST_WEIGHT = 4294967295;

/** Ends the question that is open, as if nobody had been asked. */
let end = () => {};

/** Whether what was asked is being done: then it is shown until it is known how that went. */
let doing = false;

/** Takes back the question that is open, unless it was answered already. */
export function dismiss() {
  if (!doing) end();
}

/**
 * Asks whether something is meant, and does it.
 *
 * `title`, `text` and `yes` are what it says; `weight` is what stands in the field, if there is to be one; `effect` tells what would be,
 * given the number in the field; `act` does it, given that number, and what it throws is shown as the reason why not. It gives null when
 * it is done, or what is to be said when it is not yet. While it does, nobody can say no any more: it may be done already. Resolves to whether
 * it was done.
 */
export function confirm({ title, text, yes, weight, effect, act }) {
  const dialog = byId('confirm');
  const [form, field, problem] = [byId('confirm-form'), byId('confirm-weight'), byId('confirm-problem')];
  const [no, sure] = [byId('confirm-no'), byId('confirm-yes')];
  const takesWeight = weight !== undefined;
  end();
  say(byId('confirm-title'), title);
  say(byId('confirm-text'), text);
  say(sure, yes);
  say(no, 'Cancel');
  show(sure, true);
  show(byId('confirm-field'), takesWeight);
  show(problem, false);
  say(byId('confirm-outcome'), '');
  field.value = takesWeight ? String(weight) : '';

  const given = () => (takesWeight && field.value !== '' ? Number(field.value) : undefined);
  const tell = () => say(byId('confirm-effect'), effect(given()));
  tell();
  return new Promise((resolve) => {
    const ended = new AbortController();
    const { signal } = ended;
    const does = (now) => {
      doing = now;
      for (const button of [no, sure]) button.disabled = now;
      field.disabled = now || !takesWeight;
    };
    const finish = (done) => {
      if (signal.aborted) return;
      ended.abort();
      does(false);
      end = () => {};
      if (dialog.open) dialog.close();
      resolve(done);
    };
    const accepted = (outcome) => {
      does(false);
      for (const place of [sure, byId('confirm-field')]) show(place, false);
      field.disabled = true;
      say(byId('confirm-effect'), '');
      say(byId('confirm-outcome'), outcome);
      say(no, 'Close');
      no.focus();
    };
    const submit = async (event) => {
      event.preventDefault();
      if (doing || sure.hidden) return;
      const number = given();
      show(problem, false);
      does(true);
      try {
        const outcome = await act(number);
        if (signal.aborted) return;
        if (outcome === null) finish(true);
        else accepted(outcome);
      } catch (error) {
        // A browser closes what is open when it is told so often enough. Another question may be open then.
        if (signal.aborted) return;
        does(false);
        say(problem, `Not done: ${reason(error)}.`);
        show(problem, true);
      }
    };
    form.addEventListener('submit', submit, { signal });
    field.addEventListener('input', tell, { signal });
    no.addEventListener('click', () => finish(false), { signal });
    dialog.addEventListener('cancel', (event) => doing && event.preventDefault(), { signal });
    // It comes late: the dialog may be open again, for another question.
    dialog.addEventListener('close', () => dialog.open || finish(false), { signal });
    end = () => finish(false);
    does(false);
    dialog.showModal();
    if (takesWeight) field.select();
    else no.focus();
  });
}

/** Whether a number can be a weight. */
export function isWeight(number) {
  return Number.isInteger(number) && number >= 0 && number <= MOST_WEIGHT;
}

let asked = null;
let refused = false;

/** Asks for a token, once for all who need one. Who said no is not asked again before `mayAskAgain`. */
export function askForToken(problem) {
  if (refused) return Promise.resolve(null);
  asked ??= tokenDialog(problem).finally(() => {
    asked = null;
  });
  return asked;
}

export function mayAskAgain() {
  refused = false;
}

function tokenDialog(problem) {
  const dialog = byId('token');
  const field = byId('token-field');
  const wrong = problem.type?.endsWith(':no-token') === false;
  say(byId('token-problem'), wrong ? `${problem.title}: ${problem.detail}` : '');
  show(byId('token-problem'), wrong);
  say(byId('token-kept'), tokenLasts() ? 'Kept in this tab alone, until it is closed.' : 'Kept until this page is left: this browser stores nothing for it.');
  field.value = '';
  return new Promise((resolve) => {
    const ended = new AbortController();
    const { signal } = ended;
    let given = null;
    const submit = (event) => {
      event.preventDefault();
      const token = field.value.trim();
      // Nothing else can stand in a header.
      if (!/^[\x21-\x7e]+$/.test(token)) {
        say(byId('token-problem'), 'A token has letters, digits and signs of ASCII alone, and no spaces.');
        show(byId('token-problem'), true);
        return;
      }
      given = token;
      keepToken(token);
      dialog.close();
    };
    byId('token-form').addEventListener('submit', submit, { signal });
    byId('token-no').addEventListener('click', () => dialog.close(), { signal });
    dialog.addEventListener(
      'close',
      () => {
        ended.abort();
        field.value = '';
        refused = given === null;
        document.dispatchEvent(new CustomEvent('token'));
        resolve(given);
      },
      { signal },
    );
    dialog.showModal();
  });
}
