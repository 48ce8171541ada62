// How each state looks: a tone, an icon and a word, never a colour alone.
import type { Key } from '@/i18n';
import type { IconName } from '@/ui/Icon.vue';

export type Tone = 'good' | 'bad' | 'warn' | 'busy' | 'quiet';
export interface Look {
  tone: Tone;
  icon: IconName;
  key: Key;
}
const look = (tone: Tone, icon: IconName, key: Key): Look => ({ tone, icon, key });
const unknown = look('quiet', 'question', 'state.unknown');

const tables: Record<string, Record<string, Look>> = {
  reachability: {
    REACHABILITY_UP: look('good', 'up', 'net.up'),
    REACHABILITY_DOWN: look('bad', 'down', 'net.down'),
    REACHABILITY_UNKNOWN: look('quiet', 'question', 'net.unknown'),
  },
  power: {
    POWER_STATE_ON: look('good', 'check', 'power.on'),
    POWER_STATE_OFF: look('quiet', 'hollow', 'power.off'),
    POWER_STATE_SUSPENDED: look('warn', 'pause', 'power.suspended'),
  },
  agent: {
    AGENT_STATE_NONE: look('quiet', 'hollow', 'agent.none'),
    AGENT_STATE_ENROLLING: look('busy', 'work', 'agent.enrolling'),
    AGENT_STATE_CONNECTED: look('good', 'check', 'agent.connected'),
    AGENT_STATE_CONTACT_LOST: look('bad', 'cross', 'agent.contact_lost'),
    AGENT_STATE_QUARANTINED: look('bad', 'warn', 'agent.quarantined'),
  },
  service: {
    STATE_RUNNING: look('good', 'check', 'service.running'),
    STATE_RESTARTING: look('busy', 'work', 'service.restarting'),
    STATE_GIVEN_UP: look('bad', 'cross', 'service.given_up'),
    STATE_STOPPED: look('quiet', 'hollow', 'service.stopped'),
    STATE_UNHEALTHY: look('warn', 'warn', 'service.unhealthy'),
  },
  vm: {
    STATE_CREATING: look('busy', 'work', 'vm.creating'),
    STATE_READY: look('good', 'check', 'vm.ready'),
    STATE_DELETING: look('busy', 'work', 'vm.deleting'),
    STATE_MISSING: look('bad', 'warn', 'vm.missing'),
  },
  health: {
    HEALTH_EMPTY: look('quiet', 'hollow', 'health.empty'),
    HEALTH_OK: look('good', 'check', 'health.ok'),
    HEALTH_DEGRADED: look('warn', 'warn', 'health.degraded'),
    HEALTH_DOWN: look('bad', 'cross', 'health.down'),
    HEALTH_OFF: look('quiet', 'hollow', 'health.off'),
  },
  operation: {
    STATE_QUEUED: look('quiet', 'wait', 'operation.queued'),
    STATE_RUNNING: look('busy', 'work', 'operation.running'),
    STATE_UNDOING: look('busy', 'undo', 'operation.undoing'),
    STATE_SUCCEEDED: look('good', 'check', 'operation.succeeded'),
    STATE_FAILED: look('bad', 'cross', 'operation.failed'),
    STATE_CANCELLED: look('quiet', 'hollow', 'operation.cancelled'),
    STATE_PARTLY_FAILED: look('warn', 'warn', 'operation.partly_failed'),
    STATE_PAUSED: look('warn', 'pause', 'operation.paused'),
  },
  step: {
    STATE_PENDING: look('quiet', 'hollow', 'step.pending'),
    STATE_RUNNING: look('busy', 'work', 'operation.running'),
    STATE_DONE: look('good', 'check', 'step.done'),
    STATE_FAILED: look('bad', 'cross', 'operation.failed'),
    STATE_UNDONE: look('quiet', 'undo', 'step.undone'),
    STATE_SKIPPED: look('quiet', 'hollow', 'step.skipped'),
  },
  target: {
    STATE_QUEUED: look('quiet', 'wait', 'operation.queued'),
    STATE_DELIVERED: look('busy', 'wait', 'target.delivered'),
    STATE_RUNNING: look('busy', 'work', 'operation.running'),
    STATE_SUCCEEDED: look('good', 'check', 'operation.succeeded'),
    STATE_FAILED: look('bad', 'cross', 'operation.failed'),
    STATE_TIMED_OUT: look('bad', 'wait', 'target.timed_out'),
    STATE_CANCELLED: look('quiet', 'hollow', 'operation.cancelled'),
    STATE_EXPIRED: look('warn', 'wait', 'target.expired'),
    STATE_CONTACT_LOST: look('bad', 'cross', 'agent.contact_lost'),
  },
  hypervisor: {
    STATE_CONNECTING: look('busy', 'work', 'hypervisor.connecting'),
    STATE_CONNECTED: look('good', 'check', 'agent.connected'),
    STATE_UNREACHABLE: look('bad', 'cross', 'hypervisor.unreachable'),
    STATE_LOGIN_REFUSED: look('bad', 'warn', 'hypervisor.login_refused'),
    STATE_CERTIFICATE_CHANGED: look('bad', 'warn', 'hypervisor.certificate_changed'),
  },
  severity: {
    SEVERITY_INFO: look('quiet', 'hollow', 'severity.info'),
    SEVERITY_WARNING: look('warn', 'warn', 'severity.warning'),
    SEVERITY_ERROR: look('bad', 'cross', 'severity.error'),
  },
  check: {
    RESULT_OK: look('good', 'check', 'check.ok'),
    RESULT_UNREACHABLE: look('bad', 'cross', 'check.unreachable'),
    RESULT_SERVICE_MISSING: look('bad', 'hollow', 'check.service_missing'),
    RESULT_WRONG_ANSWER: look('bad', 'warn', 'check.wrong_answer'),
  },
  platform: {
    STATE_OK: look('good', 'check', 'platform.ok'),
    STATE_WARNING: look('warn', 'warn', 'severity.warning'),
    STATE_ERROR: look('bad', 'cross', 'severity.error'),
  },
  logKind: {
    LOG_KIND_LOGIN: look('quiet', 'people', 'log.kind.login'),
    LOG_KIND_OPERATION: look('busy', 'gear', 'log.kind.operation'),
    LOG_KIND_ERROR: look('bad', 'warn', 'log.kind.error'),
    LOG_KIND_UPGRADE: look('good', 'upgrade', 'log.kind.upgrade'),
  },
  plan: {
    ACTION_CREATE: look('good', 'plus', 'plan.create'),
    ACTION_CHANGE: look('warn', 'gear', 'plan.change'),
    ACTION_DELETE: look('bad', 'cross', 'plan.delete'),
  },
};
export type StatusKind = keyof typeof tables;

export function lookOf(kind: string, value: string | undefined): Look {
  return tables[kind]?.[value ?? ''] ?? unknown;
}
