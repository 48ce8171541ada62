// Runs the journeys, one after the other, in one Chromium. usage: run.mjs [NAME...]
import * as journeys from './journeys.mjs';
import { launch, screenshots } from './browser.mjs';

const order = ['sign_in', 'home', 'live', 'vm', 'wrong_input', 'environment', 'language', 'every_page', 'roles', 'reconnect'];
const left = Object.keys(journeys).filter((name) => typeof journeys[name] === 'function' && name !== 'administrator' && !order.includes(name));
if (left.length) throw new Error(`journeys that are never run: ${left}`);
const wanted = process.argv.slice(2);
const browser = await launch();
let failures = 0;
for (const name of order) {
  if (wanted.length && !wanted.includes(name)) continue;
  const started = Date.now();
  try {
    await journeys[name](browser);
    console.log(`ok      ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures += 1;
    console.log(`FAILED  ${name}: ${error.stack}`);
    for (const context of browser.contexts()) {
      for (const page of context.pages()) await page.screenshot({ path: `${screenshots}/failed-${name}.png` }).catch(() => {});
      await context.close();
    }
  }
}
await browser.close();
process.exit(failures ? 1 : 0);
