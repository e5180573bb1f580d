export interface Piece {
  readonly kind: 'text' | 'link' | 'code' | 'block' | 'strong';
  readonly text: string;
  /** Where in the text it begins. */
  readonly at: number;
}

/** The little of Markdown that agents write all the time. Everything else stays as it was written. */
const pattern = /```[^\n`]*\n([\s\S]*?)(?:\n```|$)|`([^`\n]+)`|\*\*([^*\n]+)\*\*|(https?:\/\/[^\s<>"'`)\]}]+)/g;

export function piecesOf(text: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  const plain = (until: number): void => {
    if (until > end) pieces.push({ kind: 'text', text: text.slice(end, until), at: end });
  };
  for (const match of text.matchAll(pattern)) {
    const [whole, block, code, strong, address] = match;
    plain(match.index);
    end = match.index + whole.length;
    if (block !== undefined) pieces.push({ kind: 'block', text: block, at: match.index });
    else if (code !== undefined) pieces.push({ kind: 'code', text: code, at: match.index });
    else if (strong !== undefined) pieces.push({ kind: 'strong', text: strong, at: match.index });
    else if (address !== undefined) {
      const link = address.replace(/[.,;:!?]+$/, '');
      end -= address.length - link.length;
      pieces.push({ kind: URL.canParse(link) ? 'link' : 'text', text: link, at: match.index });
    }
  }
  plain(text.length);
  return pieces;
}
