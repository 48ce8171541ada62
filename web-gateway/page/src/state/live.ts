// The live stream as the page's parts use it. One stream per browser where SharedWorker exists, else one per tab.
import { onScopeDispose, reactive, shallowReactive } from 'vue';
import { urlOf } from '@/api/call';
import type { Event } from '@/api/types';
import { Feed, type Change, type FeedState } from '@/state/feed';

export const live = reactive<{ state: FeedState | 'off'; since: number; lastSeen: number }>({ state: 'off', since: 0, lastSeen: 0 });
// Newest first.
export const recentEvents = shallowReactive<Event[]>([]);
const kept = 300;

type Listener = { changed?: (name: string, deleted: boolean) => void; event?: (event: Event) => void; resync?: () => void };
const listeners = new Set<Listener>();

function take(change: Change): void {
  switch (change.kind) {
    case 'state':
      if (live.state !== change.state) live.since = change.at;
      live.state = change.state;
      if (change.state === 'live') live.lastSeen = change.at;
      return;
    case 'event': {
      const event = change.event as Event;
      if (recentEvents.some((one) => one.sequence === event.sequence)) return;
      recentEvents.unshift(event);
      recentEvents.length = Math.min(recentEvents.length, kept);
      listeners.forEach((one) => one.event?.(event));
      return;
    }
    case 'resync':
      listeners.forEach((one) => one.resync?.());
      return;
    default:
      listeners.forEach((one) => one.changed?.(change.name, change.kind === 'deleted'));
  }
}

let stop: (() => void) | null = null;

export function startLive(): void {
  if (stop) return;
  live.state = 'connecting';
  live.since = Date.now();
  const url = new URL(urlOf('Watch'), location.href).href;
  if (typeof SharedWorker !== 'undefined') {
    const worker = new SharedWorker(new URL('./live.worker.ts', import.meta.url), { type: 'module', name: 'drover-live' });
    worker.port.onmessage = (message: MessageEvent<Change>) => take(message.data);
    worker.port.postMessage({ do: 'open', url });
    const leave = (): void => worker.port.postMessage({ do: 'leave', url });
    addEventListener('pagehide', leave);
    stop = () => {
      removeEventListener('pagehide', leave);
      leave();
      worker.port.close();
    };
    return;
  }
  const feed = new Feed(url, take);
  feed.open();
  stop = () => feed.close();
}

export function stopLive(): void {
  stop?.();
  stop = null;
  live.state = 'off';
  recentEvents.length = 0;
}

// Listens until the component is gone.
export function useLive(listener: Listener): void {
  listeners.add(listener);
  onScopeDispose(() => listeners.delete(listener));
}

// Names that changed, handed over at once when it is quiet and in bundles when it is not.
export function useChanges(wants: (name: string) => boolean, handle: (names: Set<string>) => void, everyMs = 400): void {
  let waiting = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = 0;
  const flush = (): void => {
    timer = undefined;
    last = Date.now();
    const names = waiting;
    waiting = new Set();
    handle(names);
  };
  useLive({
    changed: (name) => {
      if (!wants(name)) return;
      waiting.add(name);
      timer ??= setTimeout(flush, Math.max(0, last + everyMs - Date.now()));
    },
  });
  onScopeDispose(() => clearTimeout(timer));
}
