// Chromium, one at a time, and what every journey watches: the content security policy, errors of the page, axe.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';

const build = process.env.DROVER_BUILD;
export const web = process.env.DROVER_WEB;
export const screenshots = process.env.DROVER_SCREENSHOTS;
const packages = createRequire(join(build, 'web-gateway/page_build/work/package.json'));
const { chromium } = packages('playwright-core');
const axe = readFileSync(packages.resolve('axe-core/axe.min.js'), 'utf8');
const run = promisify(execFile);

// Output of a program of the lab.
export const sh = async (...command) => (await run(command[0], command.slice(1), { maxBuffer: 1 << 26 })).stdout;

export function must(condition, what) {
  if (!condition) throw new Error(what);
}

// Waits for a condition; machines are shared and slow, a pass is quick.
export async function eventually(what, condition, seconds = 120) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    if (await condition()) return;
    if (Date.now() > end) throw new Error(`${what} did not come true in ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function launch() {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

// A browser profile of its own: cookie, language, look.
export async function person(browser, { language = 'en', dark = false } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: language === 'en' ? 'en-GB' : 'zh-CN', colorScheme: dark ? 'dark' : 'light', reducedMotion: dark ? 'reduce' : 'no-preference' });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const problems = [];
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
  });
  page.on('pageerror', (error) => problems.push(String(error.stack)));
  page.on('console', (message) => /content security policy/i.test(message.text()) && problems.push(message.text()));
  const asked = new Set();
  page.on('request', (request) => request.resourceType() === 'fetch' && asked.add(request));
  for (const end of ['requestfinished', 'requestfailed']) page.on(end, (request) => asked.delete(request));
  return { context, page, problems, asked };
}

// The page has what it asked for, and asks for no more.
export async function settled({ page, asked }) {
  for (let calm = 0; calm < 4; calm = asked.size ? 0 : calm + 1) await page.waitForTimeout(50);
}

// Nothing was blocked, nothing was thrown.
export async function sound({ page, problems }) {
  const violations = await page.evaluate(() => window.violations);
  must(violations.length === 0, `content security policy at ${page.url()}: ${violations.join('; ')}`);
  must(problems.length === 0, `errors of the page at ${page.url()}: ${problems.join('; ')}`);
}

// No finding that keeps somebody out.
export async function accessible(page) {
  // What moves in is looked at when it stands.
  await page.waitForFunction(() => !document.getAnimations().some((one) => one.playState === 'running' && one.effect?.getTiming().iterations !== Infinity));
  await page.evaluate(`${axe}; 0`);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const serious = found.violations.filter((one) => one.impact === 'serious' || one.impact === 'critical');
  const told = serious.map((one) => `${one.impact} ${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.target.join(' ')} (${node.failureSummary?.split('\n')[1]?.trim()})`).join(', ')}`);
  must(serious.length === 0, `axe at ${page.url()}:\n  ${told.join('\n  ')}`);
}

export const shot = (page, name) => page.screenshot({ path: join(screenshots, `${name}.png`) });

export async function signIn(page, user, password, path = '/') {
  await page.goto(`${web}${path}`);
  await page.fill('input[name=user]', user);
  await page.fill('input[name=password]', password);
  await page.click('[data-test=sign-in]');
  await page.waitForSelector('[data-test=user-menu]');
}

// The page hears the controller.
export const isLive = (page) => page.waitForSelector('[data-test=live].live.live');
