// Every address, in both languages and both looks.
import { accessible, isLive, must, person, settled, shot, sound, web } from './browser.mjs';
import { administrator, inItsLanguage, text } from './parts.mjs';

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
      await settled(me);
      must((await page.getAttribute('html', 'lang')) === language, `${route} does not say its language`);
      const heading = await text(page, 'main h1');
      must(heading.trim() !== '' && (await page.title()).startsWith(heading), `${route} has no title`);
      headings[route] = [...(headings[route] ?? []), heading];
      // All of them are told at once.
      await accessible(page).catch((error) => barriers.push(`${language}: ${error.message}`));
      if (route === '/operations') await inItsLanguage(page, 'main [role=row][data-id] a[href^="/operations/"]');
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
