"""From raw columns to the values of a field: what each ``decode`` of ``rules/dialect/fields.py`` means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rules.dialect.fields import MODEL, SPAN_TYPE
from rules.dialect.nodes import Field
from rules.matcher import values as v
from rules.matcher.batch import Batch
from rules.units import LONGEST_TRACE_MS


def decode(batch: Batch, field: Field) -> v.Texts | v.Numbers:
    """The values of a field, one an item of its own scope."""
    kind, _, argument = field.decode.partition(":")
    first = field.raw[0]
    if kind in _OF_WORDS:
        return _OF_WORDS[kind](batch, field)
    if kind == "duration":
        return _durations_ms(batch.flat(first))
    if kind == "json":
        return json_numbers(batch, first, argument)
    if kind.startswith("assessment"):
        return _assessment(batch, field, kind, argument)
    return _time(batch, field)


def _first(batch: Batch, field: Field) -> v.Texts:
    return v.texts(pc.coalesce(*(batch.flat(raw).cast(pa.string()) for raw in field.raw)))


def _joined(batch: Batch, field: Field) -> v.Texts:
    columns = [batch.flat(raw).cast(pa.string()) for raw in field.raw]
    return v.texts(pc.binary_join_element_wise(*columns, " ", null_handling="skip"))


def json_numbers(batch: Batch, raw: str, key: str) -> v.Numbers:
    """The numbers under a key of a column of JSON objects, which are parsed once however many keys are
    read.
    """
    return np.asarray(np.append(batch.objects(raw).numbers(key), np.nan)[batch.texts(raw).codes])


def _assessment(batch: Batch, field: Field, kind: str, name: str) -> v.Texts | v.Numbers:
    names, written = batch.texts(field.raw[0]), batch.texts(field.raw[1])
    named = names.codes == names.code(name)
    if kind == "assessment_number":
        return np.where(named, v.from_words(written, v.plain_number), np.nan)
    answers = written if kind == "assessment_json" else v.remap(written, v.json_text)
    return v.Texts(np.where(named, answers.codes, -1).astype(np.int32), answers.arrow)


def first_model(batch: Batch) -> pa.Array:
    """For each row the model of its first span of type CHAT_MODEL that names one, null if none does."""
    kinds = v.remap(batch.texts(SPAN_TYPE), v.json_text)
    models = v.remap(v.texts(pc.coalesce(*(batch.flat(raw) for raw in MODEL))), v.json_text)
    chat = [i for i, word in enumerate(kinds.words) if word == "CHAT_MODEL"]
    usable = np.flatnonzero(np.isin(kinds.codes, chat) & models.known)
    owners, first = np.unique(batch.parent("spans")[usable], return_index=True)
    result = np.full(batch.rows, None, dtype=object)
    result[owners] = np.array([*models.words, ""], dtype=object)[models.codes[usable[first]]]
    return pa.array(result, pa.string())


def _durations_ms(column: pa.Array) -> v.Numbers:
    """Durations as facts have them: a negative one is zero, one that is too long is unknown."""
    given = v.numbers(column)
    return np.where(np.abs(given) < LONGEST_TRACE_MS, np.maximum(given, 0.0), np.nan)


def _time(batch: Batch, field: Field) -> v.Numbers:
    start = v.epoch_us(batch.flat(field.raw[0]))
    if field.decode == "time":
        return start
    if field.decode == "time_ms":
        return np.floor(start / 1000)
    if field.decode == "end_ms":
        took = _durations_ms(batch.flat(field.raw[1]))
        return np.floor(start / 1000) + np.where(np.isnan(took), 0, took)
    return np.maximum(v.epoch_us(batch.flat(field.raw[1])) - start, 0) / 1000


_OF_WORDS: dict[str, Callable[[Batch, Field], v.Texts]] = {
    "text": lambda batch, field: batch.texts(field.raw[0]),
    "json_text": lambda batch, field: v.remap(batch.texts(field.raw[0]), v.json_text),
    "span_status": lambda batch, field: v.remap(batch.texts(field.raw[0]), v.span_status),
    "first": _first,
    "json_first": lambda batch, field: v.remap(_first(batch, field), v.json_text),
    "first_model": lambda batch, _: v.texts(first_model(batch)),
    "joined": _joined,
}
