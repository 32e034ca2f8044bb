// SPDX-License-Identifier: Apache-2.0
import { MediaPlayer } from 'dashjs';

export async function create(video, urls, hooks) {
  const player = MediaPlayer().create();
  player.initialize();
  player.updateSettings({
    debug: { logLevel: 0 },
    streaming: {
      text: { defaultEnabled: false },
      buffer: { fastSwitchEnabled: true },
      scheduling: { scheduleWhilePaused: true },
    },
  });
  const events = MediaPlayer.events;
  let fixed = -1; // the level that was asked for
  let ready = false;

  player.on(events.ERROR, ({ error }) => {
    const code = error?.code ?? 0;
    // 10..32: loading and parsing; the rest is the decoder's and the browser's.
    const network = code >= 10 && code <= 32;
    hooks.error({
      fatal: true,
      type: network ? 'network' : 'media',
      detail: String(code),
      message: error?.message ?? 'dash.js failed',
      status: error?.data?.response?.status ?? error?.data?.status ?? 0,
    });
  });
  for (const event of ['QUALITY_CHANGE_RENDERED', 'TRACK_CHANGE_RENDERED', 'TEXT_TRACKS_ADDED', 'PLAYBACK_METADATA_LOADED'])
    player.on(events[event], hooks.changed);
  player.on(events.STREAM_INITIALIZED, () => {
    ready = true;
    hooks.changed();
  });
  player.attachView(video);
  player.setAutoPlay(false);
  player.attachSource(urls.dash, urls.start ?? undefined);

  const representations = () => (ready
    ? [...player.getRepresentationsByType('video')].sort((a, b) => a.bandwidth - b.bandwidth) : []);
  const named = (track) => ({ label: track.labels?.[0]?.text ?? track.lang, lang: track.lang });
  const tracks = (type) => (ready ? player.getTracksFor(type) : []);
  const current = (type) => {
    const now = ready ? player.getCurrentTrackFor(type) : null;
    return now ? tracks(type).findIndex((track) => track.index === now.index) : -1;
  };
  return {
    levels: () => representations().map(({ height, width, bandwidth }) => ({ height, width, bitrate: bandwidth })),
    level: () => {
      const now = ready ? player.getCurrentRepresentationForType('video') : null;
      return now ? representations().findIndex((r) => r.id === now.id) : -1;
    },
    isAuto: () => fixed < 0,
    setLevel: (i) => {
      fixed = i;
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: i < 0 } } } });
      if (i >= 0) player.setRepresentationForTypeById('video', representations()[i].id, true);
      hooks.changed();
    },
    audios: () => tracks('audio').map(named),
    audio: () => current('audio'),
    setAudio: (i) => player.setCurrentTrack(tracks('audio')[i]),
    texts: () => tracks('text').map(named),
    text: () => (ready && player.isTextEnabled() ? player.getCurrentTextTrackIndex() : -1),
    setText: (i) => {
      player.enableText(i >= 0);
      player.setTextTrack(i);
      hooks.changed();
    },
    destroy: () => player.destroy(),
  };
}
