// Two languages, typed: a key that one of them lacks does not compile. Values may hold {name}; "{n|one thing|{n} things}" chooses by
// number, where English needs it.
import { computed } from 'vue';
import { en } from '@/i18n/en';
import { fill } from '@/i18n/fill';
import { zh } from '@/i18n/zh';
import { language } from '@/state/look';

export type Key = keyof typeof en;
export type Words = Record<Key, string>;
type Values = Record<string, string | number>;

const words = computed<Words>(() => (language.value === 'zh-CN' ? zh : en));

export function t(key: Key, values: Values = {}): string {
  return fill(words.value[key], values);
}

// For values that come from the server: the text when there is one.
export function has(key: string): key is Key {
  return key in en;
}

export function tOr(key: string, otherwise: string, values: Values = {}): string {
  return has(key) ? t(key, values) : otherwise;
}
