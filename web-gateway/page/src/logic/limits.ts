// How carefully an upgrade goes.
import type { Message } from '@/api/types';

type Spec = Message<'RolloutSpec'>;
export const localEdits = ['LOCAL_EDITS_REFUSE', 'LOCAL_EDITS_MERGE', 'LOCAL_EDITS_SAVE_AND_REVERT'] as const;
export interface Limits {
  canaries: number;
  waveSize: number;
  maxFailures: number;
  maxFailurePercent: number;
  maxUnreachable: number;
  healthSeconds: number;
  localEdits: (typeof localEdits)[number];
}

// As the form shows it: what was never set is what the server takes for it.
export function limitsOf(spec: Partial<Spec> | undefined): Limits {
  return {
    canaries: spec?.canaries ?? 0,
    waveSize: spec?.waveSize || 10,
    maxFailures: spec?.maxFailures ?? 0,
    maxFailurePercent: spec?.maxFailurePercent ?? 0,
    maxUnreachable: spec?.maxUnreachable ?? 0,
    healthSeconds: spec?.healthSeconds || 10,
    localEdits: localEdits.find((one) => one === spec?.localEdits) ?? 'LOCAL_EDITS_REFUSE',
  };
}

export const limitFields = ['canaries', 'wave_size', 'max_failures', 'max_failure_percent', 'max_unreachable', 'health_seconds', 'local_edits'];
