// Drives the vendor's client, @wazo/sdk, and prints what came of each step as one
// JSON object per line. The arguments are the path of dist/wazo-sdk.js, the
// server as host:port, and the account. The password comes from the environment.
'use strict';

const [, , path, server, username] = process.argv;
const password = process.env.WAZO_PASSWORD;

// The SDK is made for browsers and logs to the console.
const print = console.log.bind(console);
for (const level of ['log', 'info', 'warn', 'error', 'debug']) console[level] = () => {};

const sdk = require(path);
const step = (name, result) => print(JSON.stringify({ step: name, ...result }));
const attempt = async (name, act) => {
  try {
    step(name, await act());
  } catch (e) {
    step(name, { error: e.constructor.name, status: e.status || 0, message: String(e.message) });
  }
};

(async () => {
  const client = new sdk.WazoApiClient({ server, clientId: 'sdktest' });
  let session;

  await attempt('wrong password', async () => {
    await client.auth.logIn({ username, password: password + 'x', expiration: 60 });
    return { ok: true };
  });
  await attempt('login', async () => {
    session = await client.auth.logIn({ username, password, expiration: 60 });
    client.setToken(session.token);
    client.setRefreshToken(session.refreshToken);
    return { ok: true, token: session.token, refresh: session.refreshToken, tenant: session.tenantUuid, acl: session.acl, expired: session.hasExpired() };
  });
  await attempt('check', async () => ({ ok: await client.auth.checkToken(session.token) }));
  await attempt('authenticate', async () => ({ ok: true, token: (await client.auth.authenticate(session.token)).token }));
  await attempt('request', async () => {
    const list = await client.client.get('confd/1.1/extensions');
    return { ok: true, total: list.total };
  });
  await attempt('denied', async () => {
    await client.client.get('confd/1.1/denied');
    return { ok: true };
  });
  await attempt('refresh', async () => {
    const fresh = await client.auth.refreshToken(session.refreshToken, null, 60);
    client.setToken(fresh.token);
    return { ok: true, token: fresh.token };
  });
  await attempt('forget', async () => ({ ok: await client.auth.deleteRefreshToken('sdktest') }));
  await attempt('logout', async () => {
    await client.auth.logOut(client.client.token);
    await client.auth.logOut(session.token);
    return { ok: true };
  });
  await attempt('check after logout', async () => ({ ok: await client.auth.checkToken(session.token) }));
  process.exit(0); // the client has timers of its own
})();
