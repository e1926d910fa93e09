// Keys that need no other one and work wherever the focus is, and the dialog that tells which keys there are.

import { byId } from './dom.js';
import { Kept } from './storage.js';

/** They can be hit by accident, and by speech: whoever wants none of them switches them off, in this browser for good. */
const off = new Kept('localStorage', 'headkeeper-keys-off');

/** Listens from now on; `onSearch` goes to where one searches. */
export function listen({ onSearch }) {
  byId('keys-open').addEventListener('click', () => byId('keys').showModal());
  byId('keys-close').addEventListener('click', () => byId('keys').close());
  byId('keys-on').addEventListener('change', (event) => {
    off.keep(event.target.checked ? null : 'yes');
    tell();
  });
  document.addEventListener('keydown', (event) => {
    const typing = event.target.matches('input, textarea, select') || document.querySelector('dialog[open]') !== null;
    if (typing || off.value !== null || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === '/') {
      onSearch();
      event.preventDefault();
    } else if (event.key === '?') {
      byId('keys').showModal();
    }
  });
  tell();
}

function tell() {
  const on = off.value === null;
  byId('keys-on').checked = on;
  if (on) byId('search').setAttribute('aria-keyshortcuts', '/');
  else byId('search').removeAttribute('aria-keyshortcuts');
}
