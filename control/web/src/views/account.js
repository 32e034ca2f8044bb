// SPDX-License-Identifier: Apache-2.0
// Log in (in one step or two), make an account, and what the links in letters lead to.
import * as api from '../api.js';
import { brand, explain, h } from '../dom.js';
import { sessionPerhaps } from '../session.js';

const TEXT = {
  login: { title: 'Welcome back', action: 'Log in', busy: 'Logging in…', call: api.logIn, complete: 'current-password' },
  signup: { title: 'Create your account', action: 'Sign up', busy: 'Creating…', call: api.signUp, complete: 'new-password' },
};

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
      const answer = await text.call(email.value.trim(), password.value);
      if (answer.status === 'letter_sent') showNotice(main, 'Look into your mail', LETTER);
      else done(answer.user);
    } catch (error) {
      if (error.code === 'OTP_NEEDED') {
        showCode(main, error.details.ticket, done);
        return;
      }
      problem.textContent = explain(error);
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
        h('a', { href: otherHref, 'data-testid': `to-${other}` }, TEXT[other].action)),
      view === 'login' && h('p', { class: 'swap' }, h('a', { href: '#/forgotten', 'data-testid': 'to-forgotten' }, 'Forgotten your password?')),
      h('p', { class: 'swap', id: 'providers' })));
  email.focus();
  showProviders(next);
}

/** Links to log in by another service; without any, nothing. */
async function showProviders(next) {
  const { providers } = await api.providers().catch(() => ({ providers: [] }));
  const links = providers.map(({ name }) =>
    h('a', { href: api.providerHref(name, next), onclick: sessionPerhaps, 'data-testid': `by-${name}` }, `Log in by ${name}`));
  document.getElementById('providers')?.replaceChildren(...links.flatMap((link, i) => (i ? [' · ', link] : [link])));
}

const LETTER = 'A letter is on its way. Open the link in it to go on.';

function showNotice(main, title, text) {
  main.replaceChildren(
    h('section', { class: 'account' },
      h('div', { class: 'account-mark' }, brand()),
      h('h1', {}, title), h('p', { role: 'status', 'data-testid': 'notice' }, text),
      h('p', { class: 'swap' }, h('a', { href: '#/login' }, 'Log in'))));
}

/** A form of one field: what it is for, and what is done with it. */
function showField(main, { title, hint, action, field, back }, work) {
  const input = h('input', { id: 'field', required: true, 'aria-describedby': 'hint problem', ...field });
  const submit = h('button', { class: 'primary wide', type: 'submit', 'data-testid': 'field-submit' }, action);
  const problem = h('p', { id: 'problem', class: 'problem', role: 'alert', 'data-testid': 'field-error' });
  async function send(event) {
    event.preventDefault();
    problem.textContent = '';
    submit.disabled = true;
    try {
      await work(input.value);
    } catch (error) {
      problem.textContent = explain(error);
      input.focus();
    }
    submit.disabled = false;
  }
  document.title = `${action} – Weir`;
  main.replaceChildren(
    h('section', { class: 'account' },
      h('div', { class: 'account-mark' }, brand()),
      h('h1', {}, title),
      h('form', { onsubmit: send, novalidate: true },
        h('label', { for: 'field' }, hint), input, h('span', { id: 'hint', hidden: true }), problem, submit),
      back && h('p', { class: 'swap' }, h('button', { class: 'quiet', type: 'button', 'data-testid': 'field-back', onclick: back }, 'Begin again'))));
  input.focus();
}

/** The second step of a log-in. */
export function showCode(main, ticket, done) {
  showField(main, {
    title: 'One more step',
    hint: 'Code of your authenticator app, or a recovery code',
    action: 'Log in',
    field: { autocomplete: 'one-time-code', maxlength: 32, 'data-testid': 'otp-code' },
    back: () => (location.hash.startsWith('#/login') ? showAccount(main, 'login', new URLSearchParams(location.hash.split('?')[1]), done) : location.assign('#/login')),
  }, async (code) => done((await api.secondStep(ticket, code.trim())).user));
}

export function showForgotten(main) {
  showField(main, {
    title: 'Choose a new password',
    hint: 'E-mail',
    action: 'Send me a letter',
    field: { type: 'email', autocomplete: 'username', maxlength: 254, inputmode: 'email', 'data-testid': 'forgotten-email' },
  }, async (email) => {
    await api.askReset(email.trim());
    showNotice(main, 'Look into your mail', `If there is such an account: ${LETTER.charAt(0).toLowerCase()}${LETTER.slice(1)}`);
  });
}

export function showReset(main, token) {
  showField(main, {
    title: 'Choose a new password',
    hint: 'New password, at least 8 characters',
    action: 'Set the password',
    field: { type: 'password', autocomplete: 'new-password', 'data-testid': 'reset-password' },
  }, async (password) => {
    await api.reset(token, password);
    showNotice(main, 'Done', 'Your password is set, and you are logged out everywhere. Log in with it.');
  });
}

export async function showConfirm(main, token) {
  try {
    await api.confirmAddress(token);
    showNotice(main, 'Welcome', 'Your address is confirmed. Log in with the password that you chose.');
  } catch (error) {
    showNotice(main, 'This link does not work', explain(error));
  }
}
