// The flows that need a browser, in one, against the platform, a real SMTP server and real issuers.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";

import { PASSWORD, barriers, browser, code, mailbox, opened, platform, realms } from "./support.mjs";

let [chrome, mail, stoa] = [];

before(async () => {
  [chrome, mail] = await Promise.all([browser(), mailbox()]);
  stoa = await platform({
    STOA_MAIL__SMTP_URL: mail.url,
    STOA_IDENTITY__REGISTRATION: "open",
    STOA_OUTBOUND__ALLOWED_NETWORKS: "127.0.0.1/32",
  });
});

after(async () => {
  await stoa?.stop();
  await Promise.all([chrome?.close(), mail?.close()]);
});

async function fill(page, fields) {
  for (const [name, value] of Object.entries(fields)) await page.fill(`[name="${name}"]`, value);
}

async function account(page) {
  await page.waitForURL("**/account");
  await page.waitForFunction(() => document.querySelector("#profile")?.textContent !== "…");
  return page.textContent("#profile");
}

async function signIn(page, email) {
  await page.goto(`${stoa.base}/sign-in`);
  await fill(page, { email, password: PASSWORD });
  await page.click("form#sign-in button:not([type=button])");
}

async function operator(path, body) {
  const answer = await fetch(`${stoa.api}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${stoa.operator}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 201, await answer.clone().text());
  return answer.json();
}

test("the setup link makes the owner, and the pages have no barriers", async () => {
  const context = await chrome.newContext();
  const page = await opened(context);
  await page.goto(await stoa.setup());
  assert.ok(!page.url().includes("#"), "the secret does not stay in the address");
  assert.deepEqual(await barriers(page), []);
  await fill(page, { name: "Olga", email: "olga@example.org", password: PASSWORD, organizationName: "North Wind & Söhne" });
  assert.equal(await page.inputValue("#organizationSlug"), "north-wind-so-hne");
  await page.fill("#organizationSlug", "north-wind");
  await page.click("button");
  assert.match(await account(page), /Olga · olga@example\.org · owner/);
  assert.deepEqual(await barriers(page), []);
  await page.reload();
  assert.match(await account(page), /Olga/, "the session is in a cookie");
  assert.equal(await page.evaluate(() => document.cookie.includes("stoa_refresh")), false, "which no script reads");
  await page.click("#sign-out");
  await page.waitForURL("**/sign-in");
  for (const path of ["sign-in", "mfa", "register", "invitation", "verify-email", "change-email", "magic-link", "reset-password"]) {
    const other = await opened(await chrome.newContext());
    await other.goto(`${stoa.base}/${path}`);
    await other.waitForLoadState("networkidle");
    assert.deepEqual(await barriers(other), [], path);
    assert.deepEqual(other.wrong, [], path);
    await other.context().close();
  }
  assert.deepEqual(page.wrong, []);
  await context.close();
});

test("somebody registers, confirms the address, forgets the password and sets a new one", async () => {
  const context = await chrome.newContext();
  const page = await opened(context);
  await page.goto(`${stoa.base}/register`);
  await fill(page, { name: "Bob", email: "bob@example.org", password: "password1" });
  await page.click("button");
  await page.waitForSelector("#message.wrong");
  assert.match(await page.textContent("#message"), /everybody tries first/);
  await fill(page, { password: PASSWORD });
  await page.click("button");
  await page.waitForFunction(() => /letter is on its way/.test(document.querySelector("#message").textContent));
  await page.goto(await mail.link("bob@example.org", "verify-email"));
  await fill(page, { password: PASSWORD });
  await page.click("button");
  assert.match(await account(page), /Bob/);
  await page.click("#sign-out");
  await page.waitForURL("**/sign-in");
  await page.fill("#email", "bob@example.org");
  await page.click("#forgot");
  await page.goto(await mail.link("bob@example.org", "reset-password"));
  await fill(page, { password: "Rhabarber im Mai" });
  await page.click("button");
  await page.waitForFunction(() => /password is set/.test(document.querySelector("#message").textContent));
  await page.goto(`${stoa.base}/sign-in`);
  await page.fill("#email", "bob@example.org");
  await page.click("#send-link");
  await page.goto(await mail.link("bob@example.org", "magic-link"));
  await page.click("form button");
  assert.match(await account(page), /Bob/);
  assert.deepEqual(page.wrong, []);
  await context.close();
});

test("an authenticator app is added, asked for, and a recovery code does instead", async () => {
  const context = await chrome.newContext();
  const page = await opened(context);
  await signIn(page, "olga@example.org");
  await account(page);
  await page.click("#enrol");
  await page.waitForFunction(() => document.querySelector("#secret").textContent.length > 20);
  assert.ok(await page.evaluate(() => document.querySelector("#qr").complete && document.querySelector("#qr").naturalWidth > 0), "the picture is shown");
  assert.deepEqual(await barriers(page), []);
  const secret = await page.textContent("#secret");
  await page.fill("#code", code(secret, -1));
  await page.click("form#confirm button");
  await page.waitForSelector("#recovery:not([hidden])");
  const codes = (await page.textContent("#codes")).split("\n");
  assert.equal(codes.length, 10);
  await page.click("#sign-out");
  await page.waitForURL("**/sign-in");
  await signIn(page, "olga@example.org");
  await page.waitForURL("**/mfa");
  assert.deepEqual(await barriers(page), []);
  await page.fill("#code", "000000");
  await page.click("form button");
  await page.waitForSelector("#message.wrong");
  await page.fill("#code", code(secret));
  await page.click("form button");
  assert.match(await account(page), /Olga/);
  await page.click("#sign-out");
  await page.waitForURL("**/sign-in");
  await signIn(page, "olga@example.org");
  await page.waitForURL("**/mfa");
  await page.fill("#code", codes[0]);
  await page.click("form button");
  await account(page);
  assert.match(await page.textContent("#factors"), /9 recovery codes/);
  assert.deepEqual(page.wrong, []);
  await context.close();
});

test("a passkey is registered, signs in without a name, and is a second factor", async () => {
  const context = await chrome.newContext();
  const page = await opened(context);
  const session = await context.newCDPSession(page);
  await session.send("WebAuthn.enable");
  const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
  await session.send("WebAuthn.addVirtualAuthenticator", { options });
  await page.goto(`${stoa.base}/register`);
  await fill(page, { name: "Pia", email: "pia@example.org", password: PASSWORD });
  await page.click("button");
  await page.goto(await mail.link("pia@example.org", "verify-email"));
  await fill(page, { password: PASSWORD });
  await page.click("button");
  await account(page);
  // Somebody who signed in long ago shows again who they are.
  await page.route("**/v1/me/passkeys/options", (route) => route.fulfill({
    status: 403, contentType: "application/problem+json", body: JSON.stringify({ code: "reauthentication_required", detail: "Show again who you are." }),
  }), { times: 1 });
  await page.click("#add-passkey");
  await page.fill("#proof", PASSWORD);
  await page.click("#again button");
  await page.waitForSelector("#recovery:not([hidden])");
  assert.match(await page.textContent("#factors"), /the passkey “Passkey of/);
  await page.click("#sign-out");
  await page.waitForURL("**/sign-in");
  await page.click("#passkey");
  assert.match(await account(page), /Pia/);
  await page.click("#sign-out");
  await page.waitForURL("**/sign-in");
  await signIn(page, "pia@example.org");
  await page.waitForURL("**/mfa");
  await page.click("#passkey");
  assert.match(await account(page), /Pia/);
  assert.deepEqual(page.wrong, []);
  await context.close();
});

test("two realms of one host vouch for accounts, each for its own", async () => {
  const issuers = await realms(`${stoa.base}/v1/auth/callback`, ["staff", "guests"]);
  try {
    for (const realm of ["staff", "guests"]) {
      await operator("/v1/admin/identity-providers", {
        slug: realm, kind: "oidc", name: `the ${realm}`, issuer: issuers.issuer(realm), clientId: `stoa-${realm}`, clientSecret: `secret-${realm}-0123456789`,
      });
    }
    for (const realm of ["staff", "guests"]) {
      for (const round of ["registers", "signs in"]) {
        const context = await chrome.newContext();
        const page = await opened(context);
        await page.goto(`${stoa.base}/sign-in`);
        await page.click(`text=Go on with the ${realm}`);
        await page.fill('[name="login"]', "ada");
        await page.fill('[name="password"]', "any");
        await page.click("button[type=submit]");
        await page.click("text=Continue");
        assert.match(await account(page), new RegExp(`ada@${realm}\\.example\\.org`), `${realm} ${round}`);
        await context.close();
      }
    }
    const users = await fetch(`${stoa.api}/v1/admin/users?limit=100`, { headers: { authorization: `Bearer ${stoa.operator}` } });
    const emails = (await users.json()).items.map((user) => user.email).filter((email) => email.startsWith("ada@"));
    assert.deepEqual(emails.sort(), ["ada@guests.example.org", "ada@staff.example.org"], "one subject, two issuers: two users");
  } finally {
    await issuers.close();
  }
});

test("an invitation is followed, and the command line is let in by its user", async () => {
  const context = await chrome.newContext();
  const page = await opened(context);
  await signIn(page, "bob@example.org").catch(() => {});
  const files = ["--credentials", `${stoa.folder}/credentials.json`];
  const login = spawn(stoa.binary, ["login", "--url", stoa.base, ...files], { env: { PATH: process.env.PATH, HOME: stoa.folder } });
  let said = "";
  login.stderr.on("data", (chunk) => { said += chunk; });
  login.stdout.on("data", (chunk) => { said += chunk; });
  while (!/[A-Z]{4}-[A-Z]{4}/.test(said)) await once(login.stderr, "data");
  const shown = said.match(/[A-Z]{4}-[A-Z]{4}/)[0];
  // Whoever is not signed in is asked to, and comes back.
  const other = await opened(await chrome.newContext());
  await other.goto(`${stoa.base}/device?code=${shown}`);
  await other.waitForURL("**/sign-in");
  await fill(other, { email: "bob@example.org", password: "Rhabarber im Mai" });
  await other.click("form#sign-in button:not([type=button])");
  await other.waitForURL("**/device**");
  assert.equal(await other.inputValue("#code"), shown);
  assert.deepEqual(await barriers(other), []);
  await other.click("form button");
  await other.waitForSelector("#answer:not([hidden])");
  assert.equal(await other.textContent("#client"), "Stoa command line on Linux");
  await other.click("#approve");
  await other.waitForFunction(() => /It is in/.test(document.querySelector("#message").textContent));
  const [status] = await once(login, "exit");
  assert.equal(status, 0, said);
  assert.match(said, /as bob@example\.org/);
  const run = async (...words) => {
    const child = spawn(stoa.binary, [...words, ...files, "--json"], { env: { PATH: process.env.PATH, HOME: stoa.folder } });
    let out = "";
    child.stdout.on("data", (chunk) => { out += chunk; });
    const [code] = await once(child, "exit");
    return { code, body: JSON.parse(out) };
  };
  const made = await run("org", "create", "bobs", "--name", "Bob's");
  assert.equal(made.code, 0);
  const invited = await run("invite", "create", "guest@example.org", "--role", "viewer", "--org", "bobs");
  assert.equal(invited.body.link, null, "it is in the letter alone");
  await page.goto(await mail.link("guest@example.org", "invitation"));
  await page.waitForFunction(() => /invited to Bob's, as viewer/.test(document.querySelector("#offer").textContent));
  assert.deepEqual(await barriers(page), []);
  await fill(page, { name: "Guest", password: PASSWORD });
  assert.equal(await page.inputValue("#email"), "guest@example.org");
  await page.click("form#register button:not([type=button])");
  await account(page);
  assert.match(await page.textContent("#organizations"), /Bob's \(bobs\) · viewer/);
  assert.deepEqual(page.wrong, []);
  await Promise.all([context.close(), other.context().close()]);
});
