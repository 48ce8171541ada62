// Doing things: what a change answers goes to the drawer, what fails is said.
import { ElMessage } from 'element-plus';
import { call, requestId, ApiError } from '@/api/call';
import type { Operation } from '@/api/types';
import { t } from '@/i18n';
import { explain, plain } from '@/logic/explain';
import { idOf } from '@/logic/names';
import { ask } from '@/state/confirm';
import { asApiError } from '@/state/load';
import { drawerOpen } from '@/state/look';
import { take } from '@/state/operations';

export function said(text: string): void {
  ElMessage({ message: text, type: 'success', duration: 4000, grouping: true });
}
// Errors stay until they are closed.
export function failed(cause: unknown): void {
  const error = asApiError(cause);
  const details = error.violations.map((one) => plain(one.description)).join(' ');
  ElMessage({ message: [explain(error), details].filter(Boolean).join(' '), type: 'error', duration: 0, showClose: true, grouping: true });
}

export function started(operation: Operation): void {
  take(operation);
  drawerOpen.value = 'yes';
}

// Runs it; tells of its failure. Answers whether it went well.
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (cause) {
    if ((cause as Error).name !== 'AbortError') failed(cause);
    return false;
  }
}

export type PowerAction = 'POWER_ACTION_ON' | 'POWER_ACTION_OFF' | 'POWER_ACTION_RESTART' | 'POWER_ACTION_HARD_OFF' | 'POWER_ACTION_RESET';

export async function powerVms(names: string[], action: PowerAction): Promise<boolean> {
  const verb = t(`power.do.${action}`);
  const yes = action === 'POWER_ACTION_ON' || (await ask({ title: t('power.ask', { verb, n: names.length }), text: t(`power.about.${action}`), names, verb, danger: action === 'POWER_ACTION_HARD_OFF' || action === 'POWER_ACTION_RESET' }));
  return yes && attempt(async () => started(await call('PowerVms', { body: { names, action, requestId: requestId() } })));
}

export async function powerEnvironments(names: string[], action: PowerAction): Promise<boolean> {
  const verb = t(`power.do.${action}`);
  const yes = await ask({ title: t('power.ask_environments', { verb, n: names.length }), text: t(`power.about.${action}`), names, verb });
  return yes && attempt(async () => started(await call('PowerEnvironments', { body: { names, action, requestId: requestId() } })));
}

export async function deleteVms(names: string[]): Promise<boolean> {
  const typed = names.length === 1 ? idOf(names[0]) : String(names.length);
  const yes = await ask({ title: t('vm.delete.ask', { n: names.length }), text: t('vm.delete.about'), names, verb: t('vm.delete.verb'), danger: true, typed });
  return yes && attempt(async () => started(await call('DeleteVms', { body: { names, requestId: requestId() } })));
}

export type ServiceAction = 'SERVICE_ACTION_START' | 'SERVICE_ACTION_STOP' | 'SERVICE_ACTION_RESTART';

export async function controlServices(vms: string[], services: string[], action: ServiceAction): Promise<boolean> {
  const verb = t(`service.do.${action}`);
  const what = services.length ? services.join(', ') : t('service.all');
  const yes = action === 'SERVICE_ACTION_START' || (await ask({ title: t('service.ask', { verb, what, n: vms.length }), text: t('service.about'), names: vms, verb }));
  return yes && attempt(async () => started(await call('ControlServices', { body: { vms, services, action, requestId: requestId() } })));
}

export async function cancelOperation(operation: Operation): Promise<boolean> {
  const yes = await ask({ title: t('operation.cancel.ask', { title: operation.title }), text: t('operation.cancel.about'), verb: t('operation.cancel.verb'), danger: true });
  return yes && attempt(async () => take(await call('CancelOperation', { name: operation.name, body: { requestId: requestId() } })));
}

export async function continueOperation(operation: Operation): Promise<boolean> {
  return attempt(async () => started(await call('ContinueOperation', { name: operation.name, body: { requestId: requestId() } })));
}
export { ApiError };
