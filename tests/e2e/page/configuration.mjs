// Service configuration: a profile of one's own, the way from choosing it to applied files, and back.
import { accessible, eventually, isLive, must, person, sh, shot, sound, web } from './browser.mjs';
import { administrator, button, choose, field, inBothLanguages, sayYes, succeeded, tab, wordsOf } from './parts.mjs';

const profileRow = (page, id) => page.locator(`[role=row][data-id="profiles/${id}"]`);
const part = (page, name) => page.getByRole('region', { name, exact: true });
const saved = async (page, act) => {
  await act();
  await page.locator('.el-message--success').last().waitFor();
};

// Adds a profile that needs redis alone.
async function addProfile(page, w, id) {
  await button(page, w('profile.add')).click();
  await page.waitForURL(/profiles\/new/);
  await field(page, w('form.id')).first().fill(id);
  await button(page, w('profile.add_dependency')).click();
  await button(page, w('profile.add_role')).click();
  await button(page, w('profile.add_edit')).click();
  const edits = part(page, w('profile.edits'));
  await field(edits, w('profile.value')).fill('${nothing.ip}');
  await page.click('[data-test=save]');
  const alert = page.locator('[role=alert]');
  for (const name of [/dependencies\[0\]\.id/, /roles\[0\]\.role/, /edits\[0\]\.file/, /edits\[0\]\.value.*nothing/]) await alert.filter({ hasText: name }).waitFor();
  must(!(await sh('drover', 'profile', 'list', '-q')).includes(id), 'a refused profile left something behind');
  await accessible(page);
}

async function fillProfile(page, w) {
  const dependencies = part(page, w('config.dependencies'));
  await field(dependencies, 'ID').fill('redis');
  await choose(page, dependencies, w('profile.protocol'), 'REDIS');
  const roles = part(page, w('config.roles'));
  await field(roles, w('config.role')).fill('web');
  await roles.getByRole('combobox', { name: w('type.restart'), exact: true }).fill('app');
  await page.locator('.el-select-dropdown__item:visible', { hasText: 'app' }).click();
  await page.keyboard.press('Escape');
  await field(roles, w('profile.health')).fill('1');
  const edits = part(page, w('profile.edits'));
  await field(edits, w('config.file')).fill('conf.py');
  await field(edits, w('profile.key')).fill('REDIS_HOST');
  await field(edits, w('profile.value')).fill('${redis.ip}');
}

export const profiles = (browser) =>
  inBothLanguages(browser, async ({ page, w, language }) => {
    const id = language === 'en' ? 'cached' : 'huancun';
    await administrator(page, '/profiles');
    await profileRow(page, 'crawler').waitFor();
    must((await button(profileRow(page, 'crawler'), w('do.delete')).count()) === 0, 'a built-in profile is offered to be deleted');
    await addProfile(page, w, id);
    await shot(page, `profile-wrong-${language}`);
    await fillProfile(page, w);
    await saved(page, () => page.click('[data-test=save]'));
    await page.waitForURL(new RegExp(`profiles/${id}$`));
    await field(page, w('form.display_name')).fill(language === 'en' ? 'Cached' : '缓存');
    await saved(page, () => page.click('[data-test=save]'));
    await accessible(page);
    await shot(page, `profile-${language}`);
    const stored = JSON.parse(await sh('drover', 'profile', 'show', id, '-o', 'json'));
    must(stored.roles[0].restartServices[0] === 'app' && stored.roles[0].healthSeconds === 1 && stored.dependencies[0].protocol === 'PROTOCOL_REDIS', `stored as ${JSON.stringify(stored)}`);
    await page.goto(`${web}/profiles/crawler`);
    await page.getByText(w('profile.built_in_about')).waitFor();
    await accessible(page);
    await page.goto(`${web}/profiles`);
    await profileRow(page, id).filter({ hasText: language === 'en' ? 'Cached' : '缓存' }).waitFor();
    await shot(page, `profiles-${language}`);
    // The English one is what is configured with below.
    if (language === 'en') return;
    await button(profileRow(page, id), w('do.delete')).click();
    await sayYes(page);
    await eventually('the profile is gone', async () => (await profileRow(page, id).count()) === 0);
  });

const file = (vm) => sh('lab', 'guest', vm, '--', 'cat', '/etc/app/conf.py');
const next = (page) => page.locator('[data-test=next]');

// From the profile to well checked dependencies.
async function toRoles(page, w, language) {
  await page.click('[data-profile=cached]');
  await next(page).click();
  await choose(page, page, w('vm.environment'), 'test');
  await next(page).click();
  must(await page.locator('[data-test=check]').isDisabled(), 'a check needs no choice');
  // A VM without the service, and then the one that has it.
  await choose(page, page, 'redis', 'app-3');
  await page.click('[data-test=check]');
  await page.getByText(w('check.service_missing')).waitFor();
  must(await next(page).isDisabled(), 'one may go on with a missing service');
  await accessible(page);
  await shot(page, `configure-missing-${language}`);
  await page.goto(page.url().replace(/step=\d/, 'step=4'));
  await page.locator('[data-test=check]').waitFor();
  must((await page.locator('[data-test=plan]').count()) === 0, 'the address leads past the check');
  await choose(page, page, 'redis', 'cache');
  await page.click('[data-test=check]');
  await page.getByText(w('check.ok'), { exact: true }).waitFor();
  await shot(page, `configure-checked-${language}`);
  await next(page).click();
}

export async function configure(browser) {
  const me = await person(browser);
  const { page } = me;
  const w = wordsOf('en');
  await administrator(page, '/profiles');
  await isLive(page);
  await page.getByRole('link', { name: w('menu.configuration') }).click();
  await toRoles(page, w, 'en');
  must(await page.locator('[data-test=apply]').isDisabled(), 'one may apply what was not planned');
  for (const vm of ['app-1', 'app-2']) await choose(page, page, 'web', vm);
  await page.keyboard.press('Escape');
  await page.click('[data-test=plan]');
  const diff = page.locator('.diff', { hasText: 'app-1' });
  await diff.locator('.added', { hasText: 'REDIS_HOST = "10.213.60.9"' }).waitFor();
  await page.getByText('app on app-2').waitFor();
  must(/localhost/.test(await file('app-1')), 'a plan changed a file');
  await accessible(page);
  await shot(page, 'configure-diff');
  await page.click('[data-test=apply]');
  await page.locator('.hit-list', { hasText: 'app-2' }).waitFor();
  await sayYes(page);
  await page.waitForURL(/\/operations\//);
  await succeeded(page);
  await shot(page, 'configure-operation');
  for (const vm of ['app-1', 'app-2']) must(/10\.213\.60\.9/.test(await file(vm)), `${vm} has another file: ${await file(vm)}`);
  await sound(me);
  await me.context.close();

  const other = await person(browser, { language: 'zh-CN', dark: true });
  await restore(other, wordsOf('zh-CN'));
  await sound(other);
  await other.context.close();
}

// Somebody who reads Chinese comes as far as the roles, then looks at the history and restores.
async function restore({ page }, w) {
  await administrator(page, '/configuration');
  await toRoles(page, w, 'zh');
  await choose(page, page, 'web', 'app-1');
  await page.keyboard.press('Escape');
  await page.click('[data-test=plan]');
  await page.getByText(w('config.same')).waitFor();
  must(await page.locator('[data-test=apply]').isDisabled(), 'one may apply nothing');
  await sh('lab', 'guest', 'app-1', '--', 'sed', '-i', 's/10.213.60.9/localhost/', '/etc/app/conf.py');
  await tab(page, w('config.history'));
  const entry = page.locator('[role=row][data-id^="configurations/"]').first();
  await entry.waitFor();
  await accessible(page);
  await shot(page, 'configuration-history-zh');
  await entry.getByRole('link').first().click();
  await page.locator('.diff .added', { hasText: 'REDIS_HOST = "10.213.60.9"' }).first().waitFor();
  await accessible(page);
  await shot(page, 'configuration-zh');
  await button(page, w('config.restore')).click();
  await sayYes(page);
  await page.waitForURL(/\/operations\//);
  await succeeded(page);
  must(/10\.213\.60\.9/.test(await file('app-1')), 'the file is not restored');
  await page.goto(`${web}/configuration?tab=history`);
  await eventually('the restored one is in the history', async () => (await page.locator('[role=row][data-id^="configurations/"]').count()) === 2);
}
