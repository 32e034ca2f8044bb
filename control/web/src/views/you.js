// SPDX-License-Identifier: Apache-2.0
// One's account: who watches (a PIN where there is one), and where one is logged in.
import * as api from '../api.js';
import { announce, explain, h, icon } from '../dom.js';
import { sessionEnded } from '../session.js';

function since(text) {
  const at = new Date(text);
  if (Number.isNaN(at.valueOf())) return 'unknown';
  const today = new Date().toDateString() === at.toDateString();
  return today ? at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
    : at.toLocaleDateString([], { day: 'numeric', month: 'short', year: 'numeric' });
}

/** Asks for a PIN; null: it was left. */
function askPin(name) {
  return new Promise((resolve) => {
    const pin = h('input', { id: 'pin', type: 'password', inputmode: 'numeric', autocomplete: 'off', maxlength: 8, required: true, pattern: '[0-9]{4,8}',
      'data-testid': 'pin' });
    const dialog = h('dialog', { class: 'dialog', 'aria-labelledby': 'pin-title', 'data-testid': 'pin-dialog' },
      h('form', { method: 'dialog' },
        h('h2', { id: 'pin-title' }, `PIN of ${name}`), h('label', { for: 'pin' }, '4 to 8 digits'), pin,
        h('div', { class: 'dialog-row' },
          h('button', { class: 'quiet', type: 'button', 'data-testid': 'pin-cancel', onclick: () => dialog.close('') }, 'Cancel'),
          h('button', { class: 'primary', value: 'ok', 'data-testid': 'pin-submit' }, 'Go on'))));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'ok' ? pin.value : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function showYou(main, user) {
  document.title = 'Your account – Weir';
  const people = h('ul', { class: 'limit-list', 'data-testid': 'profiles' });
  const peopleSection = h('section', { hidden: true }, h('h2', {}, 'Who is watching'), people);
  const list = h('ul', { class: 'limit-list', 'data-testid': 'devices' });
  const others = h('button', { class: 'quiet', type: 'button', hidden: true, 'data-testid': 'devices-end', onclick: () => work(others, endOthers) },
    'Log out everywhere else');
  const problem = h('p', { class: 'problem', role: 'alert', 'data-testid': 'you-error' });
  let gone = false;

  function say(error) {
    if (gone) return;
    if (error.status === 401) sessionEnded();
    else problem.textContent = explain(error);
  }

  /** One press at a time, and what went wrong is said. */
  async function work(button, act) {
    button.disabled = true;
    problem.textContent = '';
    try {
      await act();
    } catch (error) {
      say(error);
    }
    button.disabled = false;
  }

  async function endOthers() {
    await api.endOtherDevices();
    announce('Logged out everywhere else.');
    await showDevices();
  }

  async function end(device) {
    try {
      await api.endDevice(device.id);
    } catch (error) {
      if (error.status !== 404) throw error; // gone by itself is as good
    }
    announce(`${device.name || 'The device'} is logged out.`);
    await showDevices();
  }

  function deviceRow(device) {
    const button = h('button', { class: 'quiet', type: 'button', 'data-testid': 'device-end', 'aria-label': `Log out ${device.name || 'this device'}`,
      onclick: () => work(button, () => end(device)) }, 'Log out');
    return h('li', { 'data-testid': 'device' },
      h('div', {}, h('strong', {}, device.name || 'A device'),
        h('span', {}, `${device.address} · ${device.current ? 'this browser' : `last used ${since(device.seen)}`}`)),
      device.current ? h('span', { class: 'badge-here' }, 'Here') : button);
  }

  async function showDevices() {
    const { devices } = await api.devices();
    if (gone) return;
    list.replaceChildren(...[...devices].sort((a, b) => b.current - a.current).map(deviceRow));
    others.hidden = devices.length < 2;
  }

  async function choose(profile) {
    const pin = profile.has_pin ? await askPin(profile.name) : '';
    if (pin === null) return;
    await api.chooseProfile(profile.id, pin);
    announce(`${profile.name} is watching.`);
    await showProfiles();
  }

  function profileRow(profile, watching) {
    const button = h('button', { class: 'quiet', type: 'button', 'data-testid': 'profile-choose', 'aria-label': `Watch as ${profile.name}`,
      onclick: () => work(button, () => choose(profile)) }, 'Choose');
    const facts = [profile.rating_max !== null && `up to ${profile.rating_max} years`, profile.has_pin && 'with a PIN'].filter(Boolean);
    return h('li', { 'data-testid': 'profile' }, h('div', {}, h('strong', {}, profile.name), h('span', {}, facts.join(' · '))),
      watching === profile.id ? h('span', { class: 'badge-here' }, 'Watching') : button);
  }

  async function showProfiles() {
    const [{ profiles }, { user: me }] = await Promise.all([api.profiles(), api.me()]);
    if (gone) return;
    peopleSection.hidden = profiles.length === 0;
    people.replaceChildren(...profiles.map((profile) => profileRow(profile, me.profile)));
  }

  main.replaceChildren(h('section', { class: 'you' },
    h('a', { class: 'back', href: '#/' }, icon('back'), 'All titles'),
    h('h1', {}, 'Your account'), h('p', { class: 'count', 'data-testid': 'you-email' }, user.email), problem, peopleSection,
    h('section', {}, h('div', { class: 'heading' }, h('h2', {}, 'Where you are logged in'), others), list)));
  Promise.all([showDevices(), showProfiles()]).catch(say);
  return () => { gone = true; };
}
