// SPDX-License-Identifier: Apache-2.0
// A playback's session: opened, kept alive, and given back when the page is left.
import * as api from './api.js';

const BEAT_S = 30;

export class Playing {
  #asset;
  #onEnded;
  #session = null;
  #timer = 0;
  #onHide = () => this.stop();
  #onShow = (event) => {
    if (event.persisted) window.location.reload(); // back from the cache: its session is gone
  };

  /** onEnded(error): the session was ended elsewhere, or has lost its place. */
  constructor(asset, onEnded) {
    this.#asset = asset;
    this.#onEnded = onEnded;
    window.addEventListener('pagehide', this.#onHide);
    window.addEventListener('pageshow', this.#onShow);
  }

  async open() {
    const answer = await api.playback(this.#asset);
    this.#session = answer.session_id;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#beat().catch(() => {}), (answer.heartbeat_s ?? BEAT_S) * 1000);
    return answer;
  }

  /** New links for the same film, unless it was ended on purpose. */
  async renew() {
    await this.#beat();
    return this.open();
  }

  /** Fails when the session is no more; a service that is away is no reason to stop. */
  async #beat() {
    const session = this.#session;
    if (!session) throw new api.ApiError(410, 'SESSION_TERMINATED', 'This session has been ended.');
    try {
      await api.heartbeat(session);
    } catch (error) {
      if (session !== this.#session || ![401, 404, 410, 429].includes(error.status)) return;
      if (error.status === 404) return; // its lease ran out while nothing was asked for: opened anew
      this.#session = null;
      this.close();
      this.#onEnded(error);
      throw error;
    }
  }

  stop() {
    const session = this.#session;
    this.#session = null;
    clearInterval(this.#timer);
    if (session) api.stop(session).catch(() => {}); // it runs out by itself otherwise
  }

  close() {
    window.removeEventListener('pagehide', this.#onHide);
    window.removeEventListener('pageshow', this.#onShow);
    this.stop();
  }
}
