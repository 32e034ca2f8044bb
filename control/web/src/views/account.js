// SPDX-License-Identifier: Apache-2.0
// Log in, or make an account.
import * as api from '../api.js';
import { brand, h } from '../dom.js';

const TEXT = {
  login: { title: 'Welcome back', action: 'Log in', busy: 'Logging in…', call: api.logIn, complete: 'current-password' },
  signup: { title: 'Create your account', action: 'Sign up', busy: 'Creating…', call: api.signUp, complete: 'new-password' },
};

function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

export function showAccount(main, view, query, done) {
  const text = TEXT[view];
  const other = view === 'login' ? 'signup' : 'login';
  const next = query.get('next');
  const otherHref = `#/${other}${next ? `?next=${encodeURIComponent(next)}` : ''}`;
  document.title = `${text.action} – Weir`;

  const email = h('input', { id: 'email', type: 'email', name: 'email', autocomplete: 'username', required: true,
    maxlength: 254, inputmode: 'email', 'data-testid': `${view}-email`, 'aria-describedby': 'problem' });
  const password = h('input', { id: 'password', type: 'password', name: 'password', autocomplete: text.complete,
    required: true, 'data-testid': `${view}-password`, 'aria-describedby': 'hint problem' });
  const submit = h('button', { class: 'primary wide', type: 'submit', 'data-testid': `${view}-submit` }, text.action);
  const problem = h('p', { id: 'problem', class: 'problem', role: 'alert', 'data-testid': `${view}-error` });

  async function send(event) {
    event.preventDefault();
    problem.textContent = '';
    submit.disabled = true;
    submit.textContent = text.busy;
    try {
      done((await text.call(email.value.trim(), password.value)).user);
    } catch (error) {
      problem.textContent = sentence(error.message);
      const at = /PASSWORD|LOGIN/.test(error.code) ? password : email;
      at.focus();
      submit.disabled = false;
      submit.textContent = text.action;
    }
  }

  main.replaceChildren(
    h('section', { class: 'account' },
      h('div', { class: 'account-mark' }, brand()),
      h('h1', {}, text.title),
      h('form', { onsubmit: send, novalidate: true },
        h('label', { for: 'email' }, 'E-mail'), email,
        h('label', { for: 'password' }, 'Password'), password,
        view === 'signup' ? h('p', { id: 'hint', class: 'hint' }, 'At least 8 characters.') : h('span', { id: 'hint', hidden: true }),
        problem, submit),
      h('p', { class: 'swap' }, view === 'login' ? 'New here? ' : 'Have an account? ',
        h('a', { href: otherHref, 'data-testid': `to-${other}` }, TEXT[other].action))));
  email.focus();
}
