"""Archives that are the same to the last byte wherever they are made."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


def write(out: Path, files: Mapping[str, Path]) -> None:
    """Write files, by their path in it, into a zip archive: of no date and no owner, in order.

    Nothing is compressed: tables and policies are hardly smaller so, and compressors differ in their bytes.
    """
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, file in sorted(files.items()):
            member = zipfile.ZipInfo(name, _EPOCH)
            member.create_system = _UNIX
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            with file.open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target)
