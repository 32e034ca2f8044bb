// SPDX-License-Identifier: Apache-2.0
// All titles, newest first.
import * as api from '../api.js';
import { clock, h, icon, language, tier } from '../dom.js';
import { sessionEnded } from '../session.js';
import { trustHint } from '../trust.js';

function poster(video, onFail) {
  const frame = h('div', { class: 'poster' }, h('span', { class: 'poster-letter', 'aria-hidden': 'true' },
    [...video.title][0]?.toUpperCase() ?? '?'));
  const image = h('img', { src: video.poster_url, alt: '', loading: 'lazy', decoding: 'async' });
  image.addEventListener('load', () => image.classList.add('loaded'));
  image.addEventListener('error', () => {
    image.remove();
    onFail(video.poster_url);
  });
  frame.append(image,
    h('span', { class: 'poster-play', 'aria-hidden': 'true' }, icon('play')),
    h('span', { class: 'badge time' }, clock(video.duration_ms / 1000)));
  const quality = tier(video.height);
  if (quality) frame.append(h('span', { class: 'badge quality' }, quality));
  return frame;
}

function languages(video) {
  const audio = [...new Set(video.audio)].filter((tag) => tag !== 'und').map(language);
  const parts = [];
  if (audio.length > 0) parts.push(audio.slice(0, 3).join(', ') + (audio.length > 3 ? ` +${audio.length - 3}` : ''));
  if (video.subtitles.length > 0)
    parts.push(`${video.subtitles.length} subtitle${video.subtitles.length > 1 ? 's' : ''}`);
  return parts.join(' · ') || ' ';
}

function card(video, onFail) {
  return h('li', {},
    h('a', { class: 'card', href: `#/watch/${encodeURIComponent(video.asset)}`, 'data-testid': 'title-card',
      'data-asset': video.asset },
    poster(video, onFail),
    h('span', { class: 'card-title' }, video.title),
    h('span', { class: 'card-sub' }, languages(video))));
}

const skeleton = () => h('li', { class: 'card skeleton', 'aria-hidden': 'true' },
  h('div', { class: 'poster' }), h('span', { class: 'card-title' }), h('span', { class: 'card-sub' }));

export function showGrid(main) {
  document.title = 'Weir';
  const list = h('ul', { class: 'grid', 'aria-busy': 'true', 'data-testid': 'grid' }, Array.from({ length: 8 }, skeleton));
  const hint = h('div');
  const count = h('span', { class: 'count' });
  const more = h('button', { class: 'quiet more', type: 'button', hidden: true, onclick: () => load() }, 'Show more');
  let cursor = null;
  let shown = 0;
  let gone = false;
  let hinted = false;

  // One picture may be missing; when the first to answer fails, look whether the edge is there.
  async function onFail(url) {
    if (hinted) return;
    hinted = true;
    const node = await trustHint(url, 'Pictures and films come from another address, which this browser cannot load yet.');
    if (node && !gone) hint.replaceChildren(node);
  }

  async function load() {
    more.disabled = true;
    try {
      const page = await api.videos(cursor);
      if (gone) return;
      if (shown === 0) list.replaceChildren();
      list.append(...page.videos.map((video) => card(video, onFail)));
      shown += page.videos.length;
      cursor = page.next;
      more.hidden = !cursor;
      count.textContent = shown > 0 ? `${shown}${cursor ? '+' : ''}` : '';
      list.removeAttribute('aria-busy');
      if (shown === 0)
        list.replaceWith(h('div', { class: 'notice' }, h('h2', {}, 'Nothing here yet'),
          h('p', {}, 'Titles appear as soon as they are published.')));
    } catch (error) {
      if (gone) return;
      if (error.status === 401) return sessionEnded();
      hint.replaceChildren(h('div', { class: 'notice', role: 'alert' }, icon('warn'), h('p', {}, error.message),
        h('button', { class: 'primary', type: 'button', onclick: () => { hint.replaceChildren(); load(); } }, 'Try again')));
      if (shown === 0) list.replaceChildren();
    } finally {
      more.disabled = false;
    }
  }

  main.replaceChildren(h('section', { class: 'titles' },
    h('div', { class: 'heading' }, h('h1', {}, 'Titles'), count), hint, list, more));
  load();
  return () => { gone = true; };
}
