"""Small files of a store beside its tables (its version, the checkpoint's identity), on a local folder or an
object store.

A plain path is a folder; anything with ``://`` goes through the storage that delta-rs itself uses, with the
same credentials (the environment variables that delta-rs reads).  A write is whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse


class SmallFiles:
    """A folder of small files; names are relative, with ``/`` between levels."""

    def __init__(self, uri: str, storage_options: dict[str, str] | None = None) -> None:
        self.uri = uri.rstrip("/")
        self._options = storage_options

    def read(self, name: str) -> str | None:
        """The file's text, or None where there is no such file."""
        if "://" not in self.uri:
            file = Path(self.uri) / name
            return file.read_text(encoding="utf-8") if file.is_file() else None
        if not self._there():
            return None
        try:
            with self._files().open_input_stream(name) as stream:
                return bytes(stream.read()).decode()
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """Put a text file there, in the place of the one that was.

        Raises:
            OSError: the place cannot be written.
        """
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Put a file there, in the place of the one that was.

        Raises:
            OSError: the place cannot be written.
        """
        if "://" not in self.uri:
            file = Path(self.uri) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh = file.with_name(f"{file.name}.{os.getpid()}.new")
            try:
                fresh.write_bytes(content)
                fresh.replace(file)
            except OSError:
                fresh.unlink(missing_ok=True)
                raise
            return
        if self.uri.startswith("file://"):
            _local(self.uri).mkdir(parents=True, exist_ok=True)
        stream = self._handler()._handler.open_output_stream(name, None)
        stream.write(content)
        stream.close()

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, sorted; none where there is no such folder."""
        if "://" not in self.uri:
            path = Path(self.uri) / folder
            return sorted(entry.name for entry in path.iterdir() if entry.is_file()) if path.is_dir() else []
        if not self._there():
            return []
        from pyarrow.fs import FileSelector, FileType

        found = self._files().get_file_info(FileSelector(folder, allow_not_found=True))
        return sorted(entry.base_name for entry in found if entry.type == FileType.File)

    def clear(self) -> None:
        """Delete everything below this place."""
        if "://" not in self.uri:
            shutil.rmtree(self.uri, ignore_errors=True)
        elif self.uri.startswith("file://"):
            shutil.rmtree(_local(self.uri), ignore_errors=True)
        else:
            self._files().delete_dir_contents("", missing_dir_ok=True)

    def _there(self) -> bool:
        """Object stores have no folders; a ``file://`` one that is absent cannot be opened."""
        return not self.uri.startswith("file://") or _local(self.uri).is_dir()

    def _handler(self) -> Any:
        from deltalake.fs import DeltaStorageHandler

        return DeltaStorageHandler(self.uri, self._options)

    def _files(self) -> Any:
        return file_system(self.uri, self._options)


def file_system(uri: str, storage_options: dict[str, str] | None = None) -> Any:
    """Arrow's file system of a folder or URI, names relative to it; a folder need not be there yet."""
    from pyarrow import fs

    if "://" not in uri or uri.startswith("file://"):
        return fs.SubTreeFileSystem(str(_local(uri)) if "://" in uri else uri, fs.LocalFileSystem())
    from deltalake.fs import DeltaStorageHandler

    return fs.PyFileSystem(DeltaStorageHandler(uri, storage_options))


def _local(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path))


def json_lines(text: str) -> list[dict[str, Any]]:
    """The objects of a file with one on each line, as Delta's log is.

    Only a line feed ends a line: JSON leaves other separators of Unicode (U+2028, U+0085) as they are, and
    the log holds the least and the greatest texts of a column.
    """
    return [json.loads(line) for line in text.split("\n") if line.strip()]
