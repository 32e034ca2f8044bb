// SPDX-License-Identifier: Apache-2.0
// usage: node play.mjs '{"page","ca"?,"email","password","asset","engine","signup"?,"screenshot"?,"seconds"?,"limit"?}'
// limit: so many sessions of the same user are open elsewhere; the page shows them and one is ended.
// Logs in at the page, plays the asset with the engine and watches it as a viewer would: the picture
// moves, the time passes, a seek and a quality switch work, nothing complains. Prints one JSON line
// of what it saw; exits 0 when all of it held, 1 with "error" otherwise.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const ask = { seconds: 10, signup: false, ...JSON.parse(process.argv[2]) };
const seen = { engine: ask.engine, console: [], failed: [] };
const STEP_MS = 45000;

/** Polls with evaluate: the page's own policy forbids what page.waitForFunction injects. */
async function inPage(page, what, test, ...args) {
  const until = Date.now() + STEP_MS;
  while (Date.now() < until) {
    const value = await page.evaluate(test, args);
    if (value) return value;
    await new Promise((done) => setTimeout(done, 50));
  }
  const state = await page.evaluate(() => {
    const v = document.querySelector('[data-testid="player-video"]');
    return v && { time: v.currentTime, ready: v.readyState, paused: v.paused, error: v.error && v.error.message,
                  errors: window.weirPlayer && window.weirPlayer.errors };
  }).catch(() => null);
  throw new Error(`not within ${STEP_MS / 1000} s: ${what} ${JSON.stringify(state)}`);
}

const video = '[data-testid="player-video"]';

/** A small fingerprint of the picture that is shown now. */
function picture(page) {
  return page.evaluate((selector) => {
    const v = document.querySelector(selector);
    const c = document.createElement("canvas");
    c.width = 64;
    c.height = 36;
    const g = c.getContext("2d");
    g.drawImage(v, 0, 0, 64, 36);
    return Array.from(g.getImageData(0, 0, 64, 36).data).filter((_, i) => i % 4 !== 3);
  }, video);
}

function difference(a, b) {
  return a.reduce((sum, x, i) => sum + Math.abs(x - b[i]), 0) / a.length;
}

async function logIn(page) {
  const kind = ask.signup ? "signup" : "login";
  if (ask.signup) await page.click('[data-testid="to-signup"]');
  await page.fill(`[data-testid="${kind}-email"]`, ask.email);
  await page.fill(`[data-testid="${kind}-password"]`, ask.password);
  await page.click(`[data-testid="${kind}-submit"]`);
  await page.waitForSelector('[data-testid="title-card"]', { timeout: STEP_MS });
  seen.titles = await page.locator('[data-testid="title-card"]').count();
}

async function watch(page) {
  const opened = Date.now();
  await page.goto(`${ask.page}#/watch/${encodeURIComponent(ask.asset)}?engine=${ask.engine}`);
  if (ask.limit) {
    await page.waitForSelector('[data-testid="watch-limit"]', { timeout: STEP_MS });
    seen.elsewhere = await page.locator('[data-testid="limit-list"] strong').allTextContents();
    await page.click('[data-testid="limit-end"] >> nth=0');
  }
  await page.waitForSelector(video, { timeout: STEP_MS });
  await page.evaluate((s) => { const v = document.querySelector(s); v.muted = true; return v.play().catch(() => {}); }, video);
  await inPage(page, "first picture", ([s]) => { const v = document.querySelector(s); return v.readyState >= 2 && v.videoWidth > 0 && v.currentTime > 0.2; }, video);
  seen.first_picture_ms = Date.now() - opened;
  seen.engine_used = await page.evaluate(() => window.weirPlayer.engine);
  const first = await picture(page);
  if (ask.seconds > 0)
    await inPage(page, `currentTime past ${ask.seconds} s`, ([s, t]) => document.querySelector(s).currentTime > t, video, ask.seconds);
  seen.moved = difference(first, await picture(page));
  seen.dark = first.reduce((a, b) => a + b, 0) / first.length;
  if (seen.moved < 1) throw new Error(`the picture does not move (difference ${seen.moved})`);
  seen.duration = await page.evaluate((s) => document.querySelector(s).duration, video);

  // A seek back and one ahead: the time lands there and goes on.
  for (const share of [0.1, 0.6]) {
    const target = seen.duration * share;
    await page.evaluate(([s, t]) => { document.querySelector(s).currentTime = t; }, [video, target]);
    await inPage(page, `playing on after a seek to ${target}`, ([s, t]) => {
      const v = document.querySelector(s);
      return !v.seeking && v.currentTime > t + 0.4 && v.currentTime < t + 8;
    }, video, target);
  }
  seen.seeked = true;

  // A quality switch: another level, and the decoded picture has its height.
  const levels = await inPage(page, "levels", () => { const l = window.weirPlayer.levels(); return l.length > 0 && l; });
  seen.levels = levels.map((l) => l.height);
  const heights = [...seen.levels].sort((a, b) => a - b);
  for (const height of [heights[0], heights.at(-1)]) {
    await page.evaluate((h) => window.weirPlayer.setLevel(window.weirPlayer.levels().findIndex((l) => l.height === h)), height);
    await page.evaluate((s) => { const v = document.querySelector(s); v.currentTime = v.duration * 0.2; }, video);
    await inPage(page, `picture of ${height} lines`, ([s, h]) => { const v = document.querySelector(s); return v.videoHeight === h && v.readyState >= 2; }, video, height);
  }
  seen.switched = true;
  const before = await page.evaluate((s) => document.querySelector(s).currentTime, video);
  await inPage(page, "playing on after the switch", ([s, t]) => document.querySelector(s).currentTime > t + 0.3, video, before);
  seen.dropped = await page.evaluate((s) => document.querySelector(s).getVideoPlaybackQuality().droppedVideoFrames, video);
  seen.errors = await page.evaluate(() => window.weirPlayer.errors);
  if (seen.errors.length > 0) throw new Error(`the player reported ${JSON.stringify(seen.errors)}`);
  const mediaError = await page.evaluate((s) => document.querySelector(s).error?.message ?? null, video);
  if (mediaError) throw new Error(`the video element reported ${mediaError}`);
}

const profile = mkdtempSync(join(tmpdir(), "weir-chromium-"));
let code = 1;
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  ignoreHTTPSErrors: true,
  viewport: { width: 1280, height: 800 },
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-quic", "--autoplay-policy=no-user-gesture-required"],
});
try {
  const page = browser.pages()[0] ?? await browser.newPage();
  page.on("console", (m) => { if (m.type() === "error") seen.console.push(m.text()); });
  page.on("pageerror", (e) => seen.console.push(`uncaught: ${e.message}`));
  page.on("requestfailed", (r) => { if (!/ERR_ABORTED/.test(r.failure()?.errorText ?? "")) seen.failed.push(`${r.failure()?.errorText} ${r.url().replace(/URISigningPackage=[^/]+/, "…")}`); });
  await page.goto(ask.page, { timeout: STEP_MS });
  await logIn(page);
  if (ask.screenshot) await page.screenshot({ path: ask.screenshot.replace(".png", "-list.png") });
  await watch(page);
  // Leaving the film gives its session back.
  const given = page.waitForResponse((r) => r.request().method() === "DELETE", { timeout: STEP_MS });
  await page.goto(`${ask.page}#/`);
  seen.given_back = (await given).status();
  if (ask.screenshot) await page.screenshot({ path: ask.screenshot });
  if (seen.failed.length > 0) throw new Error(`requests failed: ${seen.failed.join("; ")}`);
  if (seen.console.some((line) => line.startsWith("uncaught"))) throw new Error(seen.console.join("; "));
  code = 0;
} catch (error) {
  seen.error = error.message;
  if (ask.screenshot) await browser.pages()[0]?.screenshot({ path: ask.screenshot }).catch(() => {});
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}
console.log(JSON.stringify(seen));
process.exit(code);
