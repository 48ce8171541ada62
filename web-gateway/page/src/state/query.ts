// A part of the address' query as a value that can be set. Empty values leave the address.
import { computed, type WritableComputedRef } from 'vue';
import { useRoute, useRouter, type LocationQueryRaw } from 'vue-router';

// Changes made in one turn become one step.
let waiting: LocationQueryRaw | null = null;

export function useQuery(): { text: (key: string, fallback?: string) => WritableComputedRef<string>; list: (key: string) => WritableComputedRef<string[]>; number: (key: string, fallback: number) => WritableComputedRef<number> } {
  const route = useRoute();
  const router = useRouter();
  const put = (key: string, value: string | undefined): void => {
    if (waiting === null) {
      waiting = {};
      queueMicrotask(() => {
        const query = { ...route.query, ...waiting };
        waiting = null;
        void router.replace({ query });
      });
    }
    waiting[key] = value;
  };
  const text = (key: string, fallback = ''): WritableComputedRef<string> =>
    computed({
      get: () => (typeof route.query[key] === 'string' ? (route.query[key] as string) : fallback),
      set: (value) => put(key, value === fallback || !value ? undefined : value),
    });
  const list = (key: string): WritableComputedRef<string[]> => {
    const one = text(key);
    return computed({ get: () => one.value.split(',').filter(Boolean), set: (value) => (one.value = value.join(',')) });
  };
  const number = (key: string, fallback: number): WritableComputedRef<number> => {
    const one = text(key);
    return computed({
      get: () => (/^\d{1,9}$/.test(one.value) ? Number(one.value) : fallback),
      set: (value) => (one.value = value === fallback ? '' : String(value)),
    });
  };
  return { text, list, number };
}
