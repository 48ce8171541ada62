import type { Network } from '@/ui/NetworkFields.vue';

export const networkFields = ['network.ip', 'network.netmask', 'network.gateway', 'network.dns1', 'network.dns2'];
export function emptyNetwork(from?: Partial<Network>): Network {
  return { ip: from?.ip ?? '', netmask: from?.netmask ?? '', gateway: from?.gateway ?? '', dns1: from?.dns1 ?? '', dns2: from?.dns2 ?? '' };
}
