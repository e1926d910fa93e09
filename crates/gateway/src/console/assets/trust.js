// How far what is shown can be trusted.

import { when } from './words.js';

/**
 * From the state of the stream, the last document that came (null before the first), and whether the gateway vouches for that: `kind` is 'live',
 * 'stale', 'lost' or '' while that is not known, `words` are for beside a name, and `warning` is a sentence for where there is nothing else to tell
 * by; none when all is well.
 */
export function trust(state, document, isHeard, now) {
  if (state.kind === 'lost') {
    const warning = `No updates since ${when(state.since)}: ${state.reason}. What is shown is what was known then.`;
    return { kind: 'lost', words: 'not updated', warning };
  }
  if (!isHeard) return unheard(state, document);
  if (document.source === 'live') return { kind: 'live', words: 'live', warning: '' };
  const words = `stale since ${when(document.stale_since ?? now)}: ZooKeeper is away`;
  return { kind: 'stale', words, warning: `The list is ${words}. What is shown is what was known then.` };
}

const WAITING = 'ZooKeeper has not told yet';

/** Before the gateway has told anything since it was asked. What may be shown is of an earlier time. */
function unheard(state, document) {
  if (state.kind !== 'open') return { kind: '', words: 'connecting …', warning: '' };
  if (document === null) return { kind: '', words: WAITING, warning: '' };
  return { kind: 'stale', words: `as it was last known: ${WAITING}`, warning: `${WAITING}. What is shown is what was known before.` };
}
