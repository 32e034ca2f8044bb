// SPDX-License-Identifier: Apache-2.0
// Over the limit: what plays elsewhere, a button to end each, and the plans that allow more.
import * as api from '../api.js';
import { announce, h, icon, sentence } from '../dom.js';

/** error: of POST /playback, 429. again(): tries to play once more. */
export function limitNotice(error, again) {
  const message = h('p', {}, sentence(error.message), ' End one of them to watch here.');
  const list = h('ul', { class: 'limit-list', 'data-testid': 'limit-list' });
  const actions = error.details?.actions ?? [];

  async function end(session, button) {
    button.disabled = true;
    try {
      await api.terminate(session);
    } catch (failure) {
      if (failure.status !== 404) { // gone by itself is as good
        button.disabled = false;
        announce(failure.message);
        message.textContent = failure.message;
        return;
      }
    }
    again();
  }

  for (const each of error.details?.active ?? []) {
    const action = actions.find((a) => a.action === 'terminate_session' && a.session_id === each.session_id);
    const since = new Date(each.started_at);
    const button = action && h('button', { type: 'button', class: 'primary', 'data-testid': 'limit-end',
      'aria-label': action.label, onclick: () => end(each.session_id, button) }, 'End');
    list.append(h('li', {}, h('div', {}, h('strong', {}, each.device_name),
      h('span', {}, `since ${Number.isNaN(since.valueOf()) ? 'a while' : since.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}`)),
    button ?? null));
  }
  return h('div', { class: 'notice', role: 'alert', 'data-testid': 'watch-limit' }, icon('warn'),
    h('h1', {}, 'You are watching elsewhere'), message, list, upgrades(error),
    h('a', { href: '#/' }, 'All titles'));
}

/** The plan allows less than before: this session was the oldest. again(): tries to play once more. */
export function overNotice(error, again) {
  return h('div', { class: 'notice', role: 'alert', 'data-testid': 'watch-over' }, icon('warn'),
    h('h1', {}, 'Your plan allows fewer streams now'), h('p', {}, sentence(error.message)), upgrades(error),
    h('button', { type: 'button', class: 'primary', onclick: again }, 'Watch here'),
    h('a', { href: '#/' }, 'All titles'));
}

/** The title is not in the viewer's plan. */
export function planNotice(error) {
  return h('div', { class: 'notice', role: 'alert', 'data-testid': 'watch-plan' }, icon('warn'),
    h('h1', {}, 'Not in your plan'), h('p', {}, sentence(error.message)), upgrades(error),
    h('a', { class: 'primary', href: '#/' }, 'All titles'));
}

/** What a higher plan would allow; nothing where there is none. */
function upgrades(error) {
  const actions = (error.details?.actions ?? []).filter((a) => a.action === 'upgrade');
  if (actions.length === 0) return null;
  return h('div', { class: 'limit-more' }, h('p', {}, 'Plans that allow more, to be had from who runs this service:'),
    h('ul', { class: 'limit-list', 'data-testid': 'limit-upgrades' }, ...actions.map((a) => h('li', { 'data-testid': 'limit-upgrade', 'data-plan': a.plan_id }, h('div', {}, h('strong', {}, a.label))))));
}
