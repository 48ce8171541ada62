// Who is signed in, and what they may do. The session itself is a cookie that scripts cannot read.
import { reactive } from 'vue';
import { ApiError, call, code } from '@/api/call';
import type { Method, User } from '@/api/types';
import { routes } from '@/contract/routes';

export const session = reactive<{ user: User | null; loaded: boolean }>({ user: null, loaded: false });

// Asks the server once. Throws only when the server cannot be asked.
export async function loadSession(): Promise<void> {
  try {
    session.user = await call('GetSelf');
    session.loaded = true;
  } catch (error) {
    session.user = null;
    if (!(error instanceof ApiError) || error.code !== code.unauthenticated) throw error;
    session.loaded = true;
  }
}

export async function signIn(user: string, password: string): Promise<void> {
  const answer = await call('Login', { body: { user, password } });
  session.user = answer.user ?? (await call('GetSelf'));
  session.loaded = true;
}

export async function signOut(): Promise<void> {
  await call('Logout', { body: {} });
  session.user = null;
}

// Whether the signed-in user's role allows a call, by the contract's own rule. The server decides in any case.
export function may(method: Method): boolean {
  const access: string = routes[method].access;
  if (session.user?.mustChangePassword) return access === 'SIGNED_IN' || access === 'ANYONE';
  if (access === 'SYSTEM_ADMINISTRATOR') return session.user?.role === 'ROLE_SYSTEM_ADMINISTRATOR';
  return session.user !== null;
}
