"""Files are read in the encoding they are in, whatever they declare, and refused if that cannot be known."""

import codecs

import pytest

from cloudservice import definition, encoding
from cloudservice.errors import ServiceError

TEXT = f"""<ServiceDefinition name="größe" xmlns="{definition.NAMESPACE}">
  <WorkerRole name="jobs" />
</ServiceDefinition>
"""


def declared(name: str) -> str:
    return f'<?xml version="1.0" encoding="{name}"?>\n{TEXT}'


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
        codecs.BOM_UTF16_LE + declared("utf-8").encode("utf-16-le"),
        declared("utf-16").encode(),
        declared("UTF-16").encode("utf-8-sig"),
        declared("iso-8859-1").encode("latin-1"),
        declared("windows-1252").encode("cp1252"),
        declared("Shift_JIS").replace("ö", "大").replace("ß", "小").encode("shift_jis"),
        declared("gb2312").replace("ö", "大").replace("ß", "小").encode("gb2312"),
        declared("utf-8").replace("\n", "\r\n").encode(),
    ],
)
def test_each_encoding_is_read(content, tmp_path):
    path = tmp_path / "ServiceDefinition.csdef"
    path.write_bytes(content)
    read = definition.load(path)
    assert not read.document.faults
    assert read.name in {"größe", "gr大小e"}
    assert read.document.encoding.encode(read.document.encoding.decode(content)) == content


@pytest.mark.parametrize(
    "name", ["utf-9", "utf-7", "punycode", "idna", "unicode_escape", "raw_unicode_escape", "rot13", "zlib", "cp037"]
)
def test_what_is_no_encoding_of_a_file_is_refused(name, tmp_path):
    assert encoding.detect(declared(name).encode()) is None
    path = tmp_path / "ServiceDefinition.csdef"
    path.write_bytes(declared(name).encode())
    with pytest.raises(ServiceError, match=r"csdef:1: it declares an encoding that is not known here. Save it"):
        definition.load(path)


@pytest.mark.parametrize(
    "content",
    [
        declared("utf-8").encode("latin-1"),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le")[:-1],
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le") + b"\x00\xd8",
        declared("ascii").encode(),
    ],
)
def test_bytes_that_are_not_in_the_encoding_are_refused(content, tmp_path):
    path = tmp_path / "ServiceDefinition.csdef"
    path.write_bytes(content)
    with pytest.raises(ServiceError, match=r"as its beginning says. Save it as UTF-8, or declare"):
        definition.load(path)
