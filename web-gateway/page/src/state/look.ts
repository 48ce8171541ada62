// Language, light or dark, and small habits, kept in the browser.
import { ref, watch } from 'vue';

export type Language = 'en' | 'zh-CN';
export type Theme = 'auto' | 'light' | 'dark';

function kept<T extends string>(key: string, fallback: T, allowed: readonly T[]) {
  let value = fallback;
  try {
    const stored = localStorage.getItem(key) as T | null;
    if (stored && allowed.includes(stored)) value = stored;
  } catch {
    // A browser that keeps nothing: the choice lasts as long as the page.
  }
  const chosen = ref<T>(value);
  watch(chosen, (now) => {
    try {
      localStorage.setItem(key, now as T);
    } catch {
      // as above
    }
  });
  return chosen;
}

const preferred: Language = (navigator.languages ?? [navigator.language]).find((one) => /^(zh|en)/i.test(one))?.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en';
export const language = kept<Language>('drover.language', preferred, ['en', 'zh-CN']);
export const theme = kept<Theme>('drover.theme', 'auto', ['auto', 'light', 'dark']);
export const drawerOpen = kept<'yes' | 'no'>('drover.drawer', 'no', ['yes', 'no']);
export const keys = kept<'on' | 'off'>('drover.keys', 'on', ['on', 'off']);

const dark = matchMedia('(prefers-color-scheme: dark)');
export const isDark = ref(false);
function apply(): void {
  isDark.value = theme.value === 'dark' || (theme.value === 'auto' && dark.matches);
  document.documentElement.classList.toggle('dark', isDark.value);
  document.documentElement.lang = language.value;
}
dark.addEventListener('change', apply);
watch([theme, language], apply, { immediate: true });
