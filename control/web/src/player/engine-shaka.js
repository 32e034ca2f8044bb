// SPDX-License-Identifier: Apache-2.0
import shaka from 'shaka-player';

const { Category, Severity, Code } = shaka.util.Error;

function describe(error) {
  const bad = error.code === Code.BAD_HTTP_STATUS;
  return {
    fatal: error.severity === Severity.CRITICAL,
    type: error.category === Category.NETWORK ? 'network' : error.category === Category.MEDIA ? 'media' : 'other',
    detail: String(error.code ?? ''),
    message: error.message ?? 'Shaka Player failed',
    status: bad ? error.data?.[1] ?? 0 : 0,
  };
}

export async function create(video, urls, hooks) {
  shaka.polyfill.installAll();
  if (!shaka.Player.isBrowserSupported()) throw new Error('Shaka Player does not support this browser');
  const player = new shaka.Player();
  let fixed = -1;
  let ready = false;
  player.addEventListener('error', (event) => hooks.error(describe(event.detail)));
  for (const event of ['trackschanged', 'variantchanged', 'adaptation', 'textchanged', 'audiotrackschanged', 'audiotrackchanged'])
    player.addEventListener(event, hooks.changed);
  await player.attach(video);
  // Not awaited: the controls stand meanwhile. What fails is told once.
  player.load(urls.dash, urls.start ?? null).then(() => {
    ready = true;
    hooks.changed();
  }, (error) => {
    if (error?.code !== Code.LOAD_INTERRUPTED) hooks.error({ ...describe(error), fatal: true });
  });

  const videos = () => (ready ? player.getVideoTracks().sort((a, b) => a.bandwidth - b.bandwidth) : []);
  const audios = () => (ready ? player.getAudioTracks() : []);
  const texts = () => (ready ? player.getTextTracks() : []);
  const named = (track) => ({ label: track.label ?? track.language, lang: track.language });
  const active = (list) => list.findIndex((track) => track.active);
  return {
    levels: () => videos().map(({ height, width, bandwidth }) => ({ height, width, bitrate: bandwidth })),
    level: () => active(videos()),
    isAuto: () => fixed < 0,
    setLevel: (i) => {
      fixed = i;
      player.configure('abr.enabled', i < 0);
      if (i >= 0) player.selectVideoTrack(videos()[i], true, 1);
      hooks.changed();
    },
    audios: () => audios().map(named),
    audio: () => active(audios()),
    setAudio: (i) => player.selectAudioTrack(audios()[i]),
    texts: () => texts().map(named),
    text: () => active(texts()),
    setText: (i) => player.selectTextTrack(i < 0 ? null : texts()[i]),
    destroy: () => player.destroy(),
  };
}
