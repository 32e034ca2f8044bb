// SPDX-License-Identifier: Apache-2.0
// The browser's own HLS, for Safari on iPhones and wherever else it is there.

export async function create(video, urls, hooks) {
  const onError = () => hooks.error({
    fatal: true,
    type: video.error?.code === 2 ? 'network' : 'media',
    detail: String(video.error?.code ?? ''),
    message: video.error?.message || 'the browser cannot play this',
    status: 0,
  });
  const onStart = () => {
    if (urls.start > 0) video.currentTime = urls.start;
    hooks.changed();
  };
  video.addEventListener('error', onError);
  video.addEventListener('loadedmetadata', onStart);
  video.addEventListener('resize', hooks.changed);
  video.src = urls.hls;

  const list = (tracks) => [...(tracks ?? [])];
  const texts = () => list(video.textTracks).filter((track) => track.kind === 'subtitles' || track.kind === 'captions');
  const audios = () => list(video.audioTracks);
  const named = (track) => ({ label: track.label || track.language, lang: track.language });
  return {
    // The browser chooses, and tells only what is on screen.
    levels: () => (video.videoHeight > 0 ? [{ height: video.videoHeight, width: video.videoWidth, bitrate: 0 }] : []),
    level: () => (video.videoHeight > 0 ? 0 : -1),
    isAuto: () => true,
    setLevel: () => {},
    audios: () => audios().map(named),
    audio: () => audios().findIndex((track) => track.enabled),
    setAudio: (i) => {
      audios().forEach((track, k) => { track.enabled = k === i; });
      hooks.changed();
    },
    texts: () => texts().map(named),
    text: () => texts().findIndex((track) => track.mode === 'showing'),
    setText: (i) => {
      texts().forEach((track, k) => { track.mode = k === i ? 'showing' : 'disabled'; });
      hooks.changed();
    },
    destroy: () => {
      video.removeEventListener('error', onError);
      video.removeEventListener('loadedmetadata', onStart);
      video.removeEventListener('resize', hooks.changed);
    },
  };
}
