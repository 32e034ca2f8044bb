// SPDX-License-Identifier: Apache-2.0
// The engines behind one face. Each is a chunk of its own, loaded when it is chosen.
//
// An engine: { levels(): [{height, width, bitrate}] rising; level(): index of the one on screen or
// -1; isAuto(); setLevel(i), -1 for automatic; audios(): [{label, lang}], audio(), setAudio(i);
// texts(), text() (-1: off), setText(i); destroy() }. It calls hooks.changed() when any of that may
// have, and hooks.error({fatal, type, detail, message, status}).

export const ENGINES = [
  { name: 'hls', label: 'hls.js', format: 'HLS', load: () => import('./engine-hls.js') },
  { name: 'dash', label: 'dash.js', format: 'DASH', load: () => import('./engine-dash.js') },
  { name: 'shaka', label: 'Shaka Player', format: 'DASH', load: () => import('./engine-shaka.js') },
  { name: 'native', label: 'Browser', format: 'HLS', load: () => import('./engine-native.js') },
];

export function playsHls() {
  return document.createElement('video').canPlayType('application/vnd.apple.mpegurl') !== '';
}

const hasMse = () => 'MediaSource' in window || 'ManagedMediaSource' in window;

/** Those this browser can run. */
export function available() {
  return ENGINES.filter((engine) => (engine.name === 'native' ? playsHls() : hasMse()));
}

/** The one asked for, else hls.js, else the browser itself. */
export function choose(name) {
  const list = available();
  return list.find((engine) => engine.name === name) ?? list[0] ?? null;
}
