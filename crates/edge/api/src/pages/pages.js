// The pages: each is a form or two over the API. The access token lives in this module; the refresh token in a cookie that it cannot read.

const $ = (id) => document.getElementById(id);
const page = document.body.dataset.page;
let token = null;

// A secret comes after the `#`, where servers and logs do not see it; it does not stay in the address.
const secret = decodeURIComponent(location.hash.slice(1));
if (secret && page !== "account") history.replaceState(null, "", location.pathname + location.search);

function say(text, isWrong = false) {
  const message = $("message");
  message.textContent = text;
  message.className = isWrong ? "wrong" : "";
  message.setAttribute("role", isWrong ? "alert" : "status");
  message.hidden = !text;
}

const cookie = (name) =>
  document.cookie.split("; ").map((pair) => pair.split("=")).find(([own]) => own === name || own === `__Host-${name}`)?.[1];

class Refused extends Error {
  constructor(problem) {
    const more = (problem.errors ?? []).map((one) => `${one.pointer.slice(1)}: ${one.message}`).join("; ");
    super(more || problem.detail || problem.title || "It did not work.");
    this.code = problem.code;
  }
}

async function ask(method, path, body, headers = {}) {
  const answer = await fetch(path, {
    method,
    credentials: "same-origin",
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  const value = text && answer.headers.get("content-type")?.includes("json") ? JSON.parse(text) : {};
  if (!answer.ok) throw new Refused(value);
  return value;
}

/** Gets an access token by the cookie. */
async function refresh() {
  const csrf = cookie("stoa_csrf");
  if (!csrf) return false;
  try {
    const issued = await ask("POST", "/v1/auth/refresh", undefined, { "stoa-csrf": csrf });
    token = issued.accessToken;
    return issued.mfaPending ? "pending" : true;
  } catch {
    return false;
  }
}

const here = () => location.pathname + location.search;
/** A path of ours, as the browser reads it; nothing else. */
function own(path) {
  if (!path) return null;
  const url = new URL(path, location.origin);
  return url.origin === location.origin ? url.pathname + url.search + url.hash : null;
}
const onwards = () => own(new URLSearchParams(location.search).get("return")) ?? own(sessionStorage.getItem("return")) ?? "/account";

/** Remembers where to come back to in this tab alone: a secret after the `#` is not told to a server. */
function comeBack(to) {
  sessionStorage.setItem("return", here() + (secret ? `#${secret}` : ""));
  location.assign(to);
}

function signedIn(issued) {
  token = issued.accessToken;
  if (issued.mfaPending) {
    sessionStorage.setItem("return", onwards());
    return location.assign("/mfa");
  }
  const to = onwards();
  sessionStorage.removeItem("return");
  location.assign(to);
}

/** Asks whoever is not signed in to do so, and to come back. */
async function needed() {
  const found = await refresh();
  if (found === true) return true;
  comeBack(found === "pending" ? "/mfa" : "/sign-in");
  return false;
}

/** Runs what a form or a button does, one at a time, and says what went wrong. */
function on(id, event, work) {
  const element = $(id);
  element?.addEventListener(event, async (happened) => {
    happened.preventDefault();
    const buttons = [...document.querySelectorAll("button")];
    buttons.forEach((button) => { button.disabled = true; });
    try {
      say("");
      await work(element instanceof HTMLFormElement ? Object.fromEntries(new FormData(element)) : {}, element);
    } catch (error) {
      say(error.name === "NotAllowedError" ? "The passkey was not used." : error.message, true);
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
    }
  });
}

const filled = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));

// Passkeys: binary values travel as base64url.
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
const base64 = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function credentialJson(credential) {
  const { response } = credential;
  const parts = {};
  for (const name of ["attestationObject", "clientDataJSON", "authenticatorData", "signature", "userHandle"]) {
    if (response[name]) parts[name] = base64(response[name]);
  }
  return {
    id: credential.id,
    rawId: base64(credential.rawId),
    type: credential.type,
    response: parts,
    extensions: credential.getClientExtensionResults(),
  };
}

async function assertion(options) {
  const publicKey = { ...options.publicKey, challenge: bytes(options.publicKey.challenge) };
  publicKey.allowCredentials = (publicKey.allowCredentials ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
  return credentialJson(await navigator.credentials.get({ publicKey }));
}

async function creation(options) {
  const { publicKey } = options;
  return credentialJson(
    await navigator.credentials.create({
      publicKey: {
        ...publicKey,
        challenge: bytes(publicKey.challenge),
        user: { ...publicKey.user, id: bytes(publicKey.user.id) },
        excludeCredentials: (publicKey.excludeCredentials ?? []).map((one) => ({ ...one, id: bytes(one.id) })),
      },
    }),
  );
}

async function offerProviders(extra = {}) {
  const { items } = await ask("GET", "/v1/auth/providers");
  const list = $("providers");
  for (const provider of items) {
    const link = document.createElement("a");
    link.className = "button quiet";
    const query = new URLSearchParams({ returnTo: onwards().split("#")[0], ...extra });
    link.href = `/v1/auth/providers/${provider.id}/start?${query}`;
    link.textContent = `Go on with ${provider.name}`;
    list.append(link);
  }
  list.hidden = items.length === 0;
}

const WORDS = {
  provider_refused: "The provider did not vouch for you.",
  provider_unavailable: "The provider does not answer.",
  registration_closed: "Registration is by invitation here.",
  link_invalid: "That took too long, or began in another browser. Try again.",
  invalid_credentials: "The credentials are not right.",
};

const pages = {
  setup() {
    $("organizationName").addEventListener("input", (event) => {
      const slug = event.target.value.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^[^a-z]+|-+$/g, "");
      $("organizationSlug").value = slug.slice(0, 40);
    });
    on("setup", "submit", async (fields) =>
      signedIn(await ask("POST", "/v1/auth/setup", { ...filled(fields), token: secret, session: "cookie" })));
  },
  "sign-in"() {
    const error = new URLSearchParams(location.search).get("error");
    if (error) say(WORDS[error] ?? "Signing in did not work.", true);
    on("sign-in", "submit", async (fields) => signedIn(await ask("POST", "/v1/auth/sign-in", { ...fields, session: "cookie" })));
    on("passkey", "click", async () => {
      const { ceremony, options } = await ask("POST", "/v1/auth/passkey/options", {});
      const credential = await assertion(options);
      signedIn(await ask("POST", "/v1/auth/passkey", { ceremony, credential, session: "cookie" }));
    });
    const letter = (path) => async () => {
      const email = $("email");
      if (!email.reportValidity()) return;
      await ask("POST", path, { email: email.value });
      say("If there is an account with this address, a letter is on its way.");
    };
    on("send-link", "click", letter("/v1/auth/magic-link"));
    on("forgot", "click", letter("/v1/auth/password/forgot"));
    offerProviders().catch(() => {});
  },
  async mfa() {
    if (!(await refresh())) return location.assign("/sign-in");
    on("code-form", "submit", async (fields) => signedIn(await ask("POST", "/v1/auth/mfa/code", { ...fields, session: "cookie" })));
    on("passkey", "click", async () => {
      const { ceremony, options } = await ask("POST", "/v1/auth/mfa/passkey/options", {});
      const credential = await assertion(options);
      signedIn(await ask("POST", "/v1/auth/mfa/passkey", { ceremony, credential, session: "cookie" }));
    });
    on("sign-out", "click", signOut);
  },
  register() {
    on("register", "submit", async (fields, form) => {
      await ask("POST", "/v1/auth/register", { ...filled(fields), session: "cookie" });
      form.hidden = true;
      say("A letter is on its way to you. Use the link in it to confirm the address.");
    });
  },
  async invitation() {
    const offer = await ask("POST", "/v1/auth/invitation", { token: secret }).catch((error) => {
      $("offer").textContent = error.message;
    });
    if (!offer) return;
    $("offer").textContent = offer.organizationName
      ? `You are invited to ${offer.organizationName}, as ${offer.role}.`
      : "You are invited to register.";
    const isIn = (await refresh()) === true;
    $("answers").hidden = !isIn;
    $("register").hidden = isIn;
    if (!isIn) offerProviders({ invitation: secret }).catch(() => {});
    if (offer.email) $("email").value = offer.email;
    on("accept", "click", async () => {
      await ask("POST", "/v1/auth/invitation/accept", { token: secret });
      location.assign("/account");
    });
    on("decline", "click", async () => {
      await ask("POST", "/v1/auth/invitation/decline", { token: secret });
      $("answers").hidden = true;
      say("The invitation is declined.");
    });
    on("to-sign-in", "click", async () => comeBack("/sign-in"));
    on("register", "submit", async (fields, form) => {
      const issued = await ask("POST", "/v1/auth/register", { ...filled(fields), invitation: secret, session: "cookie" });
      if (issued.accessToken) return signedIn(issued);
      form.hidden = true;
      say("A letter is on its way to you. Use the link in it to confirm the address.");
    });
  },
  "verify-email"() {
    on("verify", "submit", async (fields) =>
      signedIn(await ask("POST", "/v1/auth/verify-email", { ...fields, token: secret, session: "cookie" })));
  },
  "change-email"() {
    on("confirm", "submit", async (_, form) => {
      await ask("POST", "/v1/auth/email/confirm", { token: secret });
      form.hidden = true;
      say("This is your address now.");
    });
  },
  "magic-link"() {
    on("exchange", "submit", async () => signedIn(await ask("POST", "/v1/auth/magic-link/exchange", { token: secret, session: "cookie" })));
  },
  "reset-password"() {
    on("reset", "submit", async (fields, form) => {
      await ask("POST", "/v1/auth/password/reset", { ...fields, token: secret });
      form.hidden = true;
      say("The password is set. Sign in with it.");
    });
  },
  async device() {
    const given = new URLSearchParams(location.search).get("code");
    if (given) $("code").value = given;
    if (!(await needed())) return;
    on("look", "submit", async (fields) => {
      const { client } = await ask("POST", "/v1/auth/device/look", fields);
      $("client").textContent = client;
      $("answer").hidden = false;
      $("approve").focus();
    });
    const answer = (path, words) => async () => {
      await ask("POST", path, { code: $("code").value });
      $("answer").hidden = true;
      $("look").hidden = true;
      say(words);
    };
    on("approve", "click", answer("/v1/auth/device/approve", "It is in. You can close this page."));
    on("deny", "click", answer("/v1/auth/device/deny", "It was not let in."));
  },
  account,
};

async function signOut() {
  await ask("POST", "/v1/auth/sign-out", undefined, { "stoa-csrf": cookie("stoa_csrf") ?? "" });
  location.assign("/sign-in");
}

function list(id, items, text, button) {
  $(id).replaceChildren(
    ...items.map((item) => {
      const entry = document.createElement("li");
      const words = document.createElement("span");
      words.textContent = text(item);
      entry.append(words);
      if (button) {
        const act = document.createElement("button");
        act.type = "button";
        act.className = "quiet";
        act.textContent = button.label(item);
        act.setAttribute("aria-label", `${button.label(item)}: ${text(item)}`);
        act.addEventListener("click", () => button.act(item).then(show).catch((error) => say(error.message, true)));
        entry.append(act);
      }
      return entry;
    }),
  );
}

/** Does what is sensitive; asks again who it is where that is needed. */
async function sensitive(work) {
  try {
    return await work();
  } catch (error) {
    if (error.code !== "reauthentication_required") throw error;
  }
  const form = $("again");
  form.hidden = false;
  // Whoever waits for this has disabled every button.
  form.querySelectorAll("button").forEach((button) => { button.disabled = false; });
  $("proof").focus();
  const proof = await new Promise((given) => {
    form.addEventListener("submit", (event) => { event.preventDefault(); given($("proof").value); }, { once: true });
  });
  form.hidden = true;
  form.reset();
  try {
    await ask("POST", "/v1/auth/reauthenticate", { password: proof });
  } catch (error) {
    if (error.code !== "wrong_state") throw error;
    const issued = await ask("POST", "/v1/auth/mfa/code", { code: proof, session: "cookie" });
    token = issued.accessToken;
  }
  return work();
}

function recoveryCodes(codes) {
  if (!codes?.length) return;
  $("codes").textContent = codes.join("\n");
  $("recovery").hidden = false;
}

async function show() {
  const [me, factors, sessions, organizations, links, offered] = await Promise.all(
    ["/v1/me", "/v1/me/factors", "/v1/me/sessions", "/v1/me/organizations", "/v1/me/links", "/v1/auth/providers"].map((path) => ask("GET", path)),
  );
  $("profile").textContent = `${me.name ?? "No name"} · ${me.email}${me.isOwner ? " · owner of the installation" : ""}`;
  const parts = [factors.totp ? "an authenticator app" : "", ...factors.passkeys.map((one) => `the passkey “${one.name}”`)].filter(Boolean);
  $("factors").textContent = parts.length
    ? `You have ${parts.join(", ")}; ${factors.recoveryCodesLeft} recovery codes are left.`
    : "You have none. With one, a stolen password is of no use.";
  $("enrol").hidden = factors.totp;
  list("organizations", organizations.items, (one) => `${one.name} (${one.slug}) · ${one.role}`);
  list("sessions", sessions.items, (one) => `${one.client}${one.isCurrent ? " · this one" : ""} · last used ${one.lastUsed}`, {
    label: () => "Sign out",
    act: (one) => ask("DELETE", `/v1/me/sessions/${one.id}`),
  });
  list("links", links.items, (one) => `${one.label ?? one.issuer}`, {
    label: () => "Unlink",
    act: (one) => sensitive(() => ask("DELETE", `/v1/me/links/${one.id}`)),
  });
  $("link-choices").replaceChildren(
    ...offered.items.map((provider) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet";
      button.textContent = `Link ${provider.name}`;
      button.addEventListener("click", () =>
        sensitive(() => ask("POST", "/v1/me/links", { provider: provider.id, returnTo: "/account" }))
          .then(({ url }) => location.assign(url))
          .catch((error) => say(error.message, true)));
      return button;
    }),
  );
}

async function account() {
  if (!(await needed())) return;
  await show();
  on("sign-out", "click", signOut);
  on("end-others", "click", async () => {
    await ask("DELETE", "/v1/me/sessions?keepCurrent=true");
    await show();
  });
  on("enrol", "click", async () => {
    const enrolment = await sensitive(() => ask("POST", "/v1/me/totp", {}));
    $("secret").textContent = enrolment.secret;
    $("qr").src = `data:image/svg+xml,${encodeURIComponent(enrolment.qrSvg)}`;
    $("confirm").hidden = false;
    $("code").focus();
  });
  on("confirm", "submit", async (fields, form) => {
    const { recoveryCodes: codes } = await ask("POST", "/v1/me/totp/confirm", fields);
    form.hidden = true;
    recoveryCodes(codes);
    say("The authenticator app counts from now on.");
    await show();
  });
  on("add-passkey", "click", async () => {
    const name = `Passkey of ${new Date().toISOString().slice(0, 10)}`;
    const { ceremony, options } = await sensitive(() => ask("POST", "/v1/me/passkeys/options", { name }));
    const credential = await creation(options);
    const made = await ask("POST", "/v1/me/passkeys", { ceremony, credential });
    recoveryCodes(made.recoveryCodes);
    say("The passkey can be used from now on.");
    await show();
  });
}

Promise.resolve(pages[page]?.()).catch((error) => say(error.message, true));
