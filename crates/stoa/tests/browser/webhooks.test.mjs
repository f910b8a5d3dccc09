// Webhooks as their receivers see them: verified by the reference library of the Standard Webhooks specification.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { Webhook } from "standardwebhooks";

import { platform } from "./support.mjs";

let stoa;
let server;
const received = [];

before(async () => {
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    received.push({ headers: request.headers, body });
    response.writeHead(204).end();
    server.emit("received");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  stoa = await platform({ STOA_OUTBOUND__ALLOWED_NETWORKS: "127.0.0.1/32" });
});

after(async () => {
  await stoa?.stop();
  server?.close();
});

async function ask(path, body, organization) {
  const headers = { authorization: `Bearer ${stoa.operator}`, "content-type": "application/json" };
  if (organization) headers["stoa-organization"] = organization;
  const asked = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  const answer = await fetch(`${stoa.api}${path}`, asked);
  assert.ok(answer.ok, await answer.clone().text());
  return answer.json();
}

async function next() {
  while (received.length === 0) await once(server, "received");
  return received.shift();
}

test("the reference library verifies what is sent, with both secrets while one is replaced", async () => {
  await ask("/v1/organizations", { slug: "acme", name: "Acme" });
  const url = `http://127.0.0.1:${server.address().port}/hook`;
  const endpoint = await ask("/v1/webhooks", { url, events: ["schedule.*"], headers: { "X-Token": "t" } }, "acme");
  await ask("/v1/schedules", { name: "daily", kind: "probe", cron: "@daily" }, "acme");
  const first = await next();
  const event = new Webhook(endpoint.secret).verify(first.body, first.headers);
  assert.equal(event.type, "schedule.created");
  assert.equal(event.eventId, first.headers["webhook-id"]);
  assert.equal(first.headers["x-token"], "t");
  assert.throws(() => new Webhook(endpoint.secret).verify(first.body + " ", first.headers));
  const rotated = await ask(`/v1/webhooks/${endpoint.id}/rotate-secret`, { overlapS: 60 }, "acme");
  await ask(`/v1/webhooks/${endpoint.id}/test`, {}, "acme");
  const second = await next();
  for (const secret of [endpoint.secret, rotated.secret]) {
    assert.equal(new Webhook(secret).verify(second.body, second.headers).type, "webhook.test");
  }
});

test("what the reference library signs is taken, once, and told", async () => {
  const url = `http://127.0.0.1:${server.address().port}/hook`;
  await ask("/v1/webhooks", { url, events: ["hook.received"] }, "acme");
  const source = await ask("/v1/hook-sources", { name: "shop", kind: "standard" }, "acme");
  const body = JSON.stringify({ order: 7 });
  const send = (id, time, signature) =>
    fetch(`${stoa.api}${source.path}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": String(Math.floor(time.getTime() / 1000)),
        "webhook-signature": signature,
      },
      body,
    });
  const now = new Date();
  const signature = new Webhook(source.secret).sign("msg_1", now, body);
  const taken = await send("msg_1", now, signature);
  assert.deepEqual([taken.status, await taken.json()], [202, { isNew: true }]);
  assert.deepEqual(await (await send("msg_1", now, signature)).json(), { isNew: false });
  const told = JSON.parse((await next()).body).payload;
  assert.equal(told.externalId, "msg_1");
  const hook = await ask(`/v1/received-hooks/${told.hookId}`, undefined, "acme");
  assert.deepEqual([hook.body, hook.sourceId], [{ order: 7 }, source.id]);
  assert.equal((await send("msg_2", now, signature)).status, 403);
  const late = new Date(now.getTime() - 600_000);
  assert.equal((await send("msg_3", late, new Webhook(source.secret).sign("msg_3", late, body))).status, 403);
});
