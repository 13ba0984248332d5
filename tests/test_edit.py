"""Edits keep every other byte."""

import codecs

import pytest

from cloudservice.edit import append_to_root

FRAGMENT = '  <Role name="b" />\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<a>\n  <b/>\n</a>\n", "<a>\n  <b/>\n@</a>\n"),
        ("<a>\n  <b/></a>", "<a>\n  <b/>\n@</a>"),
        ("<a></a>", "<a>\n@</a>"),
        ("<a x='1' />\n", "<a x='1'>\n@</a>\n"),
        ("<a x='/>'/>", "<a x='/>'>\n@</a>"),
        (
            "<!-- <a/> --><n:a  xmlns:n='u'\n  y=\"2\"/><!-- </a> -->",
            "<!-- <a/> --><n:a  xmlns:n='u'\n  y=\"2\">\n@</n:a><!-- </a> -->",
        ),
        ("<a>\r\n\t<b  c = '1'></b>\r\n</a >\r\n<?p?>", "<a>\r\n\t<b  c = '1'></b>\r\n@</a >\r\n<?p?>"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1"])
def test_only_the_fragment_is_added(before, after, encoding):
    bom = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    fragment = FRAGMENT.replace("\n", "\r\n") if "\r\n" in before else FRAGMENT
    if "<n:a" in before:
        fragment = '  <Role xmlns="urn:x" name="b" />\n'
    edited = append_to_root(bom + before.encode(encoding), FRAGMENT, "urn:x")
    assert edited == bom + after.replace("@", fragment).encode(encoding)


def test_what_is_not_ascii_stays():
    content = "<?xml version='1.0' encoding='iso-8859-1'?>\n<a>\n<!-- für -->\n</a>".encode("latin-1")
    assert append_to_root(content, FRAGMENT, "urn:x") == content.replace(b"</a>", FRAGMENT.encode() + b"</a>")


def test_a_character_with_a_line_feed_byte_is_no_line_end():
    content = codecs.BOM_UTF16_LE + "<a><!-- \u0a00\u000a\u5b0a --></a>".encode("utf-16-le")
    assert append_to_root(content, FRAGMENT, "urn:x").decode("utf-16") == f"<a><!-- \u0a00\n\u5b0a -->\n{FRAGMENT}</a>"
