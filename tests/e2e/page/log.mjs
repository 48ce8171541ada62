// The platform log: what is found, what is kept, what is deleted. And what an administrator is not offered anywhere.
import { readFileSync } from 'node:fs';
import { accessible, eventually, must, person, sh, shot, signIn, sound, web } from './browser.mjs';
import { administrator, button, choose, dialog, field, inBothLanguages, sayYes, toldAndClosed, wordsOf } from './parts.mjs';

const rows = (page) => page.locator('.table [role=row][data-id]');
// Time, kind, user, client, action, on what, type, environment, result.
const column = (page, index) => page.locator(`.table [role=row][data-id] > [role=cell]:nth-child(${index})`).allInnerTexts();
const asked = (page, key) => new URL(page.url()).searchParams.get(key);
const all = (texts, wanted) => texts.length > 0 && texts.every((one) => one.includes(wanted));

export const log_search = (browser) =>
  inBothLanguages(browser, async ({ page, w, language }) => {
    await administrator(page, '/log');
    await rows(page).first().waitFor();
    await choose(page, page, w('log.kind'), w('log.kind.operation'));
    await page.keyboard.press('Escape');
    await eventually('the kind is in the address', async () => asked(page, 'kind') === 'LOG_KIND_OPERATION');
    await choose(page, page, w('vm.type'), 'web');
    await page.keyboard.press('Escape');
    await field(page, w('log.user')).fill('admin');
    await field(page, w('log.text')).fill('network');
    await button(page, w('do.search')).click();
    // All that is asked for holds.
    const holds = async () => all(await column(page, 2), w('log.kind.operation')) && all(await column(page, 3), 'admin') && all(await column(page, 7), 'web');
    await eventually('what is found is what was asked for', holds);
    must([asked(page, 'type'), asked(page, 'user'), asked(page, 'q')].join() === 'web,admin,network', `the address is ${page.url()}`);
    await page.reload();
    await eventually('the search outlives a reload', holds);
    if (language === 'zh-CN') await rows(page).first().getByText('修改虚拟机网络').waitFor();
    await accessible(page);
    await shot(page, `log-${language}`);
    await rows(page).first().locator('.plain-link').click();
    await dialog(page).getByText(w('log.hash')).waitFor();
    await shot(page, `log-entry-${language}`);
    await page.keyboard.press('Escape');
    const address = (await column(page, 4))[0].trim();
    await button(page, w('table.all')).click();
    await field(page, w('log.client')).fill(address);
    await button(page, w('do.search')).click();
    await eventually('one address alone', async () => asked(page, 'client') === address && all(await column(page, 4), address));
    await field(page, w('log.client')).fill('192.0.2.77');
    await button(page, w('do.search')).click();
    await page.getByText(w('log.none'), { exact: true }).waitFor();
    await shot(page, `log-none-${language}`);
    await button(page, w('table.all')).click();
    // A range that begins now has nothing; the last hour has all of it.
    await page.locator('.log-range input').first().click();
    await page.locator('.el-picker-panel__shortcut:visible', { hasText: w('log.last_hour') }).click();
    await eventually('the range is in the address', async () => Number(new Date(asked(page, 'to'))) - Number(new Date(asked(page, 'from'))) === 3600_000);
    await rows(page).first().waitFor();
    await page.goto(`${web}/log?from=2020-01-01T00:00:00.000Z&to=2020-01-02T00:00:00.000Z`);
    await page.getByText(w('log.none'), { exact: true }).waitFor();
  });

// Deletes what is older than `now`; what the page says to it is for the caller to look at.
async function deleteAll(page, w, now) {
  await button(page.locator('.page-actions'), w('log.delete')).click();
  const two = (n) => String(n).padStart(2, '0');
  const text = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
  await dialog(page).locator('input').fill(text);
  await dialog(page).locator('input').press('Enter');
  await button(dialog(page), `${w('log.delete.verb')}…`).click();
  must(await page.locator('[data-test=confirm]').isDisabled(), 'the log is deleted without a word');
  await page.fill('[data-test=typed] input, input[data-test=typed]', 'delete log entries');
  await sayYes(page);
}

export const log_backup = (browser) =>
  inBothLanguages(browser, async ({ page, w, language }) => {
    await administrator(page, '/log');
    const intact = async () => {
      await page.click('[data-test=verify]');
      await page.locator('[data-test=verdict].note-info').waitFor();
    };
    await intact();
    await accessible(page);
    await shot(page, `log-verified-${language}`);
    // Not all of it is in a backup yet.
    await deleteAll(page, w, new Date());
    await toldAndClosed(page, w('error.LOG_NOT_BACKED_UP'));
    await button(dialog(page), w('do.cancel')).click();

    await page.click('[data-test=backups]');
    const backups = dialog(page).locator('.backups li');
    const before = language === 'en' ? 0 : 2;
    await eventually('the backups are listed', async () => (await backups.count()) === before);
    await page.click('[data-test=back-up]');
    await eventually('another backup', async () => (await backups.count()) === before + 1);
    await accessible(page);
    await shot(page, `log-backups-${language}`);
    const [saved] = await Promise.all([page.waitForEvent('download'), backups.first().getByRole('link', { name: w('do.download') }).click()]);
    const told = await backups.first().innerText();
    const bytes = readFileSync(await saved.path());
    must(bytes.length > 100, 'the downloaded backup is empty');
    must(told.includes((await sh('sha256sum', await saved.path())).split(' ')[0]), `what was downloaded is another file than ${told}`);
    await page.keyboard.press('Escape');
    await eventually('the dialog closes', async () => (await dialog(page).count()) === 0);
    if (language === 'zh-CN') return;
    // What is done after the backup is not in it, so the time lies before it.
    const now = new Date();
    const kept = (await sh('drover', 'log', 'search', '--limit', '500', '-q')).trim().split('\n').length;
    await sh('drover', 'log', 'backup');
    await deleteAll(page, w, now);
    await page.locator('.el-message--success').filter({ hasText: /entries deleted/ }).waitFor();
    must((await sh('drover', 'log', 'search', '--limit', '500', '-q')).trim().split('\n').length < kept, 'nothing was deleted');
    await intact();
  });

// An administrator sees all of these pages, and no button that would be refused.
export async function what_is_not_offered(browser) {
  const me = await person(browser, { language: 'zh-CN', dark: true });
  const { page } = me;
  const w = wordsOf('zh-CN');
  await signIn(page, 'mei', 'First-password-1');
  await page.waitForURL(`${web}/self`);
  await page.fill('[data-test=old] input, input[data-test=old]', 'First-password-1');
  for (const which of ['new', 'again']) await page.fill(`[data-test=${which}] input, input[data-test=${which}]`, 'Own-password-2');
  await page.click('[data-test=change]');
  await page.waitForURL(`${web}/`);
  const none = async (path, there, ...names) => {
    await page.goto(`${web}${path}`);
    await page.locator(there).first().waitFor();
    for (const name of names) must((await button(page.locator('main'), name).and(page.locator('.el-button')).count()) === 0, `an administrator is offered "${name}" at ${path}`);
    await accessible(page);
    await shot(page, `administrator${path.replace(/[^a-z0-9]+/g, '-')}`);
  };
  await none('/types', '[data-id="types/app"]', w('type.add'), w('do.delete'));
  await none('/types/app', '.el-form', w('do.save'), w('type.add_service'));
  await none('/hypervisors', '.hypervisor-head', w('hypervisor.add'), w('do.edit'), w('do.remove'));
  await none('/profiles', '[data-id="profiles/crawler"]', w('profile.add'), w('profile.copy'), w('do.delete'));
  await none('/log', '.table [role=row][data-id]', w('log.delete'));
  await none('/upgrade?tab=automatic', '[data-id="environments/test types/app"]', w('upgrade.switch_on'), w('upgrade.limits'));
  must((await page.getByRole('switch').count()) === 0, 'an administrator is offered the switch');
  await none('/vms/import', '.table', w('vm.import.verb'));
  // What is theirs: upgrade and configuration, the network, the log's backup.
  await page.goto(`${web}/upgrade?vms=app-1`);
  await page.locator('[data-test=plan]').waitFor();
  await page.goto(`${web}/log?dialog=backups`);
  await page.locator('[data-test=back-up]').waitFor();
  await page.goto(`${web}/configuration`);
  await page.locator('[data-profile=crawler]').waitFor();
  await page.goto(`${web}/vms/box`);
  await button(page, w('vm.network')).waitFor();
  await page.goto(`${web}/users`);
  await page.locator('[role=alert]').filter({ hasText: w('error.ROLE_NOT_SUFFICIENT') }).waitFor();
  await sound(me);
  await me.context.close();
}
