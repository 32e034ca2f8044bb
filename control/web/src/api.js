// SPDX-License-Identifier: Apache-2.0
// Calls of weir-control's API. A refusal throws an ApiError with the server's code and sentence.

import { deviceId, deviceName } from './device.js';
import { refreshed, sessionBegins, sessionOver, sessionState } from './session.js';

const AUTH = '/api/v1/auth/';

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
      headers: method === 'POST' || body ? { 'content-type': 'application/json' } : {},
      body: method === 'POST' || body ? JSON.stringify(body ?? {}) : undefined,
      ...more,
    });
  } catch {
    throw new ApiError(0, 'UNREACHABLE', UNREACHABLE);
  }
}

/** The access cookie is good for half an hour: behind that the refresh cookie earns a new one. */
async function refresh() {
  const response = await send('POST', `${AUTH}refresh`);
  if (response.status === 401) return 'refused';
  if (!response.ok) throw new ApiError(response.status, 'UNEXPECTED', UNREACHABLE);
  sessionBegins((await response.json()).expires);
  return 'fresh';
}

async function call(method, path, body, more = {}) {
  const began = Date.now();
  const known = !path.startsWith(AUTH);
  if (known && sessionState() === 'stale' && await refreshed(began, refresh) === 'refused')
    throw new ApiError(401, 'NOT_LOGGED_IN', 'Log in first.');
  let response = await send(method, path, body, more);
  if (response.status === 401 && known && await refreshed(began, refresh) === 'fresh')
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

async function begin(path, body) {
  const answer = await call('POST', path, { ...body, device_name: deviceName() });
  if (answer.expires) sessionBegins(answer.expires);
  return answer;
}

export const signUp = (email, password) => begin('/api/v1/auth/signup', { email, password });
export const logIn = (email, password) => begin('/api/v1/auth/login', { email, password });
export const secondStep = (ticket, code) => begin('/api/v1/auth/otp', { ticket, code });
export const confirmAddress = (token) => call('POST', '/api/v1/auth/verify', { token });
export const askReset = (email) => call('POST', '/api/v1/auth/reset', { email });
export const reset = (token, password) => call('POST', '/api/v1/auth/reset/confirm', { token, password });
export const providers = () => call('GET', '/api/v1/auth/oidc');
export const providerHref = (name, next) =>
  `/api/v1/auth/oidc/${encodeURIComponent(name)}?path=${encodeURIComponent(`/${next ? `#${next}` : ''}`)}`;
export async function logOut() {
  try {
    await call('POST', '/api/v1/auth/logout');
  } catch (error) {
    if (error.status !== 401) throw error; // it was over already
  }
  sessionOver();
}
export const devices = () => call('GET', '/api/v1/users/me/devices');
export const endDevice = (id) => call('DELETE', `/api/v1/users/me/devices/${id}`);
export const endOtherDevices = () => call('DELETE', '/api/v1/users/me/devices');
export const profiles = () => call('GET', '/api/v1/users/me/profiles');
export const chooseProfile = (id, pin) => call('POST', `/api/v1/users/me/profiles/${id}/choose`, pin ? { pin } : {});
export const me = () => call('GET', '/api/v1/users/me');
export const playback = (asset) =>
  call('POST', '/api/v1/playback', { asset, device: deviceId(), device_name: deviceName() });
export const heartbeat = (session) => call('POST', `/api/v1/playback/${session}/heartbeat`);
export const terminate = (session) => call('POST', `/api/v1/playback/${session}/terminate`);
/** Also while the page is going away. */
export const stop = (session) => call('DELETE', `/api/v1/playback/${session}`, undefined, { keepalive: true });
export const videos = (cursor) =>
  call('GET', `/api/v1/videos${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ''}`);
