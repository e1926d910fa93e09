// How far what is shown can be trusted.

import { when } from './words.js';

/**
 * From the state of the stream and the last document that came (null before the first): `kind` is 'live', 'stale', 'lost' or '' while that is
 * not known, `words` are for beside a name, and `warning` is a sentence for where there is nothing else to tell by; none when all is well.
 */
export function trust(state, document, now) {
  const { source, stale_since: stale } = document ?? {};
  if (state.kind === 'lost') {
    const warning = `No updates since ${when(state.since)}: ${state.reason}. What is shown is what was known then.`;
    return { kind: 'lost', words: 'not updated', warning };
  }
  if (source === 'live') return { kind: 'live', words: 'live', warning: '' };
  if (source !== undefined) {
    const words = `stale since ${when(stale ?? now)}: ZooKeeper is away`;
    return { kind: 'stale', words, warning: `The list is ${words}. What is shown is what was known then.` };
  }
  return { kind: '', words: state.kind === 'open' ? 'ZooKeeper has not told yet' : 'connecting …', warning: '' };
}
