// What journeys have in common: who signs in, the page's own words, forms, the end of an operation.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, must, person, signIn, sound } from './browser.mjs';

export const password = readFileSync(join(process.env.DROVER_LAB, 'admin.password'), 'utf8').trim();
export const administrator = (page, path) => signIn(page, 'admin', password, path);
export const text = (page, selector) => page.locator(selector).first().innerText();
export const row = (page, vm) => page.locator(`[role=row][data-id="vms/${vm}"]`);

// The words of a language, from the page's sources: what a journey looks for is what a person reads.
export function wordsOf(language) {
  const source = readFileSync(new URL(`../../../web-gateway/page/src/i18n/${language === 'en' ? 'en' : 'zh'}.ts`, import.meta.url), 'utf8');
  const words = new Map([...source.matchAll(/^ {2}'([^']+)': '((?:[^'\\]|\\.)*)',$/gm)].map(([, key, word]) => [key, word.replace(/\\(.)/g, '$1')]));
  return (key, values = {}) => {
    must(words.has(key), `the page has no word ${key} in ${language}`);
    return words.get(key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  };
}

// Does `journey` as somebody who reads English in the light look, then as somebody who reads Chinese in the dark one.
export async function inBothLanguages(browser, journey) {
  for (const [language, dark] of [['en', false], ['zh-CN', true]]) {
    const me = await person(browser, { language, dark });
    await journey({ ...me, language, w: wordsOf(language) });
    await sound(me);
    await me.context.close();
  }
}

export const button = (scope, name) => scope.getByRole('button', { name, exact: true });
export const dialog = (page) => page.locator('.el-dialog:visible');
export const submit = (page) => dialog(page).locator('[data-test=submit]');
export const field = (scope, label) => scope.getByLabel(label, { exact: true });
// Clicks through the question.
export const sayYes = (page) => page.click('[data-test=confirm]');
export const menu = async (page, opener, item) => {
  await page.click(opener);
  await page.locator('.el-dropdown-menu__item:visible', { hasText: item }).first().click();
};
export const tab = (page, name) => page.getByRole('tab', { name, exact: true }).click();

// One of a list that opens.
export async function choose(page, scope, label, option) {
  await scope.locator('.el-select').filter({ has: page.getByRole('combobox', { name: label, exact: true }) }).click();
  await page.locator('.el-select-dropdown__item:visible').filter({ hasText: option }).first().click();
}

// Beside its field stands what is wrong with it.
export const wrongAt = (page, label) => page.locator('.el-form-item:visible').filter({ has: page.getByText(label, { exact: true }) }).locator('.el-form-item__error').first().waitFor();

// What failed stays until it is closed.
export async function toldAndClosed(page, words) {
  const told = page.locator('.el-message--error').filter({ hasText: words });
  await told.waitFor();
  await told.locator('.el-message__closeBtn').click();
  await told.waitFor({ state: 'detached' });
}

async function ended(what, stateOf, wrong) {
  await eventually(what, async () => /SUCCEEDED|FAILED|CANCELLED/.test((await stateOf()) ?? ''), 300);
  const state = await stateOf();
  must(state === 'STATE_SUCCEEDED', `${what} as ${state}: ${await wrong()}`);
}

// The operation (or upgrade) whose page is open has ended well.
export async function succeeded(page, selector = '[data-test=operation]') {
  await page.waitForSelector(selector);
  await inItsLanguage(page, '.step-title, .page-head h1');
  await ended('the operation ended', () => page.getAttribute(selector, 'data-state'), () => page.locator('main').innerText());
}

// What `act` starts appears in the drawer: its row.
export async function startedInDrawer(page, act) {
  const names = () => page.locator('.drawer-row').evaluateAll((rows) => rows.map((one) => one.dataset.id));
  const before = await names();
  await act();
  let fresh;
  await eventually('the operation is in the drawer', async () => (fresh = (await names()).find((one) => !before.includes(one))));
  await inItsLanguage(page, `.drawer-row[data-id="${fresh}"] .drawer-title`);
  return page.locator(`.drawer-row[data-id="${fresh}"]`);
}
// On the Chinese page what stands there is told in Chinese.
export async function inItsLanguage(page, selector) {
  if ((await page.getAttribute('html', 'lang')) !== 'zh-CN') return;
  for (const words of await page.locator(selector).allInnerTexts()) must(/\p{Script=Han}/u.test(words), `"${words}" is not told in Chinese`);
}
// ... and ends well.
export async function doneInDrawer(page, act) {
  const mine = await startedInDrawer(page, act);
  await ended('the operation ended', () => mine.getAttribute('data-state'), () => mine.innerText());
}
