// SPDX-License-Identifier: Apache-2.0
// Which device this is: one name a tab, so that a page that is loaded again takes its own place.

const KEY = 'weir-device';
const BROWSERS = [['Edg/', 'Edge'], ['OPR/', 'Opera'], ['Firefox/', 'Firefox'], ['Chrome/', 'Chrome'], ['Safari/', 'Safari']];
const SYSTEMS = [['Android', 'Android'], ['iPhone', 'iPhone'], ['iPad', 'iPad'], ['Windows', 'Windows'], ['Mac OS', 'macOS'],
  ['CrOS', 'ChromeOS'], ['Linux', 'Linux']];

export function deviceId() {
  try {
    let id = sessionStorage.getItem(KEY);
    if (!id) {
      id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
      sessionStorage.setItem(KEY, id);
    }
    return id;
  } catch {
    return ''; // storage is switched off: every load is a device of its own
  }
}

/** "Firefox on Linux" */
export function deviceName(agent = navigator.userAgent) {
  const find = (list) => list.find(([mark]) => agent.includes(mark))?.[1];
  return [find(BROWSERS) ?? 'A browser', find(SYSTEMS)].filter(Boolean).join(' on ');
}
