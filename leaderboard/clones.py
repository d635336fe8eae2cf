"""Detection of duplicate methods, by their source or by results that agree beyond chance."""

from __future__ import annotations

import hashlib
import io
import itertools
import tokenize
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Numbers = Mapping[tuple[Any, ...], Sequence[float]]
"""Cell → its returns at each evaluation."""
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
_ENDS = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
_FEWEST = 3


def fingerprint(source: Mapping[str, str]) -> str:
    """A hash of a source that is invariant to file names, comments, layout and names of its own classes and functions.

    Files that are not Python are hashed as they are.
    """
    hashes = sorted(hashlib.sha256(_bare(text).encode(errors="surrogatepass")).hexdigest() for text in source.values())
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _bare(text: str) -> str:
    try:
        tokens = [one for one in tokenize.generate_tokens(io.StringIO(text).readline) if one.type not in _LAYOUT]
    except (tokenize.TokenError, SyntaxError):
        return text
    own: dict[str, str] = {}
    for before, now in itertools.pairwise(tokens):
        if before.string in ("class", "def") and before.start[1] == 0:
            own.setdefault(now.string, f"#{len(own)}")
    found: list[str] = []
    docstring = False
    for i, token in enumerate(tokens):
        ended, docstring = docstring, False
        if token.type == tokenize.STRING and (i == 0 or tokens[i - 1].type in _ENDS):
            docstring = tokens[i + 1].type == tokenize.NEWLINE
        if not docstring and not ended:
            found.append(tokenize.tok_name[token.type] if token.type in _ENDS else own.get(token.string, token.string))
    return "\n".join(found)


def agree(one: Numbers, other: Numbers) -> bool:
    """Whether returns are equal to the last digit in most evaluations, which does not happen by chance.

    The first evaluation, of the untrained policy, is common to all methods and ignored, as are values that occur more
    than once in a method, such as a task's maximum return.
    """
    pairs = [pair for cell in one.keys() & other.keys() for pair in zip(one[cell][1:], other[cell][1:], strict=False)]
    counts = [Counter(side) for side in zip(*pairs, strict=True)]
    telling = [pair for pair in pairs if all(count[x] == 1 for count, x in zip(counts, pair, strict=True))]
    return len(telling) >= _FEWEST and sum(a == b for a, b in telling) > len(telling) / 2
