// SPDX-License-Identifier: Apache-2.0
// The log-in of this browser, which all its tabs share: how it is kept, and how views tell the page
// that it has ended under them, without knowing the page.

const NAME = 'weir-session-ended';
const WHEN = 'weir-refreshed';

export const sessionEnded = () => { window.dispatchEvent(new Event(NAME)); };
export const onSessionEnded = (listener) => window.addEventListener(NAME, listener);

function lastRefresh() {
  try {
    return Number(localStorage.getItem(WHEN)) || 0;
  } catch {
    return 0; // storage is off
  }
}

function noteRefresh() {
  try {
    localStorage.setItem(WHEN, String(Date.now()));
  } catch {
    // Other tabs find out by asking.
  }
}

/** One tab at a time: a refresh token is good once, and showing it twice ends the log-in. */
function alone(work) {
  return navigator.locks ? navigator.locks.request(WHEN, work) : work();
}

let running = null;

/**
 * Whether the log-in is fresh again; ask() is the call that refreshes it. A request that began before
 * another one (of this tab or of another) has refreshed it need not do so too.
 */
export function refreshed(began, ask) {
  running ??= alone(async () => {
    if (lastRefresh() >= began) return true;
    try {
      const { ok } = await ask();
      if (ok) noteRefresh();
      return ok;
    } catch {
      return false; // unreachable: the first answer, which was a refusal, stands
    }
  }).finally(() => { running = null; });
  return running;
}
