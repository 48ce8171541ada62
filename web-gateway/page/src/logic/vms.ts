// What a row of a VM shows, as pure functions.
import type { ServiceStatus, Vm } from '@/api/types';

// The part of a VM that an operator wants to see change.
export function signature(vm: Vm): string {
  return [vm.reachability, vm.power, vm.agentState, vm.state, ...vm.services.map((one) => `${one.name}${one.state}`)].join();
}

// Rows in the order they have, those of `fresh` replaced. Nothing moves under the pointer.
export function replaced(rows: Vm[], fresh: Map<string, Vm>): Vm[] {
  return rows.map((row) => fresh.get(row.name) ?? row);
}

export interface ServicesSummary {
  running: number;
  total: number;
  // The worst that is not as it should be.
  worst: ServiceStatus | undefined;
}
const rank = ['STATE_GIVEN_UP', 'STATE_UNHEALTHY', 'STATE_RESTARTING', 'STATE_STOPPED'];

export function servicesOf(vm: Vm): ServicesSummary {
  const sorted = [...vm.services].filter((one) => rank.includes(one.state)).sort((a, b) => rank.indexOf(a.state) - rank.indexOf(b.state));
  return { running: vm.services.filter((one) => one.state === 'STATE_RUNNING').length, total: vm.services.length, worst: sorted[0] };
}
