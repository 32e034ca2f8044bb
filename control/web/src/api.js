// SPDX-License-Identifier: Apache-2.0
// Calls of weir-control's API. A refusal throws an ApiError with the server's code and sentence.

import { deviceId, deviceName } from './device.js';

export class ApiError extends Error {
  constructor(status, code, message, details = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

const UNREACHABLE = 'The service cannot be reached. Check your connection and try again.';

async function call(method, path, body, more = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      credentials: 'same-origin',
      headers: method === 'POST' ? { 'content-type': 'application/json' } : {},
      body: method === 'POST' ? JSON.stringify(body ?? {}) : undefined,
      ...more,
    });
  } catch {
    throw new ApiError(0, 'UNREACHABLE', UNREACHABLE);
  }
  if (response.status === 204) return null;
  let answer = null;
  try {
    answer = await response.json();
  } catch {
    // Not our server's words: a proxy's page, or an answer cut short.
  }
  if (response.ok && answer !== null) return answer;
  const error = answer?.error;
  throw new ApiError(response.status, error?.code ?? 'UNEXPECTED',
    error?.message ?? `The service answered with status ${response.status}.`, error?.details);
}

export const signUp = (email, password) => call('POST', '/api/v1/auth/signup', { email, password });
export const logIn = (email, password) => call('POST', '/api/v1/auth/login', { email, password });
export const logOut = () => call('POST', '/api/v1/auth/logout');
export const me = () => call('GET', '/api/v1/users/me');
export const playback = (asset) =>
  call('POST', '/api/v1/playback', { asset, device: deviceId(), device_name: deviceName() });
export const heartbeat = (session) => call('POST', `/api/v1/playback/${session}/heartbeat`);
export const terminate = (session) => call('POST', `/api/v1/playback/${session}/terminate`);
/** Also while the page is going away. */
export const stop = (session) => call('DELETE', `/api/v1/playback/${session}`, undefined, { keepalive: true });
export const videos = (cursor) =>
  call('GET', `/api/v1/videos${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ''}`);
