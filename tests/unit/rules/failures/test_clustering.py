"""Merging of patterns, on a corpus whose truth is known: messages with which LLM applications fail."""

import random

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.failures import masked, merged_patterns

WORDS = [
    "alpha",
    "bravo",
    "carol",
    "delta",
    "eagle",
    "frank",
    "gamma",
    "hotel",
    "india",
    "julia",
    "kilo",
    "lima",
    "mike",
    "norma",
    "oscar",
    "papa",
]
TRUTH = [
    "Error code: 429 - {{'error': {{'message': 'Rate limit reached for gpt-4o in organization org-{hex}: "
    "Limit {n}, Used {n}'}}}}",
    "Error code: 400 - {{'error': {{'message': 'This model has a maximum context length of {n} tokens', "
    "'type': 'invalid'}}}}",
    "Request timed out after {n}.{n}s (attempt {n} of 3)",
    "HTTPSConnectionPool(host='{word}.example.com', port=443): Max retries exceeded with url: "
    "/v1/{word}?id={n}",
    "Tool {word} is not registered",
    "No documents found in index {word}",
    "KeyError: '{word}'",
    "JSONDecodeError: Expecting value: line {n} column {n} (char {n})",
    "could not connect to server: Connection refused, host {ip}, port {n}",
    "relation {word} does not exist, LINE {n}",
    "Agent stopped after {n} iterations without a final answer",
    "Guardrail {word} refused the answer",
    "Permission denied: {path}",
    "Model answered with status {n} instead of a tool call for user {word}@example.com",
    "maximum recursion depth exceeded",
    "Output is empty",
]


def messages(seed, count):
    made = random.Random(seed)
    for _ in range(count):
        truth = min(int(made.expovariate(0.35)), len(TRUTH) - 1)
        yield (
            truth,
            TRUTH[truth].format(
                hex=f"{made.getrandbits(40):x}",
                n=made.choice([7, 12, 30, 128, 4096, 100000]) + made.randrange(3),
                word=made.choice(WORDS),
                ip=".".join(str(made.randrange(1, 255)) for _ in range(4)),
                path=f"/srv/{made.choice(WORDS)}/{made.choice(WORDS)}.csv",
            ),
        )


def groups(texts):
    """What is grouped together, as a set of sets of places."""
    patterns = masked(pa.array(texts)).to_pylist()
    merged = merged_patterns(patterns)
    found = {}
    for place, one in enumerate(patterns):
        found.setdefault(merged[one], set()).add(place)
    return found


def test_messages_of_one_cause_are_one_pattern():
    for seed in range(5):
        truth, texts = zip(*messages(seed, 2000), strict=True)
        right = {frozenset(i for i, one in enumerate(truth) if one == kind) for kind in set(truth)}
        found = [frozenset(places) for places in groups(list(texts)).values()]
        accuracy = sum(len(places) for places in found if places in right) / len(texts)
        assert accuracy >= 0.95, (seed, accuracy)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_of_messages_does_not_matter(seed, order):
    texts = [text for _, text in messages(seed, 150)]
    patterns = masked(pa.array(texts)).to_pylist()
    shuffled = list(patterns)
    order.shuffle(shuffled)
    assert merged_patterns(shuffled) == merged_patterns(patterns)


def test_few_variants_of_a_word_are_patterns_of_their_own():
    few = [f"instance {state} by its owner" for state in ("started", "stopped", "paused")]
    assert merged_patterns(few) == {one: one for one in few}


def test_many_variants_of_a_word_are_one_pattern():
    many = [f"tool {word} is not registered" for word in WORDS]
    assert set(merged_patterns(many).values()) == {"tool * is not registered"}


def test_messages_of_one_word_are_never_merged():
    assert merged_patterns(WORDS) == {word: word for word in WORDS}
