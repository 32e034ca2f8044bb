// SPDX-License-Identifier: Apache-2.0
// Views tell the page that the session has ended under them, without knowing the page.

const NAME = 'weir-session-ended';

export const sessionEnded = () => { window.dispatchEvent(new Event(NAME)); };
export const onSessionEnded = (listener) => window.addEventListener(NAME, listener);
