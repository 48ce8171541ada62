// Times and sizes as people read them.
import { ref } from 'vue';
import { language } from '@/state/look';

// A clock that moves every few seconds, so that "2 min ago" stays true.
export const now = ref(Date.now());
setInterval(() => (now.value = Date.now()), 5000);

export function exact(time: string | undefined): string {
  if (!time) return '';
  return new Intl.DateTimeFormat(language.value === 'en' ? 'en-GB' : 'zh-CN', { dateStyle: 'short', timeStyle: 'medium' }).format(new Date(time));
}

export function relative(time: string | undefined, at: number = now.value): string {
  if (!time) return '';
  const seconds = Math.round((new Date(time).getTime() - at) / 1000);
  const format = new Intl.RelativeTimeFormat(language.value, { numeric: 'auto', style: 'short' });
  const size = Math.abs(seconds);
  if (size < 5) return format.format(0, 'second');
  if (size < 60) return format.format(seconds, 'second');
  if (size < 3600) return format.format(Math.trunc(seconds / 60), 'minute');
  if (size < 86400) return format.format(Math.trunc(seconds / 3600), 'hour');
  return format.format(Math.trunc(seconds / 86400), 'day');
}

// 75 s -> "1:15"; 3700 s -> "1:01:40".
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number): string => String(n).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const rest = `${hours ? two(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)}:${two(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

export function megabytes(mb: number): string {
  const format = (n: number): string => new Intl.NumberFormat(language.value, { maximumFractionDigits: n < 10 ? 1 : 0 }).format(n);
  return mb >= 1024 ? `${format(mb / 1024)} GB` : `${format(mb)} MB`;
}

// 700 of 2048 MB -> "0.7 / 2 GB": both in the unit of the whole.
export function usedOf(usedMb: number, totalMb: number): string {
  const unit = totalMb >= 1024 ? 1024 : 1;
  const format = (n: number): string => new Intl.NumberFormat(language.value, { maximumFractionDigits: n < 10 && unit > 1 ? 1 : 0 }).format(n);
  return `${usedMb > 0 ? format(usedMb / unit) : '–'} / ${format(totalMb / unit)} ${unit > 1 ? 'GB' : 'MB'}`;
}

export const bytes = (n: number): string => (n < 1 << 20 ? `${Math.ceil(n / 1024)} KB` : megabytes(n / (1 << 20)));
export const number = (n: number): string => new Intl.NumberFormat(language.value).format(n);
