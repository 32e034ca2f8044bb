// SPDX-License-Identifier: Apache-2.0
// One title: asks for signed URLs, then hands over to the player.
import { h, icon } from '../dom.js';
import { Playing } from '../playing.js';
import { sessionEnded } from '../session.js';
import { Player } from '../player/player.js';
import { limitNotice, overNotice, planNotice } from './limit.js';

export function showWatch(main, asset, engine) {
  let player = null;
  let gone = false;
  let leave = null; // of the view that has taken this one's place
  const stage = h('div', { class: 'stage' }, h('div', { class: 'player loading' }));
  const title = h('h1', { class: 'watch-title', 'data-testid': 'watch-title' }, ' ');
  const side = h('div', { class: 'watch-side' });

  const playing = new Playing(asset, ended);

  /** Ended on another device, or its place was taken. */
  function ended(error) {
    player?.destroy();
    player = null;
    fail(error);
  }

  function again() {
    if (!gone) leave = showWatch(main, asset, engine);
  }

  function fail(error) {
    if (gone) return;
    playing.close();
    if (error.status === 401) return sessionEnded();
    if (error.code === 'CONCURRENT_LIMIT_EXCEEDED') return main.replaceChildren(limitNotice(error, again));
    if (error.code === 'PLAN_NEEDED') return main.replaceChildren(planNotice(error));
    if (error.code === 'SESSION_TERMINATED' && error.details?.reason === 'PLAN_LIMIT') {
      return main.replaceChildren(overNotice(error, again));
    }
    if (error.code === 'SESSION_TERMINATED') {
      return main.replaceChildren(h('div', { class: 'notice', role: 'alert', 'data-testid': 'watch-ended' }, icon('warn'),
        h('h1', {}, 'Ended on another device'),
        h('p', {}, 'Somebody who uses this account has stopped the film here.'),
        h('button', { type: 'button', class: 'primary', onclick: again }, 'Watch here'),
        h('a', { href: '#/' }, 'All titles')));
    }
    main.replaceChildren(h('div', { class: 'notice', role: 'alert', 'data-testid': 'watch-error' }, icon('warn'),
      h('h1', {}, error.code === 'VIDEO_NOT_FOUND' ? 'This title is not here' : 'This title cannot be played now'),
      h('p', {}, error.code === 'VIDEO_NOT_FOUND' ? 'It may have been removed.' : error.message),
      h('a', { class: 'primary', href: '#/' }, 'All titles')));
  }

  async function start() {
    const answer = await playing.open();
    if (gone) return playing.close();
    title.textContent = answer.title;
    document.title = `${answer.title} – Weir`;
    player = new Player(answer, engine, { renew: () => playing.renew(), side });
    stage.replaceChildren(player.element);
    await player.start();
  }

  main.replaceChildren(h('section', { class: 'watch' },
    h('a', { class: 'back', href: '#/' }, icon('back'), 'All titles'),
    stage, h('div', { class: 'watch-head' }, title, side)));
  start().catch(fail);
  return () => {
    gone = true;
    leave?.();
    playing.close();
    player?.destroy();
  };
}
