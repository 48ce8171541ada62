// An error as people read it: the reason in their language where we know it, else the server's own sentence.
import { ApiError, code } from '@/api/call';
import { tOr, t } from '@/i18n';

export function explain(error: ApiError): string {
  if (error.code === code.unimplemented) return t('error.UNIMPLEMENTED');
  const known = error.reason && tOr(`error.${error.reason}`, '', error.metadata);
  return known || error.message;
}
