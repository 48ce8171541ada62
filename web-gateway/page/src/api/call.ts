// The one way to the server. A call is named as in the contract; its route comes from there.
import { routes } from '@/contract/routes';
import type { Answer, Body, Method, Query } from '@/api/types';

export interface Violation {
  field: string;
  description: string;
}

// What the gateway answers on failure: {code, message, details}. `reason` is for programs, `message` for people.
export class ApiError extends Error {
  reason = '';
  metadata: Record<string, string> = {};
  violations: Violation[] = [];
  requestId = '';
  constructor(
    readonly status: number,
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
  static of(status: number, body: unknown, requestId: string): ApiError {
    const { code = 2, message = '', details = [] } = (body ?? {}) as { code?: number; message?: string; details?: Record<string, unknown>[] };
    const error = new ApiError(status, code, message || `HTTP ${status}`);
    error.requestId = requestId;
    for (const detail of details) {
      const type = String(detail['@type'] ?? '');
      if (type.endsWith('google.rpc.ErrorInfo')) {
        error.reason = String(detail.reason ?? '');
        error.metadata = (detail.metadata ?? {}) as Record<string, string>;
      } else if (type.endsWith('google.rpc.BadRequest')) {
        error.violations.push(...((detail.fieldViolations ?? []) as Violation[]));
      } else if (type.endsWith('google.rpc.RequestInfo')) {
        error.requestId = String(detail.requestId ?? requestId);
      }
    }
    return error;
  }
}

export const code = { unknown: 2, invalidArgument: 3, notFound: 5, permissionDenied: 7, unimplemented: 12, unavailable: 14, unauthenticated: 16 };

// Called when the server no longer knows who we are.
let onSignedOut: () => void = () => {};
export function whenSignedOut(callback: () => void): void {
  onSignedOut = callback;
}

// Not crypto.randomUUID: that exists on https and localhost only.
export function requestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

// The route's path with its variables filled in, in order. A resource name fills a variable whole ("/v1/{name}") or, where the route
// spells the collection out ("/v1/vms/{vm}"), with its id.
export function pathOf(template: string, names: string[]): string {
  let at = 0;
  return template.replace(/\{[^}]+\}/g, (_, offset: number) => {
    const name = names[at++] ?? '';
    const slash = name.indexOf('/');
    const spelled = slash > 0 && template.slice(0, offset).endsWith(`/${name.slice(0, slash)}/`);
    return (spelled ? name.slice(slash + 1) : name).split('/').map(encodeURIComponent).join('/');
  });
}

export function queryOf(values: Record<string, unknown>): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== '') query.append(key, String(one));
    }
  }
  const text = query.toString();
  return text && `?${text}`;
}

export interface Request<M extends Method> {
  // The resource names in the path.
  name?: string | string[];
  query?: Query<M>;
  body?: Body<M>;
  signal?: AbortSignal;
}

export function urlOf<M extends Method>(method: M, request: Request<M> = {}): string {
  const names = request.name === undefined ? [] : [request.name].flat();
  return pathOf(routes[method].path, names) + queryOf((request.query ?? {}) as Record<string, unknown>);
}

// Makes the call. Throws ApiError; code 14 and reason "NETWORK" when the gateway itself was not reached.
export async function call<M extends Method>(method: M, request: Request<M> = {}): Promise<Answer<M>> {
  const verb = routes[method].verb;
  const headers: Record<string, string> = { Accept: 'application/json' };
  const init: RequestInit = { method: verb, headers, credentials: 'same-origin' };
  if (request.signal) init.signal = request.signal;
  if (verb !== 'GET') headers['X-Requested-By'] = 'drover-page';
  if (request.body !== undefined) {
    headers['Content-Type'] = 'application/json';
    init.body = JSON.stringify(request.body);
  }
  let response: Response;
  try {
    response = await fetch(urlOf(method, request), init);
  } catch (cause) {
    if ((cause as Error).name === 'AbortError') throw cause;
    const error = new ApiError(0, code.unavailable, String(cause));
    error.reason = 'NETWORK';
    throw error;
  }
  const body: unknown = await response.json().catch(() => null);
  if (response.ok && body !== null) return body as Answer<M>;
  const error = ApiError.of(response.status, body, response.headers.get('X-Request-Id') ?? '');
  if (error.code === code.unauthenticated && method !== 'Login') onSignedOut();
  throw error;
}

// All pages of a list, as one array.
export async function all<T>(page: (token: string) => Promise<{ items: T[]; next: string }>): Promise<T[]> {
  const items: T[] = [];
  for (let token = ''; ; ) {
    const got = await page(token);
    items.push(...got.items);
    if (!got.next) return items;
    token = got.next;
  }
}
