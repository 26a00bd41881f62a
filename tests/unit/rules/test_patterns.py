"""Patterns that are searched for together, against each of them alone."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from support.trace_rows import traces

from rules.dialect import compile_condition
from rules.matcher import Matcher, raw_table

TEXT = st.text("abAB%_\\.é\n", max_size=12)
LIKE = st.text("abAB%_.é", min_size=1, max_size=6)
REGEX = st.lists(
    st.sampled_from(
        [
            "a",
            "b",
            "ab",
            "abA",
            "BAb",
            ".",
            "a*",
            "ba?",
            "[ab]",
            "(ab)",
            "(ab)?",
            "a{2}",
            "\\.",
            "é",
            "[^]a]",
            "b+",
        ]
    ),
    min_size=1,
    max_size=5,
).map("".join)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(TEXT, max_size=6),
    st.lists(LIKE, min_size=1, max_size=9),
    st.lists(REGEX, min_size=1, max_size=9),
)
def test_patterns_looked_for_together_find_what_each_would_alone(texts, likes, regexes):
    def like(pattern):
        return re.compile("".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern), re.DOTALL)

    likes = [
        *likes,
        *(f"%{a}{b}{c}%" for a in "aA" for b in "bB" for c in "aA"),
    ]  # enough to be looked for together
    asked = [(f"request LIKE '{p}'", like(p).fullmatch, str) for p in likes]
    asked += [(f"request ILIKE '{p}'", like(p.lower()).fullmatch, str.lower) for p in likes]
    asked += [(f"request RLIKE '{p}'", re.compile(p).search, str) for p in regexes]
    asked += [
        (f"status = 'OK' AND NOT {text}", lambda t, f=found: not f(t), change)
        for text, found, change in asked
    ]
    matcher = Matcher([compile_condition(text) for text, _, _ in asked])
    found = matcher.match(raw_table(traces(*({"request": text} for text in texts)), matcher.columns))
    assert found.tolist() == [[bool(finds(change(text))) for text in texts] for _, finds, change in asked]
