// First load of the home page in Debian's Chromium, signed in, nothing in its cache: bytes as they came over the wire, and until the
// table has rows and takes clicks. Ten times, the median; the reference is a page of the same server with nothing in it but the bytes.
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { chromium } = createRequire(join(process.env.DROVER_BUILD, 'web-gateway/page_build/work/package.json'))('playwright-core');
const web = process.env.DROVER_WEB;
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'] });
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function once() {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-GB' });
  const signedIn = await context.request.post(`${web}/v1/sessions`, { data: { user: 'admin', password: process.env.DROVER_PASSWORD }, headers: { 'X-Requested-By': 'bench' } });
  if (!signedIn.ok()) throw new Error(`sign-in: ${signedIn.status()}`);
  const page = await context.newPage();
  const cdp = await context.newCDPSession(page);
  await cdp.send('Network.enable');
  let bytes = 0;
  let assets = 0;
  const urls = new Map();
  cdp.on('Network.responseReceived', ({ requestId, response }) => urls.set(requestId, response.url));
  cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    bytes += encodedDataLength;
    if (!(urls.get(requestId) ?? '').includes('/v1/')) assets += encodedDataLength;
  });
  // In the page's own clock: the first frame after the rows are there.
  await page.addInitScript(() => {
    const look = () => {
      const row = document.querySelector('[role=row][data-id]');
      const search = document.querySelector('[data-test=search]');
      if (row && search && row.textContent.includes('machine-')) setTimeout(() => (window.usable = performance.now()), 0);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await page.goto(`${web}/`, { waitUntil: 'commit' });
  const usable = await (await page.waitForFunction(() => window.usable, null, { timeout: 60_000 })).jsonValue();
  await page.waitForTimeout(300);
  await context.close();
  return { bytes, assets, usable };
}

await once();
const runs = [];
for (let n = 0; n < 10; n += 1) runs.push(await once());
const of = (key) => median(runs.map((one) => one[key]));
console.log(
  `first load of the home page, 5,000 VMs:  page ${Math.round(of('assets') / 1024)} KB, with its data ${Math.round(of('bytes') / 1024)} KB (must: 350 KB);  usable after ${(of('usable') / 1000).toFixed(2)} s (must: 1.5 s)`,
);
await browser.close();
