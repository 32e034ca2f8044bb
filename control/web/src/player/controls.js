// SPDX-License-Identifier: Apache-2.0
// What the viewer sees and presses. Menus are the browser's own selects: they work with keyboards,
// screen readers, touch and in full screen.
import { announce, clock, h, icon, language } from '../dom.js';
import { trustLink } from '../trust.js';
import { bindKeys, keyHelp } from './keys.js';

const IDLE_MS = 2800;
const PREVIEW_WIDTH = 176;

function stored(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function store(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // It is forgotten with the page.
  }
}

/** A labelled select; pick(value) on the viewer's choice. */
function menu(label, testid, pick) {
  const select = h('select', { 'data-testid': testid, 'aria-label': label, title: label, onchange: () => pick(select.value) });
  return { select, box: h('label', { class: 'menu' }, h('span', { class: 'menu-name' }, label), select) };
}

function fill(select, options, chosen) {
  const wanted = JSON.stringify(options);
  if (select.dataset.options !== wanted) { // an open list must not change under the pointer
    select.dataset.options = wanted;
    select.replaceChildren(...options.map(([value, text]) => h('option', { value }, text)));
  }
  select.value = String(chosen);
}

export class Controls {
  #player;
  #idle = 0;
  #unbind;
  #scrubbing = false;
  #wasResting = false;
  #observer;

  constructor(player, side) {
    this.#player = player;
    this.video = h('video', { playsinline: true, crossorigin: 'anonymous', preload: 'auto', 'data-testid': 'player-video' });
    this.#makeButtons();
    this.#makeSeek();
    this.#makeMenus(side);
    this.error = h('div', { class: 'player-error', role: 'alert', hidden: true, 'data-testid': 'player-error' });
    this.help = keyHelp();
    this.spinner = h('div', { class: 'spinner', 'aria-hidden': 'true', hidden: true });
    this.big = h('button', { class: 'big-play', type: 'button', 'aria-label': 'Play', 'data-testid': 'big-play', onclick: () => this.togglePlay() }, icon('play'));
    this.bar = h('div', { class: 'controls' }, this.seekBox,
      h('div', { class: 'controls-row' }, this.playButton, this.muteButton, this.volume, this.time,
        h('span', { class: 'gap' }),
        h('div', { class: 'menus' }, this.quality.box, this.audio.box, this.text.box), this.fullButton));
    this.element = h('div', { class: 'player', tabindex: '-1', 'data-testid': 'player' }, this.video, this.spinner, this.big,
      this.error, this.help, this.bar);
    this.#listen();
    this.#unbind = bindKeys(this);
    const volume = Number(stored('volume'));
    if (stored('volume') !== null && volume >= 0 && volume <= 1) this.video.volume = volume;
    this.video.muted = stored('muted') === '1';
    this.#showVolume();
  }

  #makeButtons() {
    const button = (name, testid, label, press) =>
      h('button', { class: 'control', type: 'button', 'aria-label': label, title: label, 'data-testid': testid, onclick: press }, icon(name));
    this.playButton = button('play', 'play-button', 'Play', () => this.togglePlay());
    this.muteButton = button('volume', 'mute-button', 'Mute', () => this.toggleMute());
    this.fullButton = button('full', 'fullscreen-button', 'Full screen', () => this.toggleFull());
    this.volume = h('input', { class: 'volume', type: 'range', min: 0, max: 1, step: 0.05, 'aria-label': 'Volume', 'data-testid': 'volume',
      oninput: () => this.setVolume(Number(this.volume.value)) });
    this.time = h('span', { class: 'time-text', 'data-testid': 'time' }, '0:00');
  }

  #makeSeek() {
    this.seek = h('input', { class: 'seek', type: 'range', min: 0, max: 0, step: 'any', value: 0, 'aria-label': 'Position', 'data-testid': 'seek-bar' });
    this.buffered = h('div', { class: 'seek-buffered' });
    this.previewPicture = h('div', { class: 'preview-picture' });
    this.previewTime = h('span', { class: 'preview-time' });
    this.preview = h('div', { class: 'preview', hidden: true, 'data-testid': 'seek-preview' }, this.previewPicture, this.previewTime);
    this.seekBox = h('div', { class: 'seek-box' }, this.preview, h('div', { class: 'seek-track' }), this.buffered,
      h('div', { class: 'seek-played' }), this.seek);
    this.seek.addEventListener('input', () => {
      this.#scrubbing = true;
      this.#showPlayed(Number(this.seek.value));
      this.#showPreview(Number(this.seek.value));
    });
    this.seek.addEventListener('change', () => {
      this.#scrubbing = false;
      this.preview.hidden = true;
      this.seekTo(Number(this.seek.value));
    });
    this.seekBox.addEventListener('pointermove', (event) => {
      const box = this.seek.getBoundingClientRect();
      const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      this.#showPreview(part * this.#duration());
    });
    this.seekBox.addEventListener('pointerleave', () => { this.preview.hidden = true; });
  }

  #makeMenus(side) {
    const player = this.#player;
    this.quality = menu('Quality', 'quality-select', (value) => player.setLevel(Number(value)));
    this.audio = menu('Audio', 'audio-select', (value) => player.setAudio(Number(value)));
    this.text = menu('Subtitles', 'subtitle-select', (value) => player.setText(Number(value)));
    this.engine = menu('Player', 'engine-select', (value) => player.setEngine(value));
    this.facts = h('span', { class: 'facts', 'data-testid': 'facts' });
    side.replaceChildren(this.facts, this.engine.box);
  }

  #listen() {
    const { video, element } = this;
    const on = (names, listener) => names.forEach((name) => video.addEventListener(name, listener));
    on(['play', 'pause', 'ended', 'loadedmetadata', 'resize'], () => this.refresh());
    on(['timeupdate', 'durationchange', 'seeked', 'progress'], () => this.#showTime());
    on(['waiting', 'seeking', 'stalled'], () => { this.spinner.hidden = video.readyState >= 3; });
    on(['playing', 'canplay', 'seeked', 'pause', 'emptied'], () => { this.spinner.hidden = true; });
    on(['volumechange'], () => this.#showVolume());
    // A tap on a film whose controls are away brings them back, and no more.
    element.addEventListener('pointerdown', () => { this.#wasResting = element.classList.contains('resting'); });
    video.addEventListener('click', (event) => {
      if (event.pointerType !== 'touch' || !this.#wasResting) this.togglePlay();
    });
    video.addEventListener('dblclick', () => this.toggleFull());
    for (const name of ['pointermove', 'pointerdown', 'focusin', 'keydown'])
      element.addEventListener(name, () => this.wake());
    element.addEventListener('pointerleave', () => this.#rest());
    this.onFull = () => this.refresh();
    document.addEventListener('fullscreenchange', this.onFull);
    // The menus fold away where the player is narrow, whatever the window is.
    this.#observer = new ResizeObserver(([entry]) => {
      element.classList.toggle('narrow', entry.contentRect.width < 640);
    });
    this.#observer.observe(element);
  }

  #duration() {
    const { duration } = this.video;
    return Number.isFinite(duration) ? duration : 0;
  }

  /* --- what keys and buttons do -------------------------------------------------------------- */

  togglePlay() {
    const { video } = this;
    if (!this.error.hidden) return;
    if (video.paused || video.ended) video.play().catch(() => this.refresh());
    else video.pause();
  }

  toggleMute() {
    this.video.muted = !this.video.muted;
    store('muted', this.video.muted ? '1' : '0');
  }

  setVolume(value) {
    this.video.volume = Math.min(1, Math.max(0, value));
    this.video.muted = this.video.volume === 0;
    store('volume', String(this.video.volume));
    store('muted', this.video.muted ? '1' : '0');
  }

  toggleFull() {
    const { element, video } = this;
    if (document.fullscreenElement) document.exitFullscreen();
    else if (element.requestFullscreen) element.requestFullscreen().catch(() => {});
    else video.webkitEnterFullscreen?.(); // iPhones know it for the video alone
  }

  toggleText() {
    const player = this.#player;
    if (player.texts().length === 0) return;
    player.setText(player.text() >= 0 ? -1 : 0);
    announce(player.text() >= 0 ? 'Subtitles on' : 'Subtitles off');
  }

  toggleHelp(show = this.help.hidden) {
    this.help.hidden = !show;
  }

  seekTo(time) {
    this.video.currentTime = Math.min(Math.max(0, time), Math.max(0, this.#duration() - 0.1));
    this.#showTime();
  }

  seekBy(seconds) {
    this.seekTo(this.video.currentTime + seconds);
  }

  seekPart(part) {
    this.seekTo(part * this.#duration());
  }

  /* --- what is shown -------------------------------------------------------------------------- */

  refresh() {
    const { video } = this;
    const ended = video.ended;
    const label = ended ? 'Play again' : video.paused ? 'Play' : 'Pause';
    this.playButton.replaceChildren(icon(ended ? 'replay' : video.paused ? 'play' : 'pause'));
    this.playButton.setAttribute('aria-label', label);
    this.playButton.title = label;
    this.big.hidden = !video.paused || !this.error.hidden || video.currentTime > 0;
    const full = document.fullscreenElement === this.element;
    this.fullButton.replaceChildren(icon(full ? 'unfull' : 'full'));
    this.fullButton.setAttribute('aria-label', full ? 'Leave full screen' : 'Full screen');
    this.element.classList.toggle('paused', video.paused);
    this.#showMenus();
    this.#showTime();
    this.wake();
  }

  #showMenus() {
    const player = this.#player;
    const levels = player.levels();
    const level = player.level();
    const name = (l) => (l.height > 0 ? `${l.height}p` : `${Math.round(l.bitrate / 1000)} kbit/s`);
    const twins = (l) => levels.filter((other) => other.height === l.height).length > 1 && l.bitrate > 0;
    const shown = (l) => (twins(l) ? `${name(l)} · ${(l.bitrate / 1e6).toFixed(1)} Mbit/s` : name(l));
    const auto = player.isAuto() && levels[level] && levels.length > 1 ? `Auto (${name(levels[level])})` : 'Auto';
    const rising = levels.map((l, i) => [String(i), shown(l), l.height]).sort((a, b) => b[2] - a[2]).map(([i, text]) => [i, text]);
    fill(this.quality.select, [['-1', auto], ...rising], player.isAuto() ? -1 : player.wantedLevel() ?? level);
    const track = (t) => (t.label && t.label !== t.lang ? t.label : language(t.lang));
    fill(this.audio.select, player.audios().map((t, i) => [String(i), track(t)]), player.audio());
    fill(this.text.select, [['-1', 'Off'], ...player.texts().map((t, i) => [String(i), track(t)])], player.text());
    this.quality.box.hidden = levels.length === 0;
    this.audio.box.hidden = player.audios().length < 2;
    this.text.box.hidden = player.texts().length === 0;
    fill(this.engine.select, player.engines.map((e) => [e.name, `${e.label} · ${e.format}`]), player.engineName);
    const playing = levels[level];
    this.facts.textContent = playing ? [name(playing), playing.bitrate > 0 ? `${(playing.bitrate / 1e6).toFixed(1)} Mbit/s` : null]
      .filter(Boolean).join(' · ') : '';
  }

  #showTime() {
    const { video } = this;
    const duration = this.#duration();
    this.time.textContent = `${clock(video.currentTime)} / ${clock(duration)}`;
    this.seek.max = String(duration);
    if (!this.#scrubbing) {
      this.seek.value = String(video.currentTime);
      this.#showPlayed(video.currentTime);
    }
    this.seek.setAttribute('aria-valuetext', `${clock(video.currentTime)} of ${clock(duration)}`);
    let end = 0;
    for (let i = 0; i < video.buffered.length; i++)
      if (video.buffered.start(i) <= video.currentTime + 0.5) end = Math.max(end, video.buffered.end(i));
    this.seekBox.style.setProperty('--buffered', duration > 0 ? String(end / duration) : '0');
  }

  #showPlayed(time) {
    const duration = this.#duration();
    this.seekBox.style.setProperty('--played', duration > 0 ? String(time / duration) : '0');
  }

  #showPreview(time) {
    const duration = this.#duration();
    if (duration <= 0) return;
    const width = Math.min(PREVIEW_WIDTH, this.seekBox.clientWidth / 2.5);
    this.previewPicture.hidden = !this.#player.thumbnails.show(this.previewPicture, time, width);
    this.previewTime.textContent = clock(time);
    this.preview.hidden = false;
    const half = this.preview.offsetWidth / 2;
    const middle = (time / duration) * this.seekBox.clientWidth;
    this.preview.style.left = `${Math.min(Math.max(half, middle), this.seekBox.clientWidth - half)}px`;
  }

  #showVolume() {
    const { video } = this;
    const silent = video.muted || video.volume === 0;
    this.muteButton.replaceChildren(icon(silent ? 'muted' : 'volume'));
    this.muteButton.setAttribute('aria-label', silent ? 'Unmute' : 'Mute');
    this.volume.value = String(silent ? 0 : video.volume);
    this.volume.style.setProperty('--value', String(silent ? 0 : video.volume));
  }

  /** edge: the URL to open when nothing came from there; null otherwise. */
  showError(sentence, edge = null) {
    this.error.hidden = sentence === null;
    this.element.classList.toggle('failed', sentence !== null);
    this.spinner.hidden = true;
    if (sentence === null) return;
    this.big.hidden = true;
    this.error.replaceChildren(icon('warn'), h('p', { class: 'player-error-text' }, sentence), edge ? trustLink(edge) : null ?? '',
      h('button', { class: 'primary', type: 'button', 'data-testid': 'player-retry', onclick: () => this.#player.retry() }, 'Try again'));
  }

  wake() {
    this.element.classList.remove('resting');
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#rest(), IDLE_MS);
  }

  #rest() {
    const busy = this.video.paused || !this.error.hidden || this.#scrubbing || !this.help.hidden ||
      (this.bar.matches(':hover') && matchMedia('(hover: hover)').matches) || this.bar.querySelector(':focus-visible');
    this.element.classList.toggle('resting', !busy);
  }

  destroy() {
    clearTimeout(this.#idle);
    this.#unbind();
    this.#observer.disconnect();
    document.removeEventListener('fullscreenchange', this.onFull);
    this.video.pause();
  }
}
