"""What property tests draw: values that the product takes as they are.

What it refuses is drawn by none of these; test_world.py shows the refusals of texts and names.
"""

from __future__ import annotations

from hypothesis import strategies as st

#: Marks of JSON, markup and line ends, which a text must not be able to use.
MARKS = '{}[]":,\\<>/\n\r\u2028\u2029\x85\u202e$'
_LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
_ON_A_LINE = st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])

#: Names: one line that is not empty.
NAMES = st.text(st.sampled_from('{}[]":,\\<>/\u202e$') | _ON_A_LINE, min_size=1, max_size=40).filter(str.strip)
#: Texts of characters, scenarios and goals.
TEXTS = st.text(st.sampled_from(MARKS) | _LETTERS, max_size=60)
#: Whatever a model may write: NUL and halves of surrogate pairs as well, which are replaced before they are stored.
WRITTEN = st.text(st.sampled_from(MARKS) | st.characters(), max_size=60)
