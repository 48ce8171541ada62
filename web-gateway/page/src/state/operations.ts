// The operations that the drawer shows: the newest ones that stand on their own, kept true by the live stream.
import { computed, effectScope, shallowRef, triggerRef } from 'vue';
import { call } from '@/api/call';
import type { Operation } from '@/api/types';
import { useChanges, useLive } from '@/state/live';

export const openStates = ['STATE_QUEUED', 'STATE_RUNNING', 'STATE_UNDOING', 'STATE_PAUSED'];
export const isOpen = (operation: Operation): boolean => openStates.includes(operation.state);
// A bad end that may be tried again.
export const canContinue = (operation: Operation): boolean => ['STATE_FAILED', 'STATE_PARTLY_FAILED', 'STATE_CANCELLED'].includes(operation.state);

const known = shallowRef(new Map<string, Operation>());
// Ids sort by time; open ones come first.
export const recent = computed(() =>
  [...known.value.values()].sort((a, b) => Number(isOpen(b)) - Number(isOpen(a)) || (a.name < b.name ? 1 : -1)).slice(0, 60),
);
export const running = computed(() => recent.value.filter(isOpen).length);
type Ended = (operation: Operation) => void;
const ended = new Set<Ended>();

// Takes an operation as the newest known state of it; called with what a change answered, so that the drawer shows it at once.
export function take(operation: Operation): void {
  if (operation.parent) return;
  const before = known.value.get(operation.name);
  if (before && Number(before.revision) > Number(operation.revision)) return;
  known.value.set(operation.name, operation);
  triggerRef(known);
  if (before && isOpen(before) && !isOpen(operation)) ended.forEach((one) => one(operation));
}

export function whenEnded(callback: Ended): void {
  ended.add(callback);
}

async function refresh(): Promise<void> {
  const [list, open] = await Promise.all([
    call('ListOperations', { query: { pageSize: 40, topLevelOnly: true } }),
    call('ListOperations', { query: { pageSize: 100, topLevelOnly: true, states: ['STATE_QUEUED', 'STATE_RUNNING', 'STATE_UNDOING', 'STATE_PAUSED'] } }),
  ]);
  [...list.operations, ...open.operations].forEach(take);
}

let scope: ReturnType<typeof effectScope> | null = null;

export function startOperations(): void {
  if (scope) return;
  const quietly = (): void => void refresh().catch(() => {});
  scope = effectScope(true);
  scope.run(() => {
    useLive({ resync: quietly });
    const children = new Set<string>();
    useChanges(
      (name) => name.startsWith('operations/') && !children.has(name),
      (names) => {
        for (const name of [...names].slice(0, 20)) {
          call('GetOperation', { name })
            .then((operation) => (operation.parent ? void children.add(name) : take(operation)))
            .catch(() => {});
        }
      },
    );
  });
  quietly();
}

export function stopOperations(): void {
  scope?.stop();
  scope = null;
  known.value = new Map();
}
