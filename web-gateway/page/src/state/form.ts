// A form's life: what is typed, what the server says about it, one submission at a time.
import { reactive, ref, shallowRef, type Ref, type ShallowRef } from 'vue';
import type { ApiError } from '@/api/call';
import { wrongWith } from '@/logic/explain';
import { asApiError } from '@/state/load';

export interface Form<T> {
  values: T;
  error: ShallowRef<ApiError | null>;
  busy: Ref<boolean>;
  // The server's words about a field, "" when it has none.
  of: (field: string) => string;
  submit: () => Promise<boolean>;
  reset: (values: T) => void;
}

export function useForm<T extends object>(initial: T, send: (values: T) => Promise<unknown>): Form<T> {
  const values = reactive({ ...initial }) as T;
  const error = shallowRef<ApiError | null>(null);
  const busy = ref(false);
  return {
    values,
    error,
    busy,
    of: (field) => wrongWith(error.value, field),
    reset: (fresh) => {
      Object.assign(values, fresh);
      error.value = null;
    },
    submit: async () => {
      if (busy.value) return false;
      busy.value = true;
      error.value = null;
      try {
        await send(values);
        return true;
      } catch (cause) {
        error.value = asApiError(cause);
        return false;
      } finally {
        busy.value = false;
      }
    },
  };
}
