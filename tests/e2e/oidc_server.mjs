// SPDX-License-Identifier: Apache-2.0
// A real OpenID provider (the oidc-provider package): oidc_server.mjs PORT REDIRECT_URI
// Its people log in without a form: as whom POST /who {sub, email, email_verified} has said last, or not at all (null).
// Clients: "rs" and "es" by the algorithm of their id tokens, with a secret; "public" without.
// Says "ready PORT" on standard output.
import crypto from 'node:crypto';
import http from 'node:http';
import Provider from 'oidc-provider';

const [port, redirect] = process.argv.slice(2);
const key = (type, options, alg) => ({
  ...crypto.generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: crypto.randomUUID(),
});
const people = new Map();
let who = null;

function make(issuer) {
  const client = (id, alg, more) => ({
    client_id: id, redirect_uris: redirect.split(',').filter((uri) => uri.includes(`/${id}/`)), response_types: ['code'],
    grant_types: ['authorization_code'], id_token_signed_response_alg: alg, ...more,
  });
  const provider = new Provider(issuer, {
    clients: [
      client('rs', 'RS256', { client_secret: 'a secret: with +&% signs' }),
      client('es', 'ES256', { client_secret: 'another secret', token_endpoint_auth_method: 'client_secret_basic' }),
      client('public', 'RS256', { token_endpoint_auth_method: 'none' }),
    ],
    jwks: { keys: [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256')] },
    cookies: { keys: ['for tests'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    features: { devInteractions: { enabled: false } },
    pkce: { required: () => true },
    findAccount: (_, id) => people.has(id) && { accountId: id, claims: () => people.get(id) },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    async loadExistingGrant(context) {
      const grant = new context.oidc.provider.Grant({
        clientId: context.oidc.client.clientId, accountId: context.oidc.session.accountId,
      });
      grant.addOIDCScope('openid email profile');
      await grant.save();
      return grant;
    },
  });
  return provider;
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts));
}

let provider;
const server = http.createServer(async (request, response) => {
  try {
    if (request.method === 'POST' && request.url === '/who') {
      who = await body(request);
      if (who) people.set(who.sub, who);
      response.end();
    } else if (request.url.startsWith('/interaction/')) {
      const result = who ? { login: { accountId: who.sub } } : { error: 'access_denied', error_description: 'no' };
      await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    } else {
      provider.callback()(request, response);
    }
  } catch (error) {
    console.error(error);
    response.statusCode = 500;
    response.end();
  }
});
server.listen(Number(port), '127.0.0.1', () => {
  provider = make(`http://127.0.0.1:${server.address().port}`);
  console.log(`ready ${server.address().port}`);
});
