// An error as people read it: the reason in their language where we know it, else the server's own sentence.
import { ApiError, code } from '@/api/call';
import type { Operation } from '@/api/types';
import { tOr, t } from '@/i18n';
import { inChinese } from '@/i18n/operations';
import { problemInChinese } from '@/i18n/problems';
import { reasons } from '@/i18n/reasons';
import { known, violationOf } from '@/logic/violations';
import { language } from '@/state/look';

export function explain(error: ApiError): string {
  if (error.code === code.unimplemented) return t('error.UNIMPLEMENTED');
  const known = error.reason && tOr(`error.${error.reason}`, '', error.metadata);
  if (known) return known;
  const reason = language.value === 'zh-CN' && reasons[error.reason];
  return reason ? `${reason}: ${error.message}` : error.message;
}

// Why an operation failed, or one of its VMs; "" for one that did not.
export const failureOf = (error: Operation['error']): string => (error?.message ? explain(ApiError.of(200, error, '')) : '');

// What is wrong with a field, and what is wrong with field `field` of a form.
export function plain(description: string): string {
  const words = known(description);
  if (words) return t(words.key, words.values);
  return (language.value === 'zh-CN' && problemInChinese(description)) || description;
}
export const wrongWith = (error: ApiError | null, field: string): string => plain(violationOf(error, field));

// An operation's title, a step or what it is at, in the reader's language.
export function told(text: string | undefined): string {
  return (language.value === 'zh-CN' && text && inChinese(text)) || (text ?? '');
}
