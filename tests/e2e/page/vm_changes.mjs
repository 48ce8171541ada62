// What is changed in and about one VM: chart, network, password, hardware, repair, forget and import.
import { accessible, eventually, isLive, must, sh, shot, web } from './browser.mjs';
import { administrator, button, choose, dialog, doneInDrawer, field, inBothLanguages, menu, row, sayYes, startedInDrawer, submit, wrongAt } from './parts.mjs';

const fact = (page, words) => page.locator('.facts > div').filter({ hasText: words }).first();
const agent = async (vm) => (await sh('drover', 'vm', 'list', '--search', vm, '-o', 'csv', '--no-headers', '--columns', 'agent_state')).trim();
const more = (page, item) => menu(page, '[data-test=more]', item);

export const chart = (browser) =>
  inBothLanguages(browser, async ({ page, w, language }) => {
    await administrator(page, '/vms/box');
    const canvas = page.locator('.uplot .u-over');
    await canvas.waitFor();
    await page.getByText(w('window.30m'), { exact: true }).click();
    await eventually('the window is in the address', async () => new URL(page.url()).searchParams.get('window') === '30m');
    await page.reload();
    await canvas.waitFor();
    must(await page.getByRole('radio', { name: w('window.30m') }).isChecked(), 'the window is lost by a reload');
    // The newest points are at the right; the value under the pointer is told with its time.
    const box = await canvas.boundingBox();
    const time = () => page.locator('[data-test=chart-time]').innerText();
    await page.mouse.move(box.x + box.width - 3, box.y + 60);
    await eventually('a value is under the pointer', async () => /\d %/.test(await page.locator('.chart-legend .cpu').innerText()) && (await time()) !== '');
    const late = await time();
    await page.mouse.move(box.x + 3, box.y + 60);
    await eventually('another point, another time', async () => (await time()) !== late);
    must(/\d/.test(await page.locator('.chart-legend .memory').innerText()), 'memory has no value');
    await accessible(page);
    await shot(page, `chart-${language}`);
  });

export const vm_changes = (browser) =>
  inBothLanguages(browser, async ({ page, w, language }) => {
    const last = language === 'en' ? 81 : 8;
    await administrator(page, '/vms/box');
    await isLive(page);
    await page.evaluate(() => (window.notReloaded = true));

    await button(page, w('vm.network')).click();
    await field(dialog(page), w('vm.netmask')).fill('255.0.255.0');
    await submit(page).click();
    await wrongAt(page, w('vm.netmask'));
    await accessible(page);
    await shot(page, `network-wrong-${language}`);
    await field(dialog(page), w('vm.netmask')).fill('255.255.0.0');
    await field(dialog(page), 'IP').fill(`10.213.60.${last}`);
    await doneInDrawer(page, () => submit(page).click());
    await eventually('the page shows the new address', async () => (await fact(page, 'IP').innerText()).includes(`10.213.60.${last}`));

    await more(page, w('vm.password'));
    await field(dialog(page), w('self.new')).fill('template');
    await field(dialog(page), w('self.again')).fill('Template');
    await dialog(page).getByText(w('self.different')).waitFor();
    must(await submit(page).isDisabled(), 'two different passwords are taken');
    await shot(page, `password-${language}`);
    await field(dialog(page), w('self.again')).fill('template');
    const shadow = () => sh('lab', 'guest', 'box', '--', 'grep', '^root:', '/etc/shadow');
    const before = await shadow();
    await doneInDrawer(page, () => submit(page).click());
    must((await shadow()) !== before, 'the password is as before');

    // What runs cannot be given processors here.
    await more(page, w('vm.hardware'));
    must(await submit(page).isDisabled(), 'a change of nothing is taken');
    const cpus = language === 'en' ? '2' : '1';
    await field(dialog(page), w('vm.cpus')).fill(cpus);
    await field(dialog(page), w('vm.cpus')).press('Tab');
    await shot(page, `hardware-${language}`);
    const refused = await startedInDrawer(page, () => submit(page).click());
    await refused.getByText(w('error.POWER_OFF_FIRST')).waitFor();
    await doneInDrawer(page, async () => {
      await button(page, w('power.do.POWER_ACTION_OFF')).click();
      await sayYes(page);
    });
    await button(page, w('power.do.POWER_ACTION_ON')).waitFor();
    await more(page, w('vm.hardware'));
    await field(dialog(page), w('vm.cpus')).fill(cpus);
    await field(dialog(page), w('vm.cpus')).press('Tab');
    await doneInDrawer(page, () => submit(page).click());
    await eventually('the page shows the hardware', async () => (await fact(page, w('vm.hardware')).innerText()).includes(w('vm.hardware_line', { cpus }).split('·')[0].trim()));
    await doneInDrawer(page, () => button(page, w('power.do.POWER_ACTION_ON')).click());
    await eventually('the agent is back', async () => (await agent('box')) === 'connected');

    await more(page, w('vm.edit'));
    await field(dialog(page), w('vm.remark')).fill(`seen in ${language}`);
    await submit(page).click();
    await fact(page, w('vm.remark')).getByText(`seen in ${language}`).waitFor();
    must(await page.evaluate(() => window.notReloaded === true), 'the page was reloaded');
    await accessible(page);
    await shot(page, `vm-${language}`);
  });

// The agent and its keeper are gone: repaired through VMware Tools. Then Drover forgets the VM and takes it in again.
export const take_over = (browser) =>
  inBothLanguages(browser, async ({ page, w, language }) => {
    await administrator(page, '/vms/box');
    if (language === 'en') {
      await sh('lab', 'guest', 'box', '--', 'sh', '-c', 'again=yes; while [ $again = yes ]; do again=no; for exe in /proc/[0-9]*/exe; do case $(readlink "$exe") in *drover-agent*) p=${exe%/exe}; kill -9 "${p#/proc/}"; again=yes ;; esac; done; done');
      await page.locator('.page-title').getByText(w('agent.contact_lost')).waitFor();
      await more(page, w('vm.repair'));
      await accessible(page);
      await shot(page, 'repair');
      await doneInDrawer(page, () => submit(page).click());
      await page.locator('.page-title').getByText(w('agent.connected')).waitFor();
    }
    await more(page, w('vm.forget.verb'));
    await page.fill('[data-test=typed] input, input[data-test=typed]', 'box');
    await sayYes(page);
    await page.waitForURL(`${web}/`);
    await row(page, 'app-1').waitFor();
    must((await row(page, 'box').count()) === 0, 'a forgotten VM is listed');

    await button(page, w('vm.import')).click();
    const found = page.locator('[role=row]').filter({ hasText: 'box' });
    await found.waitFor();
    must((await page.locator('[role=row]').filter({ hasText: 'tpl-' }).count()) === 0, 'templates are offered to be imported');
    await shot(page, `import-list-${language}`);
    await button(found, w('vm.import.verb')).click();
    await choose(page, dialog(page), w('vm.environment'), 'test');
    await choose(page, dialog(page), w('vm.type'), 'web');
    await field(dialog(page), w('form.id')).fill('app-1');
    await field(dialog(page), w('vm.import.user')).fill('root');
    await submit(page).click();
    await dialog(page).getByText(w('error.VM_NAME_TAKEN')).waitFor();
    await accessible(page);
    await shot(page, `import-wrong-${language}`);
    await field(dialog(page), w('form.id')).fill('box');
    await field(dialog(page), w('vm.import.password')).fill('template');
    await doneInDrawer(page, () => submit(page).click());
    await eventually('it is no longer offered', async () => (await found.count()) === 0);
    await page.goto(`${web}/vms/box`);
    await page.locator('.page-title').getByText(w('agent.connected')).waitFor();
    await fact(page, w('vm.created')).getByText(w('vm.imported')).waitFor();
  });
