// What cannot be right is told beside its field, and changes nothing.
import { accessible, must, person, sh, shot, sound, web } from './browser.mjs';
import { administrator } from './parts.mjs';

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
