// SPDX-License-Identifier: Apache-2.0
// The player: one video element, the engine that feeds it, and what goes wrong between them.
// Tests drive it through window.weirPlayer.
import { announce } from '../dom.js';
import { probe } from '../trust.js';
import { available, choose } from './engines.js';
import { Controls } from './controls.js';
import { Thumbnails } from './thumbnails.js';

const RENEW_MS_MIN = 30000; // a signed URL is asked for again at most that often
const IDLE = { levels: () => [], level: () => -1, isAuto: () => true, setLevel: () => {}, audios: () => [], audio: () => -1,
  setAudio: () => {}, texts: () => [], text: () => -1, setText: () => {}, destroy: () => {} };

export class Player {
  #urls;
  #renew;
  #renewed = 0;
  #engine = IDLE;
  #choice;
  #errors = [];
  #wanted = null;
  #generation = 0; // grows with every load: what an older engine still says is not heard
  #destroyed = false;

  constructor(answer, engineName, { renew, side }) {
    this.#urls = answer;
    this.#renew = renew;
    this.#choice = choose(engineName);
    this.controls = new Controls(this, side);
    this.element = this.controls.element;
    this.video = this.controls.video;
    this.thumbnails = new Thumbnails();
    const player = this;
    this.api = {
      get engine() { return player.engineName; },
      levels: () => player.levels(),
      level: () => player.level(),
      setLevel: (i) => player.setLevel(i),
      isAuto: () => player.isAuto(),
      audios: () => player.audios(),
      audio: () => player.audio(),
      setAudio: (i) => player.setAudio(i),
      texts: () => player.texts(),
      text: () => player.text(),
      setText: (i) => player.setText(i),
      errors: this.#errors,
      video: this.video,
    };
    window.weirPlayer = this.api;
  }

  get engineName() { return this.#choice?.name ?? null; }
  get engines() { return available(); }
  levels() { return this.#engine.levels(); }
  level() { return this.#engine.level(); }
  isAuto() { return this.#engine.isAuto(); }
  /** The one asked for, though another may still be on screen; null: none was. */
  wantedLevel() { return this.#wanted; }
  setLevel(i) {
    this.#wanted = i < 0 ? null : i;
    this.#engine.setLevel(i);
    this.controls.refresh();
  }
  audios() { return this.#engine.audios(); }
  audio() { return this.#engine.audio(); }
  setAudio(i) { this.#engine.setAudio(i); }
  texts() { return this.#engine.texts(); }
  text() { return this.#engine.text(); }
  setText(i) { this.#engine.setText(i); }

  async start() {
    this.thumbnails.load(this.#urls.thumbnails_url);
    this.video.poster = this.#urls.poster_url ?? '';
    await this.#load(null, true);
  }

  /** Another engine, from the same second on. */
  async setEngine(name) {
    const choice = choose(name);
    if (!choice || choice === this.#choice) return;
    this.#choice = choice;
    const hash = location.hash.split('?')[0];
    history.replaceState(null, '', `${hash}?engine=${choice.name}`);
    announce(`Playing with ${choice.label}`);
    await this.#load(this.video.currentTime, !this.video.paused);
  }

  /** After an error: the same again. */
  async retry() {
    await this.#load(this.video.currentTime, true);
  }

  async #load(start, play) {
    const generation = ++this.#generation;
    const live = () => generation === this.#generation && !this.#destroyed;
    this.controls.showError(null);
    await this.#unload();
    if (!live()) return;
    if (!this.#choice) {
      this.#report({ fatal: true, type: 'media', detail: 'unsupported', message: 'no engine for this browser', status: 0 });
      return;
    }
    const hooks = {
      changed: () => { if (live()) this.controls.refresh(); },
      error: (error) => { if (live()) this.#report(error); },
    };
    try {
      const { create } = await this.#choice.load();
      if (!live()) return;
      const urls = { hls: this.#urls.hls_url, dash: this.#urls.dash_url, start: start > 0 ? start : null };
      const engine = await create(this.video, urls, hooks);
      if (!live()) return void engine.destroy();
      this.#engine = engine;
    } catch (error) {
      hooks.error({ fatal: true, type: 'other', detail: 'engine', message: error.message, status: 0 });
      return;
    }
    this.controls.refresh();
    // Browsers may want a click before sound: then the play button waits for it.
    if (play) this.video.play().catch(() => this.controls.refresh());
  }

  async #unload() {
    const engine = this.#engine;
    this.#engine = IDLE;
    this.#wanted = null;
    await engine.destroy();
    this.video.removeAttribute('src');
    this.video.load();
  }

  #report(error) {
    // Engines put whole addresses into their words: the signed part is nobody else's business.
    error.message = String(error.message).replace(/(URISigningPackage=)[^/;&?\s]+/g, '$1…');
    this.#errors.push({ engine: this.engineName, time: this.video.currentTime, ...error });
    if (error.fatal) this.#explain(error, this.#generation);
  }

  /** Says what a viewer can do; a link that has run out is renewed without a word. */
  async #explain(error, generation) {
    let { status } = error;
    let reached = true;
    if (error.type !== 'media' || status === 0) {
      const seen = await probe(this.#urls.hls_url);
      if (generation !== this.#generation || this.#destroyed) return;
      reached = seen.reached;
      status = seen.reached ? seen.status : 0;
    }
    if (status === 403 && Date.now() - this.#renewed > RENEW_MS_MIN) {
      this.#renewed = Date.now();
      try {
        this.#urls = await this.#renew();
        if (generation === this.#generation && !this.#destroyed) await this.#load(this.video.currentTime, true);
        return;
      } catch {
        // Told below.
      }
    }
    this.controls.showError(this.#sentence(error, reached, status), reached ? null : new URL(this.#urls.hls_url));
  }

  #sentence(error, reached, status) {
    if (error.detail === 'unsupported') return 'This browser has none of the means to play this film.';
    if (error.detail === 'engine') return 'The player could not be loaded. Check your connection and try again.';
    if (!reached) return 'The server that sends the film cannot be reached, or this browser does not trust its certificate yet.';
    if (status === 403) return 'The link to this film is no longer valid, and a new one was refused too.';
    if (status === 404) return 'The film is not on the server any more.';
    if (status >= 500) return 'The server that sends the film has trouble. Try again in a moment.';
    if (error.type === 'media') return 'This browser could not decode the film. Another player engine or a lower quality may help.';
    return `The film stopped: ${error.message}.`;
  }

  destroy() {
    this.#destroyed = true;
    this.#generation++;
    this.controls.destroy();
    const engine = this.#engine;
    this.#engine = IDLE;
    Promise.resolve(engine.destroy()).catch(() => {});
    if (window.weirPlayer === this.api) delete window.weirPlayer;
  }
}

