"""Pages typed into a shell from top to bottom, against real servers: the quickstarts as a new user would, and
what other pages show.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.command_line import write_table
from support.doc_run import RUN_PAGES, lacking, typist
from support.servers import needs

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
# Pages that need traces first: a table beside the config.
WITH_TABLE = {"docs/operations.md", "README.md"}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", RUN_PAGES)
def test_every_step_of_a_page_works_and_shows_what_the_page_shows(page: str, tmp_path: Path) -> None:
    needs("prometheus")
    needs("prometheus-alertmanager")
    with typist(tmp_path, TRACE_ID="tr-3") as one:
        if page in WITH_TABLE:
            write_table(tmp_path / "work" / "traces", 120)
        one.type_page(page)
    shutil.rmtree(tmp_path / "work")


def test_a_screen_is_the_same_where_only_numbers_ids_and_breaks_of_lines_differ() -> None:
    got = "FIRING  12 of tr-aaaaaaaa1 and\ntr-bbbbbbbb2\nmore\nend 7%\n"
    assert lacking("FIRING 3 of tr-cccccccc3 and tr-dddddddd4\n…\nend 12%\n", got) is None
    assert lacking("FIRING 3 of tr-cccccccc3\nend 12%\n", got) == "FIRING 3 of tr-cccccccc3\nend 12%"
    assert lacking("end 1%\n…\nFIRING 3\n", got) == "FIRING 3"
