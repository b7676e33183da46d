const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text that means itself in HTML; control characters, which have no place there, become a sign that stands for them. */
export function escapeHtml(text: string): string {
  return text.replace(/[^\P{Cc}\t\n]/gu, '\ufffd').replace(/[&<>"']/g, (character) => entities[character]!);
}
