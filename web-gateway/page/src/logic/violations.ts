import type { ApiError } from '@/api/call';

// The violation of a form's field. The server names fields as the contract does ("vm.network.ip", "vm_id"); forms name the last parts,
// in either spelling.
export function violationOf(error: ApiError | null, field: string): string {
  if (!error) return '';
  const wanted = spelled(field);
  const found = error.violations.find((one) => {
    const name = spelled(one.field);
    return name === wanted || name.endsWith(`.${wanted}`);
  });
  return found?.description ?? '';
}

// Violations that none of the form's fields shows.
export function otherViolations(error: ApiError | null, fields: string[]): string[] {
  if (!error) return [];
  const shown = fields.map(spelled);
  return error.violations
    .filter((one) => !shown.some((field) => spelled(one.field) === field || spelled(one.field).endsWith(`.${field}`)))
    .map((one) => (one.field ? `${one.field}: ${one.description}` : one.description));
}

const spelled = (field: string): string => field.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
