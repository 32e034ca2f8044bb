// SPDX-License-Identifier: Apache-2.0
// Pictures for the seek bar: WebVTT whose cues are "sheet.jpg#xywh=x,y,w,h".

function seconds(text) {
  const parts = text.trim().split(':').map(Number);
  return parts.some(Number.isNaN) ? NaN : parts.reduce((sum, part) => sum * 60 + part, 0);
}

/** [{start, end, url, x, y, w, h}], rising; lines of no such form are passed over. */
export function parseThumbnails(text, base) {
  const cues = [];
  for (const block of text.replace(/\r\n?/g, '\n').split(/\n{2,}/)) {
    const lines = block.split('\n');
    const at = lines.findIndex((line) => line.includes('-->'));
    if (at < 0 || !lines[at + 1]) continue;
    const [from, to] = lines[at].split('-->');
    const start = seconds(from);
    const end = seconds(to.trim().split(/\s/)[0]);
    const [file, place] = lines[at + 1].trim().split('#xywh=');
    const [x, y, w, h] = (place ?? '').replace('pixel:', '').split(',').map(Number);
    if (!(end > start) || !(w > 0) || !(h > 0) || !(x >= 0) || !(y >= 0)) continue;
    cues.push({ start, end, url: new URL(file, base).href, x, y, w, h });
  }
  return cues.sort((a, b) => a.start - b.start);
}

export class Thumbnails {
  #cues = [];

  /** Where there are none, there are none: no error for the viewer. */
  async load(url) {
    try {
      const response = await fetch(url);
      if (response.ok) this.#cues = parseThumbnails(await response.text(), response.url || url);
    } catch {
      this.#cues = [];
    }
  }

  at(time) {
    let low = 0;
    let high = this.#cues.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#cues[middle].start <= time) low = middle;
      else high = middle - 1;
    }
    return this.#cues[low] ?? null;
  }

  /** Shows the picture of that time in the element, `width` wide; false when there is none. */
  show(element, time, width) {
    const cue = this.at(time);
    if (!cue) return false;
    const scale = width / cue.w;
    element.style.width = `${width}px`;
    element.style.height = `${Math.round(cue.h * scale)}px`;
    let image = element.firstElementChild;
    if (!image) {
      image = new Image();
      image.alt = '';
      element.append(image);
    }
    if (image.src !== cue.url) image.src = cue.url;
    image.style.transform = `scale(${scale}) translate(${-cue.x}px, ${-cue.y}px)`;
    return true;
  }
}
