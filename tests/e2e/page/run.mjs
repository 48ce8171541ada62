// Runs journeys, one after the other, in one Chromium. usage: run.mjs estate|work [NAME...]
import * as account from './account.mjs';
import * as configuration from './configuration.mjs';
import * as estate from './estate.mjs';
import * as everyPage from './every_page.mjs';
import * as log from './log.mjs';
import * as setup from './setup.mjs';
import * as upgrade from './upgrade.mjs';
import * as vmChanges from './vm_changes.mjs';
import * as wrongInput from './wrong_input.mjs';
import { launch, screenshots } from './browser.mjs';

const journeys = { ...account, ...configuration, ...estate, ...everyPage, ...log, ...setup, ...upgrade, ...vmChanges, ...wrongInput };
const sets = {
  estate: ['sign_in', 'home', 'live', 'vm', 'wrong_input', 'environment', 'language', 'every_page', 'roles', 'reconnect'],
  work: ['users', 'types', 'hypervisors', 'free_host', 'profiles', 'configure', 'upgrade', 'automatic_upgrade', 'chart', 'vm_changes', 'take_over', 'log_search', 'log_backup', 'what_is_not_offered'],
};
const [set, ...wanted] = process.argv.slice(2);
if (!sets[set]) throw new Error('usage: run.mjs estate|work [NAME...]');
const named = Object.values(sets).flat();
const left = Object.keys(journeys).filter((name) => !named.includes(name));
if (left.length) throw new Error(`journeys that are never run: ${left}`);
const unknown = wanted.filter((name) => !sets[set].includes(name));
if (unknown.length) throw new Error(`no journeys of ${set}: ${unknown}`);
const browser = await launch();
let failures = 0;
for (const name of sets[set]) {
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
