// One visit to the gateway's page in a real Chromium: node page.mjs SCENARIO, with what it needs as JSON on standard input.
// Ends with status 1 and says what was not as it should be.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const npm = createRequire(path.join(process.env.COUNTERSIGN_NPM, "package.json"));
const { chromium } = npm("playwright-core");
const axeSource = npm.resolve("axe-core/axe.min.js");

const sizes = { phone: { width: 390, height: 844 }, car: { width: 1280, height: 720 } };
const patience = 60000;

let config = "";
for await (const chunk of process.stdin) config += chunk;
config = JSON.parse(config);

// Accessibility as axe-core knows it: WCAG 2.2 up to AA and its best practices. Contrast, labels, landmarks, order, target
// sizes. In light and in dark.
async function inspect(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    // Not as a script of the page, which its policy would refuse.
    await page.evaluate(await readAxe());
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    const violations = found.violations.map((v) => `${v.id}: ${v.help} (${v.nodes.map((n) => n.target).join(", ")})`);
    assert.deepEqual(violations, [], `${name}, ${colorScheme}`);
    const missing = await page.evaluate(() => document.documentElement.innerHTML.match(/\[\[[a-z_.]+\]\]/g));
    assert.equal(missing, null, `words are missing on ${name}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${name} is ${wide} pixels wider than the display`);
    if (config.outputs) {
      await page.screenshot({ path: `${config.outputs}/${config.scenario}-${name}-${colorScheme}.png`, fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
}

let axe;
async function readAxe() {
  axe ??= await import("node:fs/promises").then((fs) => fs.readFile(axeSource, "utf8"));
  return axe;
}

async function signIn(page, pin = config.pin) {
  await page.fill("#principal", config.principal);
  await page.fill("#pin", pin);
  await page.click("#sign-in");
}

const waitFor = (page, text) => page.getByText(text).first().waitFor({ timeout: patience });

// Presses Tab until `selector` has the focus: whoever has no mouse gets there, too.
async function tabTo(page, selector) {
  for (let presses = 0; presses < 80; ++presses) {
    await page.keyboard.press("Tab");
    const there = await page.evaluate((s) => document.activeElement.matches(s), selector);
    if (!there) continue;
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", `nobody sees that ${selector} has the focus`);
    return;
  }
  assert.fail(`Tab does not lead to ${selector}`);
}

const scenarios = {
  // FOTA-T2: the user asks, and is told that there is nothing.
  async nothing(page) {
    await page.goto("/");
    await waitFor(page, config.words.headline);
    await page.click("#check");
    await waitFor(page, config.words.nothing);
    // Not of those of which nothing is known.
    await waitFor(page, config.words.unknown);
    await inspect(page, "home");
    await page.click('nav a[href="/history"]');
    await inspect(page, "history");
    await page.click('nav a[href="/permissions"]');
    await inspect(page, "permissions");
  },

  // FOTA-F, FOTA-T1, HOME-8: what is asked for, with all that the user has to be told; yes; how it goes on; how it ended.
  async accept(page) {
    await page.goto("/");
    await page.waitForSelector(config.open, { timeout: patience });
    await inspect(page, "home");
    await page.click(config.open);
    for (const text of config.told) await waitFor(page, text);
    await inspect(page, "question-signed-out");
    await page.click("#login-first");
    await inspect(page, "login");
    await signIn(page, "000000");
    await waitFor(page, config.words.wrong);
    await inspect(page, "login-wrong");
    await signIn(page);
    await page.waitForSelector("#accept");
    await inspect(page, "question");
    // Without the tick at the terms the browser does not even send it.
    await page.click("#accept");
    assert.ok(page.url().includes("/updates/"));
    await page.check("#accept-terms");
    await page.click("#accept");
    await waitFor(page, config.words.taken);
    await page.waitForSelector(".steps, .outcome.good", { timeout: patience });
    await inspect(page, "progress");
    await waitFor(page, config.words.succeeded);
    const spoken = await page.textContent("#announce");
    assert.notEqual(spoken, "", "a screen reader is told nothing");
    await inspect(page, "result");
    await page.click('nav a[href="/history"]');
    await waitFor(page, config.words.succeeded);
    await inspect(page, "history");
  },

  // By keyboard alone, from the first page to the answer.
  async postpone(page) {
    await page.goto("/");
    await page.waitForSelector(config.open, { timeout: patience });
    await tabTo(page, "#login");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#sign-in");
    await tabTo(page, "#principal");
    await page.keyboard.type(config.principal);
    await tabTo(page, "#pin");
    await page.keyboard.type(config.pin);
    await page.keyboard.press("Enter");
    await page.waitForSelector(config.open);
    await tabTo(page, config.open);
    await page.keyboard.press("Enter");
    await page.waitForSelector("#postpone");
    await tabTo(page, "#until");
    await page.keyboard.press("End");
    await page.keyboard.press("Home");
    await tabTo(page, "#postpone");
    await inspect(page, "question");
    await page.keyboard.press("Enter");
    await waitFor(page, config.words.postponed);
    await inspect(page, "postponed");
  },

  // Standing permissions: given with the text that is shown, and withdrawn.
  async policy(page) {
    await page.goto("/permissions");
    await page.click("#login-first");
    await signIn(page);
    await page.waitForSelector("#show-permission");
    await page.selectOption("#minimum", "high");
    await page.click("#show-permission");
    await waitFor(page, config.words.text);
    await inspect(page, "text");
    await page.click("#agree");
    await page.waitForSelector(".policy.active");
    await inspect(page, "active");
    await page.click(".policy.active button");
    await page.waitForSelector(".policy.ended");
    assert.equal(await page.locator(".policy.active").count(), 0);
    await inspect(page, "withdrawn");
  },

  // What a manufacturer writes is text, whatever it says.
  async hostile(page) {
    await page.goto("/");
    await page.waitForSelector(config.open, { timeout: patience });
    await page.click(config.open);
    for (const text of config.told) await waitFor(page, text);
    for (const url of ["/", page.url()]) {
      await page.goto(url);
      assert.equal(await page.evaluate(() => window.pwned), undefined);
      assert.equal(await page.locator("main img, main script, main iframe, main style").count(), 0);
    }
    await inspect(page, "question");
  },

  // SC-USE-7
  async confirm(page) {
    await page.goto("/");
    await page.waitForSelector(".card.danger a", { timeout: patience });
    await inspect(page, "home");
    await page.click(".card.danger a");
    await page.click("#login-first");
    await signIn(page);
    await page.waitForSelector("#reject");
    // No is what the Enter key does.
    assert.equal(await page.evaluate(() => document.activeElement.id), "reject");
    await inspect(page, "warning");
    if (config.install) {
      await page.click("#insist");
      assert.ok(page.url().includes("/confirm/"), "it was installed without the tick");
      await page.check("#understood");
      await page.click("#insist");
    } else {
      await page.keyboard.press("Enter");
    }
    await waitFor(page, config.words.taken);
    await inspect(page, "answered");
  },
};

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
const context = await browser.newContext({
  baseURL: config.url,
  viewport: sizes[config.size],
  locale: config.locale,
  hasTouch: config.size === "phone",
  reducedMotion: "reduce",
  // The page is served with a certificate of the test's.
  ignoreHTTPSErrors: true,
});
const page = await context.newPage();
const complaints = [];
page.on("console", (message) => {
  // A browser also complains of every answer that is not 2xx.
  if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
});
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("dialog", (dialog) => {
  complaints.push(`a dialog: ${dialog.message()}`);
  dialog.dismiss();
});
page.on("request", (request) => {
  if (!request.url().startsWith(config.url)) complaints.push(`asked elsewhere: ${request.url()}`);
});
page.setDefaultTimeout(20000);
let failure;
try {
  await scenarios[config.scenario](page);
  assert.deepEqual(complaints, []);
} catch (error) {
  failure = error;
  if (config.outputs) await page.screenshot({ path: `${config.outputs}/${config.scenario}-failed.png`, fullPage: true });
  console.error(`at ${page.url()}: ${error.stack}\n${complaints.join("\n")}`);
}
await browser.close();
process.exit(failure ? 1 : 0);
