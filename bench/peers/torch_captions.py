"""What CLIP4STR does with characters on the host: from ids to texts, to captions, to the tokens of CLIP's text encoder."""

import html
import re

END, BEGIN, PAD = "[E]", "[B]", "[P]"

# CLIP's own pattern has Unicode's letters and numbers, which Python's `re` comes near enough to.
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+", re.IGNORECASE)


class Characters:
    """Ids as PARSeq numbers them: the end, the charset, the begin, padding."""

    def __init__(self, charset, test_charset):
        self.tokens = [END, *charset, BEGIN, PAD]
        self.end = 0
        self.begin = len(charset) + 1
        self.pad = len(charset) + 2
        self._kept = set(test_charset)
        self._case = str
        if test_charset == test_charset.lower():
            self._case = str.lower
        elif test_charset == test_charset.upper():
            self._case = str.upper

    def caption(self, ids):
        """The text of ids up to a written end, in the characters that captions may have."""
        text = "".join(self.tokens[i] for i in ids).partition(END)[0]
        return "".join(character for character in self._case(text) if character in self._kept)

    def reading(self, ids, probabilities):
        """The text up to its end token, and the product of its probabilities, the end's included."""
        length = ids.index(self.end) if self.end in ids else len(ids)
        confidence = 1.0
        for probability in probabilities[: length + 1]:
            confidence *= probability
        return "".join(self.tokens[i] for i in ids[:length]), confidence


class CaptionTokenizer:
    """CLIP's byte pairs. What it remembers of words, the original remembers too."""

    def __init__(self, merges, context_length):
        symbols = _byte_symbols()
        ordered = [symbols[byte] for byte in sorted(symbols, key=lambda byte: (ord(symbols[byte]) > 255, byte))]
        tokens = ordered + [symbol + "</w>" for symbol in ordered] + [merge.replace(" ", "") for merge in merges]
        self._symbols = symbols
        self._ids = {token: i for i, token in enumerate(tokens)}
        self._ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
        self._start, self._end = len(tokens), len(tokens) + 1
        self._length = context_length
        self._words = {}

    def __call__(self, captions):
        """Rows of ids, each cut or filled with zeros to the context length."""
        return [self._row(caption) for caption in captions]

    def _row(self, caption):
        text = " ".join(html.unescape(html.unescape(caption)).split()).lower()
        ids = [self._start, *(i for word in WORDS.findall(text) for i in self._word(word)), self._end]
        if len(ids) > self._length:
            ids = ids[: self._length - 1] + [self._end]
        return ids + [0] * (self._length - len(ids))

    def _word(self, word):
        if word not in self._words:
            self._words[word] = [self._ids[part] for part in self._merged(word)]
        return self._words[word]

    def _merged(self, word):
        parts = [self._symbols[byte] for byte in word.encode("utf-8")]
        parts[-1] += "</w>"
        while len(parts) > 1:
            pair = min(zip(parts, parts[1:]), key=lambda pair: self._ranks.get(pair, float("inf")))
            if pair not in self._ranks:
                break
            joined, at = [], 0
            while at < len(parts):
                whole = tuple(parts[at : at + 2]) == pair
                joined.append("".join(pair) if whole else parts[at])
                at += 2 if whole else 1
            parts = joined
        return parts


def _byte_symbols():
    """A printable symbol for each byte; those that have none of their own take what follows Latin-1."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {
        **{byte: chr(byte) for byte in printable},
        **{byte: chr(0x100 + place) for place, byte in enumerate(others)},
    }
