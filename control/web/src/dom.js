// SPDX-License-Identifier: Apache-2.0
// The little that a page needs of a framework: elements, text that stays text, times.

/** h('button', { class: 'x', onclick: f, 'data-testid': 't' }, 'text', node, null) */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';
const PATHS = {
  play: 'M8 5.500v13l11-6.500z',
  pause: 'M7 5h3.500v14H7zM13.5 5H17v14h-3.500z',
  replay: 'M12 5V1.500L6.5 7l5.5 5.500V8a5 5 0 1 1-5 5H4.500A7.5 7.5 0 1 0 12 5z',
  volume: 'M4 9.500v5h3.500L12 19V5L7.5 9.500zM14.5 8.500a4.5 4.5 0 0 1 0 7zM14.5 4.300v2a6 6 0 0 1 0 11.400v2a8 8 0 0 0 0-15.400z',
  muted: 'M4 9.500v5h3.500L12 19V5L7.5 9.500zM21 9.9 19.6 8.5 17.5 10.6 15.4 8.5 14 9.900l2.1 2.100L14 14.100l1.4 1.4 2.1-2.1 2.1 2.1 1.4-1.4-2.1-2.100z',
  full: 'M5 5h5.500v2.200H7.200v3.300H5zM13.5 5H19v5.500h-2.200V7.200h-3.300zM5 13.500h2.200v3.300h3.300V19H5zM16.8 13.500H19V19h-5.500v-2.200h3.300z',
  unfull: 'M8.3 5h2.200v5.500H5V8.300h3.300zM13.5 5h2.200v3.300H19v2.200h-5.500zM5 13.500h5.500V19H8.300v-3.300H5zM13.5 13.500H19v2.200h-3.300V19h-2.200z',
  back: 'M14.5 5.5 16 7l-5 5 5 5-1.5 1.500L8 12z',
  sun: 'M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM11 2h2v3h-2zM11 19h2v3h-2zM2 11h3v2H2zM19 11h3v2h-3zM4.2 5.600l1.4-1.4 2.1 2.1-1.4 1.400zM16.3 17.700l1.4-1.4 2.1 2.1-1.4 1.400zM4.2 18.400l2.1-2.1 1.4 1.4-2.1 2.100zM16.3 6.300l2.1-2.1 1.4 1.4-2.1 2.100z',
  moon: 'M12.5 3a9 9 0 1 0 8.5 11.800A7.5 7.5 0 0 1 12.5 3z',
  keys: 'M3 6h18v12H3zm2 2v8h14V8zm1.5 1.500h2v2h-2zm4 0h2v2h-2zm4 0h2v2h-2zM8 13h8v1.800H8z',
  person: 'M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM4 20c0-4 3.600-6 8-6s8 2 8 6z',
  warn: 'M12 3 1.8 20.500h20.400zM11 10h2v5h-2zm0 6.500h2v2h-2z',
};

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  const path = document.createElementNS(SVG, 'path');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** 3725 -> "1:02:05" */
export function clock(seconds) {
  const s = Number.isFinite(seconds) ? Math.max(0, Math.floor(seconds)) : 0;
  const two = (n) => String(n).padStart(2, '0');
  const hours = Math.floor(s / 3600);
  const minutes = Math.floor(s / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

/** "en" -> "English"; what is no language tag stays as it is. */
export function language(tag) {
  if (!tag || tag === 'und') return 'Unknown';
  try {
    return new Intl.DisplayNames(['en'], { type: 'language' }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** 2160 -> "4K" */
export function tier(height) {
  if (height >= 2160) return '4K';
  if (height >= 1440) return 'QHD';
  if (height >= 1080) return 'Full HD';
  return height >= 720 ? 'HD' : height > 0 ? `${height}p` : null;
}

/** "a refusal of the API" -> "A refusal of the API." */
export function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

const FIELDS = { email: 'This', password: 'The password', code: 'The code', pin: 'The PIN', token: 'The link', ticket: 'The log-in' };

/** What the API refused something for, in words of the page: '"code" is empty' -> "The code is empty." */
export function explain(error) {
  const name = FIELDS[error.details?.field];
  return sentence(name ? error.message.replace(`"${error.details.field}"`, name) : error.message);
}

/** Says it to screen readers. */
export function announce(text) {
  document.getElementById('status').textContent = text;
}

export function brand() {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 32 32');
  svg.setAttribute('class', 'logo');
  svg.setAttribute('aria-hidden', 'true');
  for (const y of [11, 16.5, 22]) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', `M6 ${y}c3 0 3 2.4 5 2.400s2-2.4 5-2.4 3 2.4 5 2.4 2-2.4 5-2.4`);
    svg.append(path);
  }
  return svg;
}
