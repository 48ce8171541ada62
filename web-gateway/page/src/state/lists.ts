// Short lists that many forms choose from, read when first wanted and again when one of them changed.
import { computed, effectScope, shallowRef, type ComputedRef } from 'vue';
import { all, call } from '@/api/call';
import type { Environment, Hypervisor, VmType } from '@/api/types';
import { useChanges, useLive } from '@/state/live';

function list<T>(collection: string, read: () => Promise<T[]>): ComputedRef<T[]> {
  const items = shallowRef<T[]>([]);
  let wanted = false;
  const reload = (): void => void read().then((got) => (items.value = got)).catch(() => (wanted = false));
  return computed(() => {
    if (!wanted) {
      wanted = true;
      queueMicrotask(reload);
      effectScope(true).run(() => {
        useChanges((name) => name.startsWith(`${collection}/`), reload, 1000);
        useLive({ resync: reload, changed: (name, deleted) => deleted && name.startsWith(`${collection}/`) && reload() });
      });
    }
    return items.value;
  });
}

export const environments = list<Environment>('environments', () =>
  all(async (pageToken) => {
    const got = await call('ListEnvironments', { query: { pageSize: 1000, pageToken } });
    return { items: got.environments, next: got.nextPageToken };
  }),
);
export const environmentNames = computed(() => environments.value.map((one) => one.name));
export const types = list<VmType>('types', () =>
  all(async (pageToken) => {
    const got = await call('ListTypes', { query: { pageSize: 1000, pageToken } });
    return { items: got.types, next: got.nextPageToken };
  }),
);
export const hypervisors = list<Hypervisor>('hypervisors', () =>
  all(async (pageToken) => {
    const got = await call('ListHypervisors', { query: { pageSize: 1000, pageToken } });
    return { items: got.hypervisors, next: got.nextPageToken };
  }),
);
