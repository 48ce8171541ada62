// A unified diff as lines with a kind each. The sign at the front stays: it says what the colour says.
export function linesOf(diff: string): { text: string; kind: 'added' | 'removed' | 'place' | 'same' }[] {
  return diff
    .replace(/\n$/, '')
    .split('\n')
    .map((text) => ({ text, kind: /^(\+\+\+|---|@@)/.test(text) ? 'place' : text.startsWith('+') ? 'added' : text.startsWith('-') ? 'removed' : 'same' }));
}
