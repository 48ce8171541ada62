// Sentences of the server in another language, by pairs of its words and ours. What varies stands in braces; the first pair that fits counts, so the
// narrower ones stand first. "{n} VMs" is "1 VM" as well, and only numbers before it.
export function phrases(texts: [string, string][]): (text: string) => string {
  const patterns = texts.map(([theirs, ours]): [RegExp, string] => [
    new RegExp(`^${theirs.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace('{n} VMs', '(?<n>\\d+) VMs?').replace(/\{(\w+)\}/g, '(?<$1>.+?)')}$`),
    ours,
  ]);
  // "" for a text that has no words here.
  return (text) => {
    for (const [pattern, ours] of patterns) {
      const match = pattern.exec(text);
      if (match) return ours.replace(/\{(\w+)\}/g, (_, name: string) => match.groups![name]!);
    }
    return '';
  };
}
