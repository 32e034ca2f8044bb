// SPDX-License-Identifier: Apache-2.0
// usage: node page.mjs '{"page","scene","email"?,"password"?,...,"pictures"?}'
// Plays one scene of what people do at the page without a film, and prints one JSON line of what it saw: "console" (errors),
// "calls" (of the API, with their status) and what the scene notes. Exits 0, or 1 with "error". pictures: a folder.
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const ask = JSON.parse(process.argv[2]);
const seen = { console: [], calls: [] };
const STEP_MS = 30000;
const id = (name) => `[data-testid="${name}"]`;

function totp(secret, step = Math.floor(Date.now() / 30000)) {
  const bits = [...secret].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const count = Buffer.alloc(8);
  count.writeBigUInt64BE(BigInt(step));
  const mac = createHmac("sha1", key).update(count).digest();
  const at = mac[19] & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1e6).padStart(6, "0");
}

async function until(what, test) {
  const end = Date.now() + STEP_MS;
  while (Date.now() < end) {
    const value = await test();
    if (value) return value;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`not within ${STEP_MS / 1000} s: ${what}`);
}

let picture = 0;
async function shoot(page, name) {
  if (ask.pictures) await page.screenshot({ path: join(ask.pictures, `${ask.scene}-${++picture}-${name}.png`) });
}

function watch(page) {
  page.setDefaultTimeout(STEP_MS);
  page.on("console", (m) => { if (m.type() === "error") seen.console.push(m.text()); });
  page.on("pageerror", (e) => seen.console.push(`uncaught: ${e.message}`));
  page.on("response", (r) => {
    const { pathname } = new URL(r.url());
    if (pathname.startsWith("/api/")) seen.calls.push(`${r.request().method()} ${pathname.replace("/api/v1/", "")} ${r.status()}`);
  });
  return page;
}

async function type(page, email = ask.email, password = ask.password) {
  await page.fill(id("login-email"), email);
  await page.fill(id("login-password"), password);
  await page.click(id("login-submit"));
}

async function logIn(page) {
  await page.goto(ask.page);
  await type(page);
  await page.waitForSelector(id("logout"));
}

const texts = (page, name) => page.locator(id(name)).allTextContents();
const takeAway = async (context, name) => context.clearCookies({ name });

const scenes = {
  /** Somebody whom nobody knows. */
  async stranger(page) {
    await page.goto(`${ask.page}#/watch/film`);
    await page.waitForSelector(id("login-email"));
    await shoot(page, "login");
    await type(page, "nobody@example.org", "wrong password");
    await until("a refusal", () => page.textContent(id("login-error")));
    seen.refusal = await page.textContent(id("login-error"));
    await shoot(page, "refused");
    await page.click(id("to-signup"));
    await page.fill(id("signup-email"), "nobody");
    await page.fill(id("signup-password"), "short");
    await page.click(id("signup-submit"));
    seen.refusal_sign_up = await until("a refusal", () => page.textContent(id("signup-error")));
    await shoot(page, "signup-refused");
    seen.form = await page.innerText(".account");
  },

  /** The access cookie is gone, and the page knows when; then without its knowing; then the refresh cookie too. */
  async refresh(page) {
    await logIn(page);
    await shoot(page, "grid");
    await takeAway(page.context(), "weir_access");
    await page.evaluate(() => localStorage.setItem("weir-session", "1"));
    seen.calls.length = 0;
    await page.reload();
    await page.waitForSelector(id("user-email"));
    seen.silent = [...seen.calls];
    seen.silent_console = [...seen.console];
    await takeAway(page.context(), "weir_access");
    seen.calls.length = 0;
    await page.reload();
    await page.waitForSelector(id("user-email"));
    seen.late = [...seen.calls];
    seen.console.length = 0;
    await page.context().clearCookies();
    await page.evaluate(() => localStorage.setItem("weir-session", "1"));
    await page.reload();
    await page.waitForSelector(id("login-email"));
    seen.over = await page.evaluate(() => localStorage.getItem("weir-session"));
    seen.console.length = seen.calls.length = 0;
    await page.reload();
    await page.waitForSelector(id("login-email"));
    seen.quiet = [...seen.calls, ...seen.console];
  },

  /** A second factor: a wrong code, a right one; then a recovery code. */
  async otp(page) {
    await page.goto(ask.page);
    await type(page);
    await page.waitForSelector(id("otp-code"));
    await shoot(page, "code");
    await page.fill(id("otp-code"), "000000");
    await page.click(id("field-submit"));
    seen.refusal = await until("a refusal", () => page.textContent(id("field-error")));
    await shoot(page, "refused");
    await page.click(id("field-back"));
    await type(page);
    await page.fill(id("otp-code"), totp(ask.secret, Math.floor(Date.now() / 30000) + 1)); // the present one was used to enrol
    await page.click(id("field-submit"));
    await page.waitForSelector(id("logout"));
    await page.click(id("logout"));
    await page.waitForSelector(id("login-email"));
    await type(page);
    await page.waitForSelector(id("otp-code"));
    await page.fill(id("otp-code"), ask.recovery);
    await page.click(id("field-submit"));
    await page.waitForSelector(id("logout"));
    seen.logged_in = await page.textContent(id("user-email"));
  },

  /** One stream plays elsewhere and the plan has one: ended from here, and it plays; what would allow more is named. */
  async limit(page) {
    await logIn(page);
    await page.goto(`${ask.page}#/watch/${ask.asset}`);
    await page.waitForSelector(id("watch-limit"));
    await shoot(page, "over");
    seen.message = await page.textContent(`${id("watch-limit")} p`);
    seen.elsewhere = await texts(page, "limit-list");
    seen.upgrades = await page.locator(id("limit-upgrade")).evaluateAll((all) => all.map((e) => [e.dataset.plan, e.textContent]));
    await page.click(id("limit-end"));
    await until("the player", () => page.locator(".player").count());
    seen.limit_left = await page.locator(id("watch-limit")).count();
    await page.goto(`${ask.page}#/`);
    await until("the session is given back", () => seen.calls.some((c) => /^DELETE playback\/\w+ 204$/.test(c)));
  },

  /** Two browsers of one account: each sees the other; one ends it. */
  async devices(page) {
    const other = watch(await (await browser.browser().newContext(CONTEXT)).newPage());
    await logIn(page);
    await logIn(other);
    await page.click(".me");
    await page.waitForSelector(id("device"));
    await until("both", async () => (await page.locator(id("device")).count()) === 2);
    seen.devices = await texts(page, "device");
    await shoot(page, "account");
    await page.click(id("device-end"));
    await until("one", async () => (await page.locator(id("device")).count()) === 1);
    seen.left = await texts(page, "device");
    await other.click(".me");
    await other.waitForSelector(id("login-email")); // told so by the next call
    await type(other);
    await other.waitForSelector(id("device")); // and back where they were
    await page.reload();
    await page.click(id("devices-end"));
    await until("one", async () => (await page.locator(id("device")).count()) === 1);
    await other.reload();
    await other.waitForSelector(id("login-email"));
    await page.setViewportSize({ width: 390, height: 780 });
    await shoot(page, "narrow");
  },

  /** A profile with a PIN: left, wrong, right. */
  async pin(page) {
    await logIn(page);
    await page.click(".me");
    await page.waitForSelector(id("profile"));
    await shoot(page, "profiles");
    const parent = page.locator(id("profile")).filter({ hasText: "Parent" }).locator(id("profile-choose"));
    const child = page.locator(id("profile")).filter({ hasText: "Child" }).locator(id("profile-choose"));
    await child.click();
    await until("the child", async () => /ChildWatching|Child.*Watching/.test((await texts(page, "profile")).join("|")));
    await parent.click();
    await page.waitForSelector(id("pin-dialog"));
    await shoot(page, "pin");
    await page.click(id("pin-cancel"));
    await parent.click();
    await page.fill(id("pin"), "0000");
    await page.click(id("pin-submit"));
    seen.refusal = await until("a refusal", () => page.textContent(id("you-error")));
    await shoot(page, "refused");
    await parent.click();
    await page.fill(id("pin"), ask.pin);
    await page.click(id("pin-submit"));
    await until("the parent", async () => /Parent[^|]*Watching/.test((await texts(page, "profile")).join("|")));
    seen.error_left = await page.textContent(id("you-error"));
  },
};

const CONTEXT = { ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 }, colorScheme: ask.scheme ?? "dark" };
const profile = mkdtempSync(join(tmpdir(), "weir-chromium-"));
let code = 1;
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  ...CONTEXT,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"],
});
const page = watch(browser.pages()[0] ?? await browser.newPage());
try {
  await scenes[ask.scene](page);
  code = 0;
} catch (error) {
  seen.error = error.message;
  await shoot(page, "failed").catch(() => {});
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}
console.log(JSON.stringify(seen));
process.exit(code);
