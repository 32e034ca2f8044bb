// SPDX-License-Identifier: Apache-2.0
// The page: who is here, which view the address asks for, and the bar above both.
import './style.css';
import * as api from './api.js';
import { brand, h, icon } from './dom.js';
import { showAccount, showCode, showConfirm, showForgotten, showReset } from './views/account.js';
import { onSessionEnded, sessionState } from './session.js';
import { showGrid } from './views/grid.js';

const state = { user: null, leave: null, shown: 0 };

function storedTheme() {
  try {
    return localStorage.getItem('theme');
  } catch {
    return null; // storage is off: the system's choice holds
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

function toggleTheme() {
  const theme = isDark() ? 'light' : 'dark';
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem('theme', theme);
  } catch {
    // The choice lasts until the page is left.
  }
  showBar();
}

async function leaveAccount() {
  try {
    await api.logOut();
  } catch (error) {
    window.alert(error.message);
    return;
  }
  state.user = null;
  go('#/login');
}

function showBar() {
  const dark = isDark();
  const label = dark ? 'Light colours' : 'Dark colours';
  document.getElementById('bar').replaceChildren(
    h('a', { class: 'brand', href: '#/', 'aria-label': 'Weir, all titles' }, brand(), h('span', {}, 'Weir')),
    h('div', { class: 'bar-right' },
      state.user && h('a', { class: 'me', href: '#/account', title: 'Your account', 'aria-label': `Your account, ${state.user.email}` },
        icon('person'), h('span', { class: 'who', 'data-testid': 'user-email' }, state.user.email)),
      h('button', { class: 'round', type: 'button', title: label, 'aria-label': label, onclick: toggleTheme },
        icon(dark ? 'sun' : 'moon')),
      state.user && h('button', { class: 'quiet', type: 'button', 'data-testid': 'logout', onclick: leaveAccount },
        'Log out')));
}

function go(hash) {
  if (location.hash === hash) show();
  else location.hash = hash;
}

/** "#/watch/film?engine=dash" -> { view: 'watch', rest: 'film', query } */
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?', 2);
  const [view, ...rest] = path.split('/');
  let asset = rest.join('/');
  try {
    asset = decodeURIComponent(asset);
  } catch {
    // A stray '%': no title has such a name, and the server will say so.
  }
  return { view: view || 'grid', rest: asset, query: new URLSearchParams(query) };
}

async function find() {
  if (state.user) return true;
  if (sessionState() === 'none') return false;
  try {
    state.user = (await api.me()).user;
  } catch (error) {
    if (error.status !== 401) throw error;
  }
  return state.user !== null;
}

function showFailure(main, error) {
  main.replaceChildren(
    h('div', { class: 'notice', role: 'alert' }, icon('warn'),
      h('h1', {}, 'Something is wrong'), h('p', {}, error.message),
      h('button', { class: 'primary', type: 'button', onclick: () => show() }, 'Try again')));
}

/** What the links in letters lead to, and a provider's way back where a second factor is on. */
const LINKS = { code: showCode, confirm: showConfirm, forgotten: showForgotten, reset: showReset };

async function show() {
  const main = document.getElementById('main');
  const number = ++state.shown;
  const { view, rest, query } = route();
  state.leave?.();
  state.leave = null;
  const done = (user) => {
    state.user = user;
    const wanted = query.get('next') ?? '';
    go(wanted.startsWith('/') ? `#${wanted}` : '#/');
  };
  try {
    const known = await find();
    if (number !== state.shown) return; // the address has moved on meanwhile
    document.body.dataset.view = view in LINKS ? 'login' : view;
    showBar();
    if (view in LINKS) {
      LINKS[view](main, rest, done);
      return;
    }
    if (view === 'login' || view === 'signup') {
      if (known) return done(state.user);
      showAccount(main, view, query, done);
      return;
    }
    if (!known) {
      const here = location.hash.slice(1);
      go(here.length > 1 ? `#/login?next=${encodeURIComponent(here)}` : '#/login');
      return;
    }
    if (view === 'watch' && rest) {
      const { showWatch } = await import('./views/watch.js');
      if (number !== state.shown) return;
      state.leave = showWatch(main, rest, query.get('engine'));
    } else if (view === 'account') {
      const { showYou } = await import('./views/you.js');
      if (number !== state.shown) return;
      state.leave = showYou(main, state.user);
    } else {
      state.leave = showGrid(main);
    }
  } catch (error) {
    showFailure(main, error);
  }
}

const theme = storedTheme();
if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
window.addEventListener('hashchange', show);
onSessionEnded(() => {
  state.user = null;
  show();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showBar);
show();
