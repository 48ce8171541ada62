// What a system administrator sets up: users, types, hypervisors.
import { accessible, eventually, must, sh, shot } from './browser.mjs';
import { administrator, button, choose, dialog, field, inBothLanguages, sayYes, submit, toldAndClosed, wrongAt } from './parts.mjs';

const rowOf = (page, name) => page.locator(`[role=row][data-id="${name}"]`);
const closed = (page) => eventually('the dialog closes', async () => (await dialog(page).count()) === 0);

export const users = (browser) =>
  inBothLanguages(browser, async ({ page, w, language }) => {
    await administrator(page, '/users');
    await rowOf(page, 'users/admin').waitFor();
    await button(page, w('user.add')).click();
    await field(dialog(page), w('user.id')).fill('lin');
    await field(dialog(page), w('form.display_name')).fill('林');
    await field(dialog(page), w('user.mail')).fill('not an address');
    await field(dialog(page), w('user.first_password')).fill('short');
    await submit(page).click();
    await wrongAt(page, w('user.mail'));
    await accessible(page);
    await shot(page, `users-wrong-${language}`);
    await field(dialog(page), w('user.mail')).fill('lin@example.com');
    await submit(page).click();
    await wrongAt(page, w('user.first_password'));
    await field(dialog(page), w('user.first_password')).fill('Longer-password-1');
    await submit(page).click();
    await closed(page);
    await rowOf(page, 'users/lin').filter({ hasText: w('role.administrator') }).waitFor();
    await button(rowOf(page, 'users/lin'), w('do.edit')).click();
    await choose(page, dialog(page), w('user.role'), w('role.system_administrator'));
    await submit(page).click();
    await closed(page);
    await rowOf(page, 'users/lin').filter({ hasText: w('role.system_administrator') }).waitFor();
    await shot(page, `users-${language}`);
    const remove = async () => {
      await button(rowOf(page, 'users/lin'), w('user.delete.ask', { name: 'lin' })).click();
      await sayYes(page);
    };
    await remove();
    await eventually('the user is gone', async () => (await rowOf(page, 'users/lin').count()) === 0);
    // Nobody would be left to administer.
    await button(rowOf(page, 'users/admin'), w('user.delete.ask', { name: 'admin' })).click();
    await sayYes(page);
    await toldAndClosed(page, w('error.LAST_SYSTEM_ADMINISTRATOR'));
    await button(rowOf(page, 'users/admin'), w('do.edit')).click();
    await choose(page, dialog(page), w('user.role'), w('role.administrator'));
    await submit(page).click();
    await dialog(page).getByText(w('error.LAST_SYSTEM_ADMINISTRATOR')).waitFor();
    await button(dialog(page), w('do.cancel')).click();
    must(/admin/.test(await sh('drover', 'user', 'list', '-q')), 'the last system administrator is gone');
  });

export const types = (browser) =>
  inBothLanguages(browser, async ({ page, w, language }) => {
    await administrator(page, '/types');
    await rowOf(page, 'types/app').waitFor();
    await button(page, w('type.add')).click();
    await field(page, w('form.id')).first().fill('crawler');
    await button(page, w('type.add_service')).click();
    const service = page.getByRole('region', { name: w('type.services'), exact: true });
    await field(service, w('service.name')).fill('Not An Id');
    await page.click('[data-test=save]');
    await page.locator('[role=alert]').filter({ hasText: /services\[0\]/ }).waitFor();
    await wrongAt(page, w('type.template'));
    await accessible(page);
    await shot(page, `type-wrong-${language}`);
    await choose(page, page, w('type.template'), 'tpl-base');
    await field(page, w('type.guest_user')).fill('root');
    await field(page, w('type.guest_password')).fill('template');
    await field(service, w('service.name')).fill('crawl');
    await field(service, w('type.command_line')).fill('crawl --all');
    await field(service, w('type.start_command')).fill('exec /srv/crawl --all');
    await choose(page, service, w('probe.kind'), w('probe.http'));
    await field(service, w('probe.http_value')).fill('8080/healthz');
    await page.click('[data-test=save]');
    await page.waitForURL(/\/types\/crawler/);
    const stored = JSON.parse(await sh('drover', 'type', 'show', 'crawler', '-o', 'json'));
    must(stored.services[0].probe.http === '8080/healthz' && stored.services[0].commandLine === 'crawl --all', `stored as ${JSON.stringify(stored)}`);
    await field(page, w('form.description')).fill('Fetches sites');
    await page.click('[data-test=save]');
    await page.locator('.el-message--success').last().waitFor();
    await accessible(page);
    await shot(page, `type-${language}`);
    await page.goto(page.url().replace(/types.*/, 'types'));
    await rowOf(page, 'types/crawler').filter({ hasText: 'Fetches sites' }).waitFor();
    await button(rowOf(page, 'types/app'), w('type.delete.ask', { name: 'app' })).click();
    await sayYes(page);
    await toldAndClosed(page, w('error.TYPE_IN_USE'));
    await button(rowOf(page, 'types/crawler'), w('type.delete.ask', { name: 'crawler' })).click();
    await sayYes(page);
    await eventually('the type is gone', async () => (await rowOf(page, 'types/crawler').count()) === 0);
  });

export const hypervisors = (browser) =>
  inBothLanguages(browser, async ({ page, w, language }) => {
    const [, , url, user, passwordFile, fingerprint] = (await sh('lab', 'hosts')).split('\n').map((line) => line.split(/\s+/)).find(([name]) => name === 'esxi2');
    const password = (await sh('cat', passwordFile)).trim();
    const host = (name) => page.getByRole('region', { name, exact: true });
    await administrator(page, '/hypervisors');
    await button(host('esxi2'), w('do.edit')).click();
    await field(dialog(page), w('vm.remark')).fill('rack 4');
    await submit(page).click();
    await closed(page);
    await host('esxi2').getByText('rack 4').waitFor();
    await button(host('esxi1'), w('do.remove')).click();
    await sayYes(page);
    await toldAndClosed(page, w('error.HYPERVISOR_IN_USE'));
    await button(host('esxi2'), w('do.remove')).click();
    await sayYes(page);
    await eventually('it is gone', async () => (await host('esxi2').count()) === 0);
    await button(page, w('hypervisor.add')).click();
    await field(dialog(page), w('form.id')).fill('esxi2');
    await field(dialog(page), 'URL').fill('https://10.213.250.250/sdk');
    await dialog(page).locator('form').getByLabel(w('hypervisor.user'), { exact: true }).first().fill(user);
    await field(dialog(page), w('user.password')).first().fill('certainly-wrong');
    await page.click('[data-test=test]');
    await dialog(page).getByText(w('error.HYPERVISOR_UNREACHABLE')).waitFor();
    await field(dialog(page), 'URL').fill(url);
    await page.click('[data-test=test]');
    // Nothing is sent before the certificate is confirmed.
    await dialog(page).getByText(w('hypervisor.confirm')).waitFor();
    await dialog(page).getByText(fingerprint).waitFor();
    await accessible(page);
    await shot(page, `hypervisor-confirm-${language}`);
    await page.click('[data-test=trust]');
    await dialog(page).getByText(w('error.HYPERVISOR_LOGIN_REFUSED')).waitFor();
    await field(dialog(page), w('user.password')).first().fill(password);
    await page.click('[data-test=test]');
    await dialog(page).locator('[role=status]').filter({ hasText: w('hypervisor.licence') }).waitFor();
    await shot(page, `hypervisor-tested-${language}`);
    await submit(page).click();
    await closed(page);
    await host('esxi2').getByText(w('agent.connected')).waitFor();
    await accessible(page);
    await shot(page, `hypervisors-${language}`);
  });

// A host whose licence refuses changes takes them by SSH, and its key is confirmed like a certificate.
export const free_host = (browser) =>
  inBothLanguages(browser, async ({ page, w, language }) => {
    const [, , url, user, passwordFile, fingerprint, sshKey] = (await sh('lab', 'hosts')).split('\n').map((line) => line.split(/\s+/)).find(([, kind]) => kind === 'free');
    const password = (await sh('cat', passwordFile)).trim();
    const host = page.getByRole('region', { name: 'free1', exact: true });
    await administrator(page, '/hypervisors');
    await button(host, w('do.remove')).click();
    await sayYes(page);
    await eventually('it is gone', async () => (await host.count()) === 0);
    await button(page, w('hypervisor.add')).click();
    await field(dialog(page), w('form.id')).fill('free1');
    await field(dialog(page), 'URL').fill(url);
    await field(dialog(page), w('hypervisor.fingerprint')).fill(fingerprint);
    await dialog(page).locator('form').getByLabel(w('hypervisor.user'), { exact: true }).first().fill(user);
    await field(dialog(page), w('user.password')).first().fill(password);
    const ssh = dialog(page).locator('details');
    await ssh.locator('summary').click();
    await field(ssh, w('hypervisor.user')).fill(user);
    await field(ssh, w('user.password')).fill(password);
    await page.click('[data-test=test]');
    await dialog(page).getByText(w('hypervisor.confirm_key')).waitFor();
    await dialog(page).getByText(sshKey).waitFor();
    await accessible(page);
    await shot(page, `hypervisor-ssh-${language}`);
    await page.click('[data-test=trust]');
    await dialog(page).locator('[role=status]').filter({ hasText: w('hypervisor.licence') }).waitFor();
    await submit(page).click();
    await closed(page);
    await host.getByText(w('agent.connected')).waitFor();
    const stored = JSON.parse(await sh('drover', 'hypervisor', 'show', 'free1', '-o', 'json'));
    must(stored.ssh?.hostKeyFingerprint === sshKey, `stored as ${JSON.stringify(stored)}`);
  });
