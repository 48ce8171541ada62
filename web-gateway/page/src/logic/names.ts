// Resource names: "vms/web-01" is the VM whose id is "web-01".
export const idOf = (name: string | undefined): string => (name ?? '').slice((name ?? '').indexOf('/') + 1);
export const collectionOf = (name: string): string => name.slice(0, Math.max(0, name.indexOf('/')));
export const isId = (text: string): boolean => /^[a-z0-9][a-z0-9-]{0,62}$/.test(text);

// Where a resource has its page; "" when it has none.
export function pageOf(name: string): string {
  const id = encodeURIComponent(idOf(name));
  switch (collectionOf(name)) {
    case 'vms':
      return `/vms/${id}`;
    case 'environments':
      return `/environments?open=${id}`;
    case 'operations':
      return `/operations/${id}`;
    case 'types':
      return `/types/${id}`;
    case 'hypervisors':
      return '/hypervisors';
    case 'rollouts':
      return `/upgrade/${id}`;
    case 'profiles':
      return `/profiles/${id}`;
    case 'configurations':
      return `/configuration/history/${id}`;
    default:
      return '';
  }
}
