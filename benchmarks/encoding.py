"""How fast text is encoded into ids, at each level, in MB of UTF-8 per second.

python benchmarks/encoding.py [FILE]        (default: the documentation of Python)
"""

import statistics
import sys
import time
from pathlib import Path

from elman.data.samples import sample_text
from elman.data.tokens.byte_pairs import BytePairTokenizer
from elman.data.tokens.characters import CharacterTokenizer
from elman.data.tokens.words import WordTokenizer


def main() -> None:
    """Print a line for each level."""
    text = Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else sample_text("topics")
    text *= max(1, 8_000_000 // len(text))
    megabytes = len(text.encode()) / 1e6
    for tokenizer_class in (CharacterTokenizer, WordTokenizer, BytePairTokenizer):
        tokenizer = tokenizer_class.train([text[:4_000_000]])
        durations = []
        for _ in range(3):
            began = time.perf_counter()
            tokenizer.encode(text)
            durations.append(time.perf_counter() - began)
        print(f"{tokenizer.level:<5} {megabytes / statistics.median(durations):8.1f} MB/s")


if __name__ == "__main__":
    main()
