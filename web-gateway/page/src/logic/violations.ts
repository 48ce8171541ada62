import type { ApiError } from '@/api/call';
import type { Key } from '@/i18n';

// The commonest sentences of the server as words of the page; null for the others, which stay as they come.
export function known(description: string): { key: Key; values: Record<string, string> } | null {
  if (description === 'is required') return { key: 'form.required', values: {} };
  if (description.startsWith('must be 1 to 63 lower-case letters')) return { key: 'form.bad_id', values: {} };
  if (description.startsWith('must be a dotted IPv4 netmask')) return { key: 'form.bad_netmask', values: {} };
  if (description.startsWith('must be a dotted IPv4 address')) return { key: 'form.bad_address', values: {} };
  const range = /^must be (-?\d+) to (-?\d+), not (-?\d+)$/.exec(description);
  return range ? { key: 'form.bad_range', values: { from: range[1]!, to: range[2]!, is: range[3]! } } : null;
}

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
export function otherViolations(error: ApiError | null, fields: string[], say = (description: string): string => description): string[] {
  if (!error) return [];
  const shown = fields.map(spelled);
  return error.violations
    .filter((one) => !shown.some((field) => spelled(one.field) === field || spelled(one.field).endsWith(`.${field}`)))
    .map((one) => (one.field ? `${one.field}: ${say(one.description)}` : say(one.description)));
}

const spelled = (field: string): string => field.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
