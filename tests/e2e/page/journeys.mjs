// What people do with the page, from one end to the other. Each journey leaves the estate as it found it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { accessible, eventually, isLive, must, person, sh, shot, signIn, sound, web } from './browser.mjs';

const password = readFileSync(join(process.env.DROVER_LAB, 'admin.password'), 'utf8').trim();
export const administrator = (page, path) => signIn(page, 'admin', password, path);
const text = (page, selector) => page.locator(selector).first().innerText();
const row = (page, vm) => page.locator(`[role=row][data-id="vms/${vm}"]`);
// Clicks through the question.
const say_yes = (page) => page.click('[data-test=confirm]');
const menu = async (page, opener, item) => {
  await page.click(opener);
  await page.locator('.el-dropdown-menu__item:visible', { hasText: item }).first().click();
};
// The operation whose page is open has ended well.
async function succeeded(page) {
  await page.waitForSelector('[data-test=operation]');
  await eventually('the operation ends', async () => /SUCCEEDED|FAILED|CANCELLED/.test(await page.getAttribute('[data-test=operation]', 'data-state')), 300);
  const state = await page.getAttribute('[data-test=operation]', 'data-state');
  must(state === 'STATE_SUCCEEDED', `the operation ended as ${state}: ${await page.locator('main').innerText()}`);
}

export async function sign_in(browser) {
  const me = await person(browser);
  const { page } = me;
  await page.goto(`${web}/environments?q=te`);
  await page.waitForSelector('input[name=user]');
  must(page.url().includes('next=%2Fenvironments') || page.url().includes('next=/environments'), `where one wanted to go is not remembered: ${page.url()}`);
  await accessible(page);
  await shot(page, 'sign-in');
  await page.click('[data-test=sign-in]');
  await page.waitForSelector('.el-form-item__error');
  await page.fill('input[name=user]', 'admin');
  await page.fill('input[name=password]', 'certainly-wrong');
  await page.click('[data-test=sign-in]');
  must((await page.waitForSelector('[role=alert]')) && /Wrong user or password/.test(await text(page, '[role=alert]')), 'a wrong password is not said to be wrong');
  await page.fill('input[name=password]', password);
  await page.click('[data-test=sign-in]');
  await page.waitForURL(`${web}/environments?q=te`);
  must((await me.context.cookies()).every((cookie) => cookie.httpOnly && cookie.sameSite !== 'None'), 'scripts can read the session');
  await page.click('[data-test=user-menu]');
  await page.click('[data-test=sign-out]');
  await page.waitForSelector('input[name=user]');
  must((await page.evaluate(() => fetch('/v1/self').then((answer) => answer.status))) === 401, 'signed out, the session still works');
  // An address of another site does not lead there.
  await administrator(page, '/sign-in?next=//example.com/');
  must(page.url() === `${web}/`, `signing in led to ${page.url()}`);
  await sound(me);
  await me.context.close();
}

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
  await say_yes(page);
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

export async function wrong_input(browser) {
  const me = await person(browser);
  const { page } = me;
  await administrator(page, '/vms/new?environment=test');
  await page.fill('[data-test=id] input, input[data-test=id]', 'wrong-1');
  await page.locator('.el-form-item', { hasText: 'Type' }).locator('.el-select').click();
  await page.locator('.el-select-dropdown__item:visible', { hasText: 'web' }).click();
  await page.getByLabel('IP', { exact: true }).fill('10.213.70.9');
  await page.getByLabel('Netmask').fill('255.0.255.0');
  await page.click('[data-test=create]');
  await page.locator('.el-form-item', { hasText: 'Netmask' }).locator('.el-form-item__error').waitFor();
  must((await page.getByLabel('Netmask').inputValue()) === '255.0.255.0', 'what was typed is gone');
  await accessible(page);
  await shot(page, 'wrong-input');
  await page.getByLabel('Netmask').fill('255.255.0.0');
  await page.getByLabel('IP', { exact: true }).fill('10.213.70.2');
  await page.click('[data-test=create]');
  await page.locator('[role=alert], .el-form-item__error').first().waitFor();
  must(!(await sh('drover', 'vm', 'list', '-q')).includes('wrong-1'), 'a refused VM left something behind');
  await page.goto(`${web}/environments?dialog=add`);
  await page.fill('[data-test=id] input, input[data-test=id]', 'Not An Id');
  await page.locator('.el-dialog:visible [data-test=submit]').click();
  await page.locator('.el-dialog:visible .el-form-item__error').waitFor();
  await page.keyboard.press('Escape');
  await page.goto(`${web}/environments/deploy`);
  await page.fill('[data-test=text] textarea, textarea[data-test=text]', 'environment = \n');
  await page.click('[data-test=plan]');
  await page.locator('[role=alert]', { hasText: 'cannot be read' }).waitFor();
  await page.fill('[data-test=text] textarea, textarea[data-test=text]', 'environment = "other"\n[[group]]\ntype = "no-such-type"\ncount = 2\n');
  await page.click('[data-test=plan]');
  await page.locator('[role=alert]', { hasText: 'no-such-type' }).waitFor();
  must(!(await sh('drover', 'env', 'list', '-q')).includes('other'), 'a refused document left something behind');
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
  await say_yes(page);
  await eventually('the environment is off', async () => /Off/.test(await page.locator('[data-id="environments/shop"]').innerText()), 240);
  await menu(page, '[aria-label="Actions for shop"]', 'Delete');
  await page.locator('.hit-list', { hasText: 'shop-spider-01' }).waitFor();
  must(await page.locator('[data-test=confirm]').isDisabled(), 'deletion needs no name');
  await page.fill('[data-test=typed] input, input[data-test=typed]', 'shops');
  must(await page.locator('[data-test=confirm]').isDisabled(), 'deletion takes another name');
  await accessible(page);
  await shot(page, 'delete');
  await page.fill('[data-test=typed] input, input[data-test=typed]', 'shop');
  await say_yes(page);
  await eventually('the environment is gone', async () => (await page.locator('[data-id="environments/shop"]').count()) === 0, 300);
  await sound(me);
  await me.context.close();
}

// An administrator is led to an own password, may operate, and finds nothing that would be refused; the server refuses it in any case.
export async function roles(browser) {
  const me = await person(browser);
  const { page } = me;
  await signIn(page, 'mei', 'First-password-1');
  await page.waitForURL(`${web}/self`);
  await page.fill('[data-test=old] input, input[data-test=old]', 'First-password-1');
  await page.fill('[data-test=new] input, input[data-test=new]', 'Own-password-2');
  await page.fill('[data-test=again] input, input[data-test=again]', 'Own-password-2');
  await page.click('[data-test=change]');
  await page.waitForURL(`${web}/`);
  await row(page, 'watched-1').waitFor();
  must((await page.getByRole('button', { name: 'Create VM' }).count()) === 0, 'an administrator is offered to create VMs');
  must((await page.getByRole('link', { name: 'Users' }).count()) === 0, 'an administrator is offered the users');
  await row(page, 'watched-1').locator('input[type=checkbox]').check();
  const bar = await page.locator('[data-test=bulk]').innerText();
  must(/Restart/.test(bar) && !/Delete/.test(bar), `the bar offers the wrong things: ${bar}`);
  await page.goto(`${web}/vms/watched-1`);
  await page.click('[data-test=more]');
  await page.getByText('Changes here are for system administrators.').waitFor();
  must((await page.locator('[data-test=delete]').count()) === 0, 'an administrator is offered to delete');
  await page.goto(`${web}/users`);
  await page.locator('[role=alert]').waitFor();
  await shot(page, 'refused');
  const status = await page.evaluate(() =>
    fetch('/v1/vms:delete', { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Requested-By': 'drover-page' }, body: '{"names":["vms/watched-1"]}' }).then((answer) => answer.status),
  );
  must(status === 403, `the server answered ${status} to a deletion by an administrator`);
  const forged = await page.evaluate(() => fetch('/v1/vms:power', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"names":["vms/watched-1"],"action":"POWER_ACTION_OFF"}' }).then((answer) => answer.status));
  must(forged === 403, `a change without the page's header was answered ${forged}`);
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

// Every address, in both languages and both looks.
const routes = [
  '/', '/vms/new', '/vms/import', '/vms/watched-1', '/vms/watched-1?tab=events', '/environments?open=test', '/environments/deploy', '/upgrade', '/upgrade?tab=rollouts', '/upgrade?tab=automatic',
  '/configuration', '/configuration?tab=history', '/profiles', '/operations', '/events', '/log', '/log?dialog=backups', '/users', '/users?dialog=add', '/types', '/types/web', '/hypervisors', '/hypervisors?dialog=add', '/health', '/self', '/nowhere',
];
export async function every_page(browser) {
  const headings = {};
  const barriers = [];
  for (const [language, dark] of [['en', false], ['zh-CN', true]]) {
    const me = await person(browser, { language, dark });
    const { page } = me;
    await administrator(page);
    await isLive(page);
    for (const route of routes) {
      await page.goto(`${web}${route}`);
      await page.waitForSelector('main h1');
      await page.waitForLoadState('networkidle', { timeout: 2000 }).catch(() => {});
      must((await page.getAttribute('html', 'lang')) === language, `${route} does not say its language`);
      const heading = await text(page, 'main h1');
      must(heading.trim() !== '' && (await page.title()).startsWith(heading), `${route} has no title`);
      headings[route] = [...(headings[route] ?? []), heading];
      // All of them are told at once.
      await accessible(page).catch((error) => barriers.push(`${language}: ${error.message}`));
      await sound(me);
      await shot(page, `${language}${route.replace(/[^a-z0-9]+/g, '-')}`.replace(/-$/, ''));
    }
    await me.context.close();
  }
  must(barriers.length === 0, barriers.join('\n'));
  // A VM is called the same everywhere.
  for (const [route, [english, chinese]] of Object.entries(headings)) {
    must(route.startsWith('/vms/watched') || route === '/types/web' || english !== chinese, `${route} is called "${english}" in both languages`);
  }
}

export async function language(browser) {
  const me = await person(browser);
  const { page } = me;
  await administrator(page, '/environments');
  await page.click('[data-test=language]');
  await page.getByRole('heading', { name: '环境', exact: true }).waitFor();
  await page.reload();
  await page.getByRole('heading', { name: '环境', exact: true }).waitFor();
  must((await page.getAttribute('html', 'lang')) === 'zh-CN', 'the document does not say its language');
  await page.click('[data-test=theme]');
  must(await page.evaluate(() => document.documentElement.classList.contains('dark')), 'the look does not change');
  await sound(me);
  await me.context.close();
}
