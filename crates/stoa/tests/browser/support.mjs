// What browser tests need: the platform, a mailbox behind a real SMTP server, real issuers of OpenID Connect, a browser.

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRequire } from "node:module";

import { Provider } from "oidc-provider";
import { chromium } from "playwright-core";
import { SMTPServer } from "smtp-server";

export const PASSWORD = "tUq7-vanille";
const require = createRequire(import.meta.url);

/** An SMTP server that keeps what it gets. */
export async function mailbox() {
  const letters = [];
  const waiting = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS", "AUTH"],
    onData(stream, session, done) {
      const chunks = [];
      stream.on("data", (chunk) => chunks.push(chunk));
      stream.on("end", () => {
        const text = Buffer.concat(chunks).toString().replace(/=\r\n/g, "").replace(/=3D/g, "=");
        letters.push({ to: session.envelope.rcptTo.map((one) => one.address), text });
        waiting.splice(0).forEach((wake) => wake());
        done();
      });
    },
  });
  server.listen(0, "127.0.0.1");
  await once(server.server, "listening");
  return {
    url: `smtp://127.0.0.1:${server.server.address().port}`,
    /** The link to a page in a letter to somebody, as soon as there is one. */
    async link(to, page) {
      for (;;) {
        const found = letters.findLast((letter) => letter.to.includes(to) && letter.text.includes(`/${page}#`));
        if (found) return found.text.match(new RegExp(`http://localhost:\\d+/${page}#\\S+`))[0];
        await new Promise((wake) => waiting.push(wake));
      }
    },
    close: () => new Promise((closed) => server.close(closed)),
  };
}

/** The platform in a folder of its own. */
export async function platform(settings = {}) {
  const folder = await mkdtemp(join(tmpdir(), "stoa-browser-"));
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    STOA_IDENTITY__PASSWORD_MEMORY_KIB: "8192",
    STOA_IDENTITY__PASSWORD_PASSES: "1",
    STOA_LIMITS__ATTEMPTS_PER_MINUTE: "100000",
    STOA_ALERTS__DISK_FREE_PERCENT_MIN: "0",
    LOG_LEVEL: "warn",
    ...settings,
  };
  const binary = process.env.STOA_BINARY;
  const child = spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--data", join(folder, "data")], { env, cwd: folder });
  let [screen, log] = ["", ""];
  child.stderr.on("data", (chunk) => { log += chunk; });
  await new Promise((ready, failed) => {
    child.stdout.on("data", (chunk) => {
      screen += chunk;
      if (screen.includes("Ctrl-C")) ready();
    });
    child.on("exit", () => failed(new Error(`it did not start\n${screen}${log}`)));
  });
  const port = screen.match(/127\.0\.0\.1:(\d+)\/v1/)[1];
  return {
    folder,
    binary,
    base: `http://localhost:${port}`,
    api: `http://127.0.0.1:${port}`,
    operator: (await readFile(join(folder, "data", "operator.token"), "utf8")).trim(),
    setup: async () => (await readFile(join(folder, "data", "setup.link"), "utf8")).trim(),
    async stop() {
      child.kill("SIGTERM");
      await once(child, "exit");
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Two issuers on one host, as two realms. */
export async function realms(callback, names) {
  const server = http.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const host = `http://127.0.0.1:${server.address().port}`;
  const providers = new Map(names.map((name) => {
    const provider = new Provider(`${host}/realms/${name}`, {
      clients: [{ client_id: `stoa-${name}`, client_secret: `secret-${name}-0123456789`, redirect_uris: [callback], grant_types: ["authorization_code"], response_types: ["code"] }],
      pkce: { required: () => true },
      claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
      conformIdTokenClaims: false,
      cookies: { keys: ["a key of this test alone"] },
      ttl: { AccessToken: 60, AuthorizationCode: 60, Grant: 60, IdToken: 60, Interaction: 60, Session: 60 },
      findAccount: (_, id) => ({
        accountId: id,
        claims: () => ({ sub: id, email: `${id}@${name}.example.org`, email_verified: true, name: `${id} of ${name}` }),
      }),
    });
    return [name, provider.callback()];
  }));
  server.on("request", (request, response) => {
    const found = request.url.match(/^\/realms\/([a-z]+)(\/.*)?$/);
    const handle = providers.get(found?.[1]);
    if (!handle) return response.writeHead(404).end();
    request.originalUrl = request.url;
    request.url = found[2] ?? "/";
    handle(request, response);
  });
  return { issuer: (name) => `${host}/realms/${name}`, close: () => new Promise((closed) => { server.close(closed); server.closeAllConnections(); }) };
}

export async function browser() {
  const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  return chromium.launch({ executablePath: process.env.STOA_CHROMIUM ?? "/usr/bin/chromium", args: flags });
}

/** A page that fails its test when a script, a style or the policy goes wrong in it. */
export async function opened(context) {
  const page = await context.newPage();
  page.wrong = [];
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of (4\d\d|503)/.test(message.text())) page.wrong.push(message.text());
  });
  return page;
}

/** What axe finds wrong with a page. */
export async function barriers(page) {
  // The page's own policy lets no script in; the test reads the page through its own world.
  const source = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");
  await page.evaluate(source);
  const found = await page.evaluate(() => globalThis.axe.run(document));
  return found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).join(", ")}`);
}

/** The code of an authenticator app (RFC 6238), so many steps from now. */
export function code(secret, steps = 0) {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret].map((char) => digits.indexOf(char).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const mac = createHmac("sha1", key).update(counter).digest();
  const at = mac[19] & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}
