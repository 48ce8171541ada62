// See death_seen. The page shows the VM's services; what changes there is noticed by a MutationObserver, on this machine's one clock.
import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const { chromium } = createRequire(join(process.env.DROVER_BUILD, 'web-gateway/page_build/work/package.json'))('playwright-core');
const web = process.env.DROVER_WEB;
const run = promisify(execFile);
const sh = async (...command) => (await run(command[0], command.slice(1))).stdout;
const password = readFileSync(join(process.env.DROVER_LAB, 'admin.password'), 'utf8').trim();

let told = () => {};
const follow = spawn('drover', ['event', 'list', '--follow', '-o', 'json'], { stdio: ['ignore', 'pipe', 'ignore'] });
createInterface({ input: follow.stdout }).on('line', (line) => line.includes('service.died') && told(Date.now()));

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
await context.request.post(`${web}/v1/sessions`, { data: { user: 'admin', password }, headers: { 'X-Requested-By': 'bench' } });
const page = await context.newPage();
let seen = () => {};
await page.exposeFunction('changed', (at) => seen(at));
const rounds = [];
for (const vm of [1, 2, 3, 4, 5].map((n) => `seen-${n}`)) {
  await page.goto(`${web}/vms/${vm}`);
  const service = page.locator('[data-service]').first();
  await service.waitFor();
  await service.evaluate((row) => {
    const text = () => row.dataset.state + row.innerText;
    let before = text();
    new MutationObserver(() => {
      if (text() === before) return;
      before = text();
      window.changed(Date.now());
    }).observe(row.parentElement, { subtree: true, childList: true, characterData: true, attributes: true });
  });
  const running = async () => JSON.parse(await sh('drover', 'service', 'list', vm, '-o', 'json')).vms[0].services[0];
  let found = await running();
  while (found.state !== 'STATE_RUNNING' || (await service.getAttribute('data-state')) !== 'STATE_RUNNING') found = await running();
  const cli = new Promise((resolve) => (told = resolve));
  const row = new Promise((resolve) => (seen = resolve));
  await sh('lab', 'guest', vm, '--', 'kill', '-9', String(found.pid));
  const killed = Date.now();
  rounds.push({ cli: (await cli) - killed, row: (await row) - killed });
}
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const row = median(rounds.map((one) => one.row));
const cli = median(rounds.map((one) => one.cli));
const more = median(rounds.map((one) => one.row - one.cli));
console.log(`process killed in a guest:  row changed in Chromium after ${row} ms;  drover event list --follow after ${cli} ms;  ${more} ms more (must: 200)`);
follow.kill();
await browser.close();
process.exit(0);
