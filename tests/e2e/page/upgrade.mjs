// Code upgrade: what is there, a plan, waves that are watched, and back; by commits.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accessible, eventually, isLive, must, person, sh, shot, sound, web } from './browser.mjs';
import { administrator, button, choose, dialog, field, inBothLanguages, sayYes, submit, succeeded, tab, wordsOf } from './parts.mjs';

const committer = process.env.DROVER_COMMITTER;
const head = async () => (await sh('svn', 'info', '--show-item', 'revision', committer)).trim();
async function commit(size) {
  writeFileSync(join(committer, 'settings.py'), `SIZE = ${size}\n`);
  await sh('svn', '-q', 'commit', '-m', `Size ${size}`, committer);
  await sh('svn', '-q', 'update', committer);
  return head();
}
const copy = (page, vm) => page.locator(`[role=row][data-id="vms/${vm}#app"]`);
const cells = async (page, vm) => (await copy(page, vm).locator('[role=cell]').allInnerTexts()).map((one) => one.trim());
// VM, copy, revision, previous, local edits.
const at = (page, vm, revision, previous) =>
  eventually(`${vm} is at r${revision}`, async () => {
    const [, , , is, was] = await cells(page, vm);
    return is === `r${revision}` && (previous === undefined || was === `r${previous}`);
  });
const rollout = '[data-test=rollout]';
const state = (page) => page.getAttribute(rollout, 'data-state');

export async function upgrade(browser) {
  const me = await person(browser);
  const { page } = me;
  const w = wordsOf('en');
  const first = await head();
  await administrator(page, '/upgrade');
  await isLive(page);
  // Read by the agents, without a reload.
  for (const vm of ['app-1', 'app-2', 'app-3']) await at(page, vm, first);
  must(/one edit/.test((await cells(page, 'app-2'))[5]), `the local edit is not listed: ${await cells(page, 'app-2')}`);
  await accessible(page);
  await shot(page, 'upgrade-list');
  const second = await commit(2);

  // A revision that is not there.
  await copy(page, 'app-1').locator('input[type=checkbox]').check();
  await copy(page, 'app-3').locator('input[type=checkbox]').check();
  await page.getByText('2 VMs chosen').waitFor();
  await page.getByRole('radio', { name: w('upgrade.revision'), exact: true }).check({ force: true });
  must(await page.locator('[data-test=plan]').isDisabled(), 'a plan needs no revision');
  await page.locator('.revision input').fill('99999');
  await page.click('[data-test=plan]');
  await page.locator('[role=alert]').filter({ hasText: w('error.REVISION_UNKNOWN') }).waitFor();
  await shot(page, 'upgrade-wrong');

  await page.getByRole('radio', { name: w('upgrade.head'), exact: true }).check({ force: true });
  await field(page, w('upgrade.canaries')).fill('1');
  await field(page, w('upgrade.wave_size')).fill('1');
  await field(page, w('upgrade.health')).fill('3');
  await field(page, w('upgrade.health')).press('Tab');
  await page.click('[data-test=plan]');
  const plan = page.locator('[data-test=plan-result]');
  await plan.getByText(`r${second}`).first().waitFor();
  must(/Canary\s+app-1[\s\S]*Wave 2\s+app-3/.test(await plan.innerText()), `the waves are wrong: ${await plan.innerText()}`);
  await plan.getByText('Size 2').waitFor();
  await accessible(page);
  await shot(page, 'upgrade-plan');

  await page.click('[data-test=start]');
  await page.waitForURL(/\/upgrade\/\w+/);
  await page.waitForSelector(rollout);
  await page.evaluate(() => (window.notReloaded = true));
  await button(page, w('upgrade.pause')).click();
  await eventually('it is paused', async () => (await state(page)) === 'STATE_PAUSED');
  await accessible(page);
  await shot(page, 'rollout-paused');
  await button(page, w('upgrade.resume')).click();
  await eventually('it goes on', async () => (await state(page)) === 'STATE_RUNNING' || (await state(page)) === 'STATE_SUCCEEDED');
  const secondWave = page.locator('[role=row][data-id="vms/app-3"]');
  await eventually('the second wave is under way', async () => /Running|Delivered/.test(await secondWave.innerText()));
  must(/Succeeded/.test(await page.locator('[role=row][data-id="vms/app-1"]').innerText()), 'a wave began before the canary was done');
  await shot(page, 'rollout-running');
  await succeeded(page, rollout);
  must(await page.evaluate(() => window.notReloaded === true), 'the page was reloaded');
  await shot(page, 'rollout-done');

  // Local edits are refused, then saved.
  await page.goto(`${web}/upgrade`);
  await at(page, 'app-1', second, first);
  await at(page, 'app-2', first);
  await copy(page, 'app-2').locator('input[type=checkbox]').check();
  await field(page, w('upgrade.health')).fill('1');
  await page.click('[data-test=plan]');
  await plan.getByText('local edits; their VMs will be refused').waitFor();
  await plan.getByText('settings.py').first().waitFor();
  await choose(page, page, w('upgrade.edits'), w('upgrade.LOCAL_EDITS_SAVE_AND_REVERT'));
  await page.click('[data-test=plan]');
  await plan.getByText('saved on the VM').waitFor();
  await page.click('[data-test=start]');
  await page.waitForURL(/\/upgrade\/\w+/);
  await succeeded(page, rollout);
  must(!/MINE/.test(await sh('lab', 'guest', 'app-2', '--', 'cat', '/srv/app/settings.py')), 'the edit is still there');
  await sound(me);
  await me.context.close();

  // Back again, by somebody who reads Chinese: all VMs of the type.
  const other = await person(browser, { language: 'zh-CN', dark: true });
  await back(other, wordsOf('zh-CN'), first);
  await sound(other);
  await other.context.close();
}

async function back({ page }, w, first) {
  await administrator(page, '/upgrade?env=test&type=app');
  await page.getByText(w('upgrade.whole_type')).waitFor();
  await page.getByRole('radio', { name: w('upgrade.back'), exact: true }).check({ force: true });
  await field(page, w('upgrade.wave_size')).fill('3');
  await field(page, w('upgrade.health')).fill('1');
  await button(page, w('plan.make')).click();
  const plan = page.locator('[data-test=plan-result]');
  await plan.getByText(w('upgrade.canary'), { exact: true }).waitFor();
  await accessible(page);
  await shot(page, 'upgrade-plan-zh');
  await button(page, w('upgrade.start')).click();
  await page.waitForURL(/\/upgrade\/\w+/);
  await succeeded(page, rollout);
  await page.getByText(w('upgrade.in_wave', { wave: 2, waves: 2 })).waitFor();
  await accessible(page);
  await shot(page, 'rollout-zh');
  await page.goto(`${web}/upgrade`);
  for (const vm of ['app-1', 'app-2', 'app-3']) await at(page, vm, first);
  await shot(page, 'upgrade-list-zh');
  await tab(page, w('upgrade.rollouts'));
  await eventually('every upgrade is listed', async () => (await page.locator('[role=row][data-id^="rollouts/"]').count()) >= 3);
  await shot(page, 'upgrades-zh');
}

export const automatic_upgrade = (browser) =>
  inBothLanguages(browser, async ({ page, w, language }) => {
    const automatic = async () => JSON.parse(await sh('drover', 'upgrade', 'auto', '-o', 'json')).automaticUpgrades?.[0];
    const enabled = async () => (await automatic())?.enabled === true;
    await administrator(page, '/upgrade?tab=automatic');
    const toggle = page.getByRole('switch', { name: `${w('upgrade.automatic')} test app` });
    if ((await toggle.count()) === 0) {
      await choose(page, page, w('vm.environment'), 'test');
      await choose(page, page, w('vm.type'), 'app');
      await button(page, w('upgrade.switch_on')).click();
    } else {
      await page.locator('.el-switch').click();
    }
    await eventually('it is on', async () => (await enabled()) && (await toggle.isChecked()));
    await accessible(page);
    await shot(page, `upgrade-automatic-${language}`);

    // How carefully.
    const row = page.locator('[role=row][data-id="environments/test types/app"]');
    const waves = language === 'en' ? 2 : 3;
    await button(row, w('upgrade.limits')).click();
    await field(dialog(page), w('upgrade.wave_size')).fill(String(waves));
    await field(dialog(page), w('upgrade.health')).fill('1');
    await field(dialog(page), w('upgrade.health')).press('Tab');
    await accessible(page);
    await shot(page, `upgrade-automatic-limits-${language}`);
    await submit(page).click();
    await eventually('the limits are kept', async () => (await automatic()).limits?.waveSize === waves && (await enabled()));

    // A commit; and back again.
    const before = await sh('lab', 'guest', 'app-1', '--', 'svn', 'info', '--show-item', 'revision', '/srv/app');
    const next = await commit(`"${language}"`);
    await row.getByText(`r${next}`, { exact: true }).waitFor();
    await row.locator('a[href^="/upgrade/"]').click();
    await page.waitForURL(/\/upgrade\/\w+/);
    await succeeded(page, rollout);
    await button(page, w('upgrade.take_back')).click();
    await sayYes(page);
    await page.waitForURL(/tab=rollouts/);
    await page.goto(`${web}/upgrade`);
    for (const vm of ['app-1', 'app-2', 'app-3']) await at(page, vm, before.trim());
    await page.goto(`${web}/upgrade?tab=automatic`);
    await toggle.waitFor({ state: 'attached' });
    await page.locator('.el-switch').click();
    await eventually('it is off', async () => !(await enabled()) && !(await toggle.isChecked()));
  });
