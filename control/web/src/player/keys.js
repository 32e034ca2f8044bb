// SPDX-License-Identifier: Apache-2.0
// Keyboard shortcuts, and the list of them.
import { h } from '../dom.js';

const HELP = [
  ['Space, K', 'Play or pause'],
  ['← →', '5 seconds back or on'],
  ['J L', '10 seconds back or on'],
  ['↑ ↓', 'Volume'],
  ['M', 'Mute'],
  ['C', 'Subtitles'],
  ['F', 'Full screen'],
  ['0 … 9', 'To a tenth of the film'],
  ['?', 'This list'],
];

export function keyHelp() {
  return h('div', { class: 'key-help', hidden: true, role: 'dialog', 'aria-label': 'Keyboard shortcuts' },
    h('dl', {}, HELP.map(([keys, text]) => [h('dt', {}, keys), h('dd', {}, text)])));
}

/** Keys of the whole page, as long as no field or button wants them; gives what takes it back. */
export function bindKeys(controls) {
  const actions = {
    ' ': () => controls.togglePlay(),
    k: () => controls.togglePlay(),
    ArrowLeft: () => controls.seekBy(-5),
    ArrowRight: () => controls.seekBy(5),
    j: () => controls.seekBy(-10),
    l: () => controls.seekBy(10),
    ArrowUp: () => controls.setVolume(controls.video.volume + 0.1),
    ArrowDown: () => controls.setVolume(controls.video.volume - 0.1),
    m: () => controls.toggleMute(),
    c: () => controls.toggleText(),
    f: () => controls.toggleFull(),
    Home: () => controls.seekTo(0),
    '?': () => controls.toggleHelp(),
    Escape: () => controls.toggleHelp(false),
  };

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const { target } = event;
    if (target.matches?.('select, textarea, input:not([type=range])')) return;
    // A focused slider keeps its arrows, a focused button or link its space.
    if (target.matches?.('.volume') && event.key.startsWith('Arrow')) return;
    if (target.matches?.('button, a') && (event.key === ' ' || event.key === 'Enter')) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = /^[0-9]$/.test(key) ? () => controls.seekPart(Number(key) / 10) : actions[key];
    if (!action) return;
    if (key !== 'Escape') event.preventDefault();
    action();
    controls.wake();
  }

  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}
