// Something read from the server: what is shown stays while it is read again, so that nothing flickers or is lost.
import { onScopeDispose, shallowRef, watch, type ShallowRef, type WatchSource } from 'vue';
import { ApiError } from '@/api/call';

export interface Loaded<T> {
  data: ShallowRef<T | null>;
  error: ShallowRef<ApiError | null>;
  busy: ShallowRef<boolean>;
  reload: () => Promise<void>;
}

export function useLoad<T>(read: (signal: AbortSignal) => Promise<T>, when?: WatchSource<unknown>): Loaded<T> {
  const data = shallowRef<T | null>(null);
  const error = shallowRef<ApiError | null>(null);
  const busy = shallowRef(false);
  let abort: AbortController | null = null;
  const reload = async (): Promise<void> => {
    abort?.abort();
    const mine = new AbortController();
    abort = mine;
    busy.value = true;
    try {
      const got = await read(mine.signal);
      if (mine.signal.aborted) return;
      data.value = got;
      error.value = null;
    } catch (cause) {
      if (mine.signal.aborted) return;
      error.value = asApiError(cause);
    } finally {
      if (abort === mine) busy.value = false;
    }
  };
  if (when) watch(when, () => void reload());
  onScopeDispose(() => abort?.abort());
  void reload();
  return { data, error, busy, reload };
}

export function asApiError(cause: unknown): ApiError {
  if (cause instanceof ApiError) return cause;
  console.error(cause);
  return new ApiError(0, 2, String(cause));
}
