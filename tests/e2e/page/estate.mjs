// The estate as it is: home, live changes, a VM, environments, a controller that goes and comes. Each journey leaves it as it found it.
import { readFileSync } from 'node:fs';
import { accessible, eventually, isLive, must, person, sh, shot, sound, web } from './browser.mjs';
import { administrator, menu, row, sayYes, succeeded, text } from './parts.mjs';

export async function home(browser) {
  const me = await person(browser);
  const { page } = me;
  await administrator(page);
  await isLive(page);
  await row(page, 'watched-1').waitFor();
  must(/3/.test(await text(page, '[data-test=total]')), 'the total is wrong');
  must(/3/.test(await text(page, '[data-type=web]')), 'the count of web VMs is wrong');
  await shot(page, 'home');
  await page.fill('[data-test=search] input, input[data-test=search]', 'WATCHED-2');
  await eventually('the search narrows', async () => (await page.locator('[role=row][data-id]').count()) === 1);
  must(new URL(page.url()).searchParams.get('q') === 'WATCHED-2', 'the search is not in the address');
  await page.reload();
  await row(page, 'watched-2').waitFor();
  must((await page.locator('[role=row][data-id]').count()) === 1, 'the search is lost by a reload');
  await page.fill('[data-test=search] input, input[data-test=search]', 'no such vm');
  await page.getByText('No VM matches').waitFor();
  await page.click('[data-test=clear-filters]');
  await row(page, 'watched-3').waitFor();
  await page.getByRole('button', { name: 'Name', exact: true }).click();
  await eventually('the order turns', async () => /watched-3/.test(await page.locator('[role=row][data-id]').first().innerText()));
  await page.click('[data-type=web]');
  await eventually('the card filters', async () => new URL(page.url()).searchParams.get('type') === 'web');
  await page.keyboard.press('/');
  must(await page.evaluate(() => document.activeElement.closest('[data-search], input[data-search]') !== null), '"/" does not lead to the search');
  await sound(me);
  await me.context.close();
}

// What dies in a guest is seen without a reload, and nothing that was typed or chosen is lost.
export async function live(browser) {
  const me = await person(browser);
  const { page } = me;
  await administrator(page, '/?sort=name%20desc');
  await isLive(page);
  await row(page, 'watched-1').locator('input[type=checkbox]').check();
  await page.evaluate(() => (window.notReloaded = true));
  const deaths = () => page.locator('[data-kind="service.died"]').count();
  const before = await deaths();
  const listed = JSON.parse(await sh('drover', 'service', 'list', 'watched-1', '-o', 'json'));
  const pid = listed.vms[0].services[0].pid;
  const started = Date.now();
  await sh('lab', 'guest', 'watched-1', '--', 'kill', '-9', String(pid));
  await eventually('the death is shown', async () => (await deaths()) > before, 60);
  console.log(`    killed in the guest -> shown in Chromium: ${Date.now() - started} ms`);
  await shot(page, 'home-live');
  await sh('lab', 'esxi', 'esxi1', 'cut');
  await eventually('the cut network is shown', async () => /Down/.test(await row(page, 'watched-1').innerText()), 60);
  must(/3/.test(await page.locator('[data-type=web] .bad').innerText()), 'the card does not count them as down');
  await shot(page, 'home-down');
  await sh('lab', 'esxi', 'esxi1', 'heal');
  await eventually('the healed network is shown', async () => /Up/.test(await row(page, 'watched-1').innerText()), 120);
  must(await page.evaluate(() => window.notReloaded === true), 'the page was reloaded');
  must(await row(page, 'watched-1').locator('input[type=checkbox]').isChecked(), 'the selection is lost');
  must(/watched-3/.test(await page.locator('[role=row][data-id]').first().innerText()), 'the order is lost');
  await sound(me);
  await me.context.close();
}

export async function vm(browser) {
  const me = await person(browser);
  const { page } = me;
  await administrator(page, '/vms/watched-2');
  const service = page.locator('[data-service]').first();
  await service.waitFor();
  const running = async () => (await service.getAttribute('data-state')) === 'STATE_RUNNING';
  await eventually('the service runs', running);
  await page.waitForSelector('.uplot canvas, .empty, .note-quiet');
  await shot(page, 'vm');
  await service.getByRole('button', { name: 'Stop', exact: true }).click();
  await page.locator('.hit-list', { hasText: 'watched-2' }).waitFor();
  await sayYes(page);
  await eventually('the service is stopped', async () => (await service.getAttribute('data-state')) === 'STATE_STOPPED');
  await service.getByRole('button', { name: 'Start', exact: true }).click();
  await eventually('the service runs again', running);
  await service.getByRole('button', { name: 'Output', exact: true }).click();
  await page.locator('.el-dialog:visible pre, .el-dialog:visible .empty').first().waitFor();
  await page.keyboard.press('Escape');
  await page.goto(`${web}/vms/watched-2?tab=operations`);
  await page.locator('[role=row][data-id^="operations/"]').first().waitFor();
  await page.goto(`${web}/vms/watched-2?tab=log`);
  await page.getByText('control services').first().waitFor();
  await page.goto(`${web}/vms/no-such-vm`);
  await page.getByText('There is no VM named no-such-vm').waitFor();
  await sound(me);
  await me.context.close();
}

// From a file to running VMs, and away again by typing the name.
export async function environment(browser) {
  const me = await person(browser);
  const { page } = me;
  const document = 'environment = "shop"\ndisplay_name = "Shop"\naddress_pool = ["10.213.71.1-10.213.71.9"]\n[network]\nnetmask = "255.255.0.0"\ngateway = "10.213.0.1"\ndns1 = "10.213.0.1"\n[[group]]\ntype = "web"\ncount = 2\n[[group]]\ntype = "spider"\ncount = 1\n';
  await administrator(page, '/environments/deploy');
  await page.setInputFiles('[data-test=file]', { name: 'shop.toml', mimeType: 'application/toml', buffer: Buffer.from(document) });
  await page.click('[data-test=plan]');
  await page.locator('[data-test=plan-result]', { hasText: '3 to create' }).waitFor();
  await accessible(page);
  await shot(page, 'plan');
  await page.click('[data-test=apply]');
  await page.waitForURL(/\/operations\//);
  await page.waitForSelector('[data-test=operation]');
  await shot(page, 'operation');
  await succeeded(page);
  await page.goto(`${web}/environments?open=shop`);
  await row(page, 'shop-web-01').waitFor();
  must((await page.locator('[role=row][data-id^="vms/shop-"]').count()) === 3, 'not all VMs are there');
  await shot(page, 'environments');
  const [saved] = await Promise.all([page.waitForEvent('download'), menu(page, '[aria-label="Actions for shop"]', 'Export as file')]);
  const file = readFileSync(await saved.path(), 'utf8');
  must(/environment = "shop"/.test(file) && /\[\[group\]\]/.test(file), `the exported file is wrong: ${file}`);
  await page.goto(`${web}/environments/deploy`);
  await page.setInputFiles('[data-test=file]', { name: 'shop.toml', mimeType: 'application/toml', buffer: Buffer.from(file) });
  await page.click('[data-test=plan]');
  await page.getByText('Everything is as the file says').waitFor();
  await page.goto(`${web}/environments`);
  await menu(page, '[aria-label="Actions for shop"]', 'Shut down');
  await sayYes(page);
  await eventually('the environment is off', async () => /Off/.test(await page.locator('[data-id="environments/shop"]').innerText()), 240);
  await menu(page, '[aria-label="Actions for shop"]', 'Delete');
  await page.locator('.hit-list', { hasText: 'shop-spider-01' }).waitFor();
  must(await page.locator('[data-test=confirm]').isDisabled(), 'deletion needs no name');
  await page.fill('[data-test=typed] input, input[data-test=typed]', 'shops');
  must(await page.locator('[data-test=confirm]').isDisabled(), 'deletion takes another name');
  await accessible(page);
  await shot(page, 'delete');
  await page.fill('[data-test=typed] input, input[data-test=typed]', 'shop');
  await sayYes(page);
  await eventually('the environment is gone', async () => (await page.locator('[data-id="environments/shop"]').count()) === 0, 300);
  await sound(me);
  await me.context.close();
}

// The controller goes and comes: the page says so, goes on by itself, and keeps what is typed and chosen.
export async function reconnect(browser) {
  const me = await person(browser);
  const { page } = me;
  await administrator(page, '/?q=watched');
  await isLive(page);
  await row(page, 'watched-1').locator('input[type=checkbox]').check();
  await page.evaluate(() => (window.notReloaded = true));
  await sh('lab', 'controller', 'kill');
  await page.waitForSelector('[data-test=live].degraded, [data-test=live].connecting');
  await shot(page, 'controller-away');
  await sh('lab', 'controller', 'start');
  await isLive(page);
  await eventually('the rows are true again', async () => /Connected/.test(await row(page, 'watched-1').innerText()), 180);
  must(await page.evaluate(() => window.notReloaded === true), 'the page was reloaded');
  must(await row(page, 'watched-1').locator('input[type=checkbox]').isChecked(), 'the selection is lost');
  must((await page.inputValue('[data-test=search] input, input[data-test=search]')) === 'watched', 'the search is lost');
  await sound(me);
  await me.context.close();
}
