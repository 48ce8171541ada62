// The health probe of a service: one of three kinds, or none.
import type { Body } from '@/api/types';

export type Probe = NonNullable<NonNullable<NonNullable<Body<'CreateType'>['services']>[number]['probe']>>;
export const probeKinds = ['none', 'tcpPort', 'http', 'command'] as const;
export type ProbeKind = (typeof probeKinds)[number];
const first = { tcpPort: 80, http: '', command: '' } as const;

export function kindOf(probe: Probe | undefined): ProbeKind {
  return probeKinds.find((kind) => kind !== 'none' && probe?.[kind] !== undefined) ?? 'none';
}

// The same limits, asked another way: of the kinds one alone may be set.
export function withKind(probe: Probe | undefined, kind: ProbeKind): Probe | undefined {
  if (kind === 'none') return undefined;
  const { tcpPort: _port, http: _http, command: _command, ...limits } = probe ?? {};
  return { ...limits, [kind]: first[kind] };
}
