// SPDX-License-Identifier: Apache-2.0
import Hls from 'hls.js';

/* global HLS_WORKER */

export async function create(video, urls, hooks) {
  const hls = new Hls({
    workerPath: HLS_WORKER,
    backBufferLength: 60,
    maxBufferLength: 30,
    startPosition: urls.start ?? -1,
    capLevelToPlayerSize: false,
  });
  let recovered = 0; // when a media error was last recovered from

  hls.on(Hls.Events.ERROR, (_, data) => {
    if (data.details === Hls.ErrorDetails.INTERNAL_ABORTED) return; // a load given up for a better one
    const error = {
      fatal: data.fatal,
      type: data.type === Hls.ErrorTypes.NETWORK_ERROR ? 'network' : data.type === Hls.ErrorTypes.MEDIA_ERROR ? 'media' : 'other',
      detail: data.details,
      message: data.error?.message ?? data.details,
      status: data.response?.code ?? 0,
    };
    // One decoder hiccup is worth a second try; a second within five seconds is not.
    if (data.fatal && error.type === 'media' && Date.now() - recovered > 5000) {
      recovered = Date.now();
      error.fatal = false;
      hls.recoverMediaError();
    }
    hooks.error(error);
  });
  for (const event of ['MANIFEST_PARSED', 'LEVEL_SWITCHED', 'LEVELS_UPDATED', 'AUDIO_TRACKS_UPDATED', 'AUDIO_TRACK_SWITCHED',
    'SUBTITLE_TRACKS_UPDATED', 'SUBTITLE_TRACK_SWITCH'])
    hls.on(Hls.Events[event], hooks.changed);
  hls.subtitleDisplay = true;
  hls.loadSource(urls.hls);
  hls.attachMedia(video);

  const named = (track) => ({ label: track.name, lang: track.lang });
  return {
    levels: () => hls.levels.map(({ height, width, bitrate }) => ({ height, width, bitrate })),
    level: () => hls.currentLevel,
    isAuto: () => hls.autoLevelEnabled,
    setLevel: (i) => { hls.nextLevel = i; },
    audios: () => hls.audioTracks.map(named),
    audio: () => hls.audioTrack,
    setAudio: (i) => { hls.audioTrack = i; },
    texts: () => hls.subtitleTracks.map(named),
    text: () => hls.subtitleTrack,
    setText: (i) => { hls.subtitleTrack = i; },
    destroy: () => hls.destroy(),
  };
}
