// SPDX-License-Identifier: Apache-2.0
// One title: asks for signed URLs, then hands over to the player.
import * as api from '../api.js';
import { h, icon } from '../dom.js';
import { sessionEnded } from '../session.js';
import { Player } from '../player/player.js';

export function showWatch(main, asset, engine) {
  let player = null;
  let gone = false;
  const stage = h('div', { class: 'stage' }, h('div', { class: 'player loading' }));
  const title = h('h1', { class: 'watch-title', 'data-testid': 'watch-title' }, ' ');
  const side = h('div', { class: 'watch-side' });

  function fail(error) {
    if (gone) return;
    if (error.status === 401) return sessionEnded();
    main.replaceChildren(h('div', { class: 'notice', role: 'alert', 'data-testid': 'watch-error' }, icon('warn'),
      h('h1', {}, error.code === 'VIDEO_NOT_FOUND' ? 'This title is not here' : 'This title cannot be played now'),
      h('p', {}, error.code === 'VIDEO_NOT_FOUND' ? 'It may have been removed.' : error.message),
      h('a', { class: 'primary', href: '#/' }, 'All titles')));
  }

  async function start() {
    const answer = await api.playback(asset);
    if (gone) return;
    title.textContent = answer.title;
    document.title = `${answer.title} – Weir`;
    player = new Player(answer, engine, { renew: () => api.playback(asset), side });
    stage.replaceChildren(player.element);
    await player.start();
  }

  main.replaceChildren(h('section', { class: 'watch' },
    h('a', { class: 'back', href: '#/' }, icon('back'), 'All titles'),
    stage, h('div', { class: 'watch-head' }, title, side)));
  start().catch(fail);
  return () => {
    gone = true;
    player?.destroy();
  };
}
