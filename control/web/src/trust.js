// SPDX-License-Identifier: Apache-2.0
// Why does the edge not answer? A script never learns whether a name, a port, a certificate or a
// missing permission (CORS) is the reason; but it can tell "nothing came" from "it said no".
import { h, icon } from './dom.js';

/** { reached, status } of one request, whose body is not read. No header of ours: it must need no
 *  permission (preflight) that the player's own requests do not need. */
export async function probe(url) {
  try {
    const response = await fetch(url, { cache: 'no-store' });
    await response.body?.cancel();
    return { reached: true, status: response.status };
  } catch {
    return { reached: false, status: 0 };
  }
}

/** What to do where an https edge gives nothing, most often a certificate not trusted yet; else null. */
export async function trustHint(url, sentence) {
  const edge = new URL(url, location.href);
  if ((await probe(url)).reached) return null;
  return h('div', { class: 'hint-box', role: 'alert', 'data-testid': 'trust-hint' }, icon('warn'),
    h('div', {}, h('p', {}, sentence), trustLink(edge)));
}

export function trustLink(edge) {
  const text = edge.protocol === 'https:'
    ? ' in a new tab, accept its certificate if asked, then come back and reload.'
    : ' in a new tab to see whether it answers.';
  return h('p', {}, 'Open ', h('a', { href: `${edge.origin}/`, target: '_blank', rel: 'noopener' }, edge.host), text);
}
