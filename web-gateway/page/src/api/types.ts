// The contract's messages under the names the page uses. Answers carry every scalar and list, so only messages may be absent;
// times are RFC 3339 strings, "" or absent when unset; int64 are strings.
import type { components, operations } from '@/contract/openapi';
import type { routes } from '@/contract/routes';

type Scalar = string | number | boolean;
type MessageKeys<T> = { [K in keyof T]-?: NonNullable<T[K]> extends Scalar | unknown[] ? never : K }[keyof T];
export type Filled<T> = T extends Scalar
  ? T
  : T extends (infer U)[]
    ? Filled<U>[]
    : T extends object
      ? { [K in Exclude<keyof T, MessageKeys<T>>]-?: Filled<NonNullable<T[K]>> } & { [K in MessageKeys<T>]?: Filled<NonNullable<T[K]>> }
      : T;

export type Schemas = components['schemas'];
// As the server answers it.
export type Message<N extends keyof Schemas> = Filled<Schemas[N]>;

export type Method = keyof typeof routes & keyof operations;
type Json<T> = T extends { content: { 'application/json': infer B } } ? B : never;
export type Query<M extends Method> = operations[M]['parameters'] extends { query?: infer Q } ? NonNullable<Q> : never;
export type Body<M extends Method> = operations[M] extends { requestBody?: infer R } ? Json<NonNullable<R>> : never;
export type Answer<M extends Method> = operations[M]['responses'] extends { 200: infer R } ? Filled<Json<R>> : never;

export type Vm = Message<'Vm'>;
export type Environment = Message<'Environment'>;
export type Hypervisor = Message<'Hypervisor'>;
export type VmType = Message<'VmType'>;
export type Operation = Message<'Operation'>;
export type Step = Message<'OperationStep'>;
export type Target = Message<'OperationTarget'>;
export type Event = Message<'Event'>;
export type LogEntry = Message<'LogEntry'>;
export type User = Message<'User'>;
export type Profile = Message<'Profile'>;
export type ServiceStatus = Message<'ServiceStatus'>;
export type WorkingCopy = Message<'WorkingCopy'>;
export type Rollout = Message<'Rollout'>;
export type PlatformHealth = Message<'PlatformHealth'>;
export type Dashboard = Message<'Dashboard'>;
