// SPDX-License-Identifier: Apache-2.0
// The log-in of this browser, which all its tabs share: whether there may be one, how it is kept, and
// how views tell the page that it has ended under them, without knowing the page.
//
// The cookies that are the log-in are out of a page's sight. What is noted here is only when the access
// cookie runs out, so that nobody who is not logged in is asked after, and who is gets a fresh cookie
// before a call is refused for want of one.

const NAME = 'weir-session-ended';
const WHEN = 'weir-refreshed';
const UNTIL = 'weir-session';
const PERHAPS = 'perhaps';
const EARLY_MS = 5000;

export const sessionEnded = () => { window.dispatchEvent(new Event(NAME)); };
export const onSessionEnded = (listener) => window.addEventListener(NAME, listener);

function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return PERHAPS; // storage is off: only asking tells
  }
}

function write(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Other tabs, and this one when it is loaded again, find out by asking.
  }
}

/** An answer that logs in says when its access cookie runs out. */
export const sessionBegins = (expires) => write(UNTIL, String(Date.parse(expires) || PERHAPS));
/** The page is left to log in elsewhere. */
export const sessionPerhaps = () => { if (sessionState() === 'none') write(UNTIL, PERHAPS); };
export const sessionOver = () => write(UNTIL, null);

/** 'none', 'live', 'stale' (the refresh cookie may still be good) or 'unknown' */
export function sessionState() {
  const until = read(UNTIL);
  if (until === null) return read(WHEN) === null ? 'none' : 'unknown'; // noted by a page before this one
  if (until === PERHAPS) return 'unknown';
  return Number(until) > Date.now() + EARLY_MS ? 'live' : 'stale';
}

/** One tab at a time: a refresh token is good once, and showing it twice ends the log-in. */
function alone(work) {
  return navigator.locks ? navigator.locks.request(WHEN, work) : work();
}

let running = null;

/**
 * 'fresh': there is a new access cookie; 'refused': the log-in is over; 'away': nobody knows. ask() is the
 * call that refreshes it: 'fresh' or 'refused', or it throws. A request that began before another one (of
 * this tab or of another) has refreshed it need not do so too.
 */
export function refreshed(began, ask) {
  running ??= alone(async () => {
    if (Number(read(WHEN)) >= began) return 'fresh';
    try {
      const how = await ask();
      write(WHEN, how === 'fresh' ? String(Date.now()) : null);
      if (how === 'refused') sessionOver();
      return how;
    } catch {
      return 'away';
    }
  }).finally(() => { running = null; });
  return running;
}
