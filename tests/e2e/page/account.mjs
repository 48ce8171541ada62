// Signing in and out, roles, language and look.
import { accessible, must, person, shot, signIn, sound, web } from './browser.mjs';
import { administrator, password, row } from './parts.mjs';

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
  // Fields that were empty are alerts too, for a moment.
  await page.locator('[role=alert]').filter({ hasText: 'Wrong user or password' }).waitFor();
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
  must((await page.getByRole('button', { name: 'Create VM', exact: true }).count()) === 0, 'an administrator is offered to create VMs');
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
