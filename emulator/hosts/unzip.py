"""Unpacks a zip, and lets its programs be programs: `python -I unzip.py ARCHIVE FOLDER`."""

import os
import sys
import zipfile


def main(archive: str, folder: str) -> None:
    """Unpack it; `zipfile -e` would leave the permissions out."""
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            path = packed.extract(info, folder)
            if info.external_attr >> 16 & 0o111 and not info.is_dir():
                os.chmod(path, 0o755)  # noqa: S103 - as it was in the environment


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
