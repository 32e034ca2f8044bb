// SPDX-License-Identifier: Apache-2.0
// Calls of weir-control's API. A refusal throws an ApiError with the server's code and sentence.

import { deviceId, deviceName } from './device.js';
import { refreshed } from './session.js';

const REFRESH = '/api/v1/auth/refresh';

export class ApiError extends Error {
  constructor(status, code, message, details = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

const UNREACHABLE = 'The service cannot be reached. Check your connection and try again.';

async function send(method, path, body, more) {
  try {
    return await fetch(path, {
      method,
      credentials: 'same-origin',
      headers: method === 'POST' ? { 'content-type': 'application/json' } : {},
      body: method === 'POST' ? JSON.stringify(body ?? {}) : undefined,
      ...more,
    });
  } catch {
    throw new ApiError(0, 'UNREACHABLE', UNREACHABLE);
  }
}

async function call(method, path, body, more = {}) {
  const began = Date.now();
  let response = await send(method, path, body, more);
  // The access cookie is good for half an hour: behind that the refresh cookie earns a new one.
  if (response.status === 401 && !path.startsWith('/api/v1/auth/') && await refreshed(began, () => send('POST', REFRESH)))
    response = await send(method, path, body, more);
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
export const secondStep = (ticket, code) => call('POST', '/api/v1/auth/otp', { ticket, code });
export const confirmAddress = (token) => call('POST', '/api/v1/auth/verify', { token });
export const askReset = (email) => call('POST', '/api/v1/auth/reset', { email });
export const reset = (token, password) => call('POST', '/api/v1/auth/reset/confirm', { token, password });
export const providers = () => call('GET', '/api/v1/auth/oidc');
export const providerHref = (name, next) =>
  `/api/v1/auth/oidc/${encodeURIComponent(name)}?path=${encodeURIComponent(`/${next ? `#${next}` : ''}`)}`;
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
