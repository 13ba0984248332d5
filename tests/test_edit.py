"""Edits keep every other byte."""

import codecs

import pytest

from cloudservice import edit

FRAGMENT = '<Role name="b">\n  <Instances count="1" />\n</Role>\n'
TABS = ("\t", "\t", "\r\n")
LINES = ['<Role name="b">', '<Instances count="1" />', "</Role>"]
ENCODINGS = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
}


def lines(indentation: str, unit: str, newline: str = "\n") -> str:
    """The fragment as it should stand, without its last line end."""
    outer, middle, last = LINES
    return newline.join([indentation + outer, indentation + unit + middle, indentation + last])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<a>\n  <b/>\n</a>\n", f"<a>\n  <b/>\n{lines('  ', '  ')}\n</a>\n"),
        ("<a>\n\t<b/>\n\n</a>", "<a>\n\t<b/>\n\n" + lines("\t", "\t") + "\n</a>"),
        ("<a>\n    <b/></a>", f"<a>\n    <b/>\n{lines('    ', '    ')}\n</a>"),
        ("<a></a>", f"<a>\n{lines('  ', '  ')}\n</a>"),
        ("<?xml version='1.0'?><a></a>", f"<?xml version='1.0'?><a>\n{lines('  ', '  ')}\n</a>"),
        ("<a x='1' />\n", f"<a x='1'>\n{lines('  ', '  ')}\n</a>\n"),
        ("<a x='/>'/>", f"<a x='/>'>\n{lines('  ', '  ')}\n</a>"),
        ("<a><b/></a>", f"<a><b/>{''.join(LINES)}</a>"),
        ("<a>\n  <b/><c/></a>", f"<a>\n  <b/><c/>{''.join(LINES)}</a>"),
        (
            "<a>\r\n\t<b  c = '1'></b>\r\n</a >\r\n<?p?>",
            f"<a>\r\n\t<b  c = '1'></b>\r\n{lines(*TABS)}\r\n</a >\r\n<?p?>",
        ),
        ("<a>\n  <b/>\n  <!-- last -->\n</a>", f"<a>\n  <b/>\n  <!-- last -->\n{lines('  ', '  ')}\n</a>"),
    ],
)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_only_the_element_is_added(before, after, encoding):
    bom = ENCODINGS[encoding]
    source = edit.parse(bom + before.encode(encoding))
    assert source.append(source.root, FRAGMENT) == bom + after.encode(encoding)


def test_an_element_takes_on_the_prefix_of_its_parent():
    source = edit.parse(b"<!-- <a/> --><n:a  xmlns:n='u'\n  y=\"2\"/><!-- </a> -->")
    assert source.append(source.root, '<b>\n  <c x="&lt;b>" />\n</b>\n') == (
        b'<!-- <a/> --><n:a  xmlns:n=\'u\'\n  y="2">\n  <n:b>\n    <n:c x="&lt;b>" />\n  </n:b>\n</n:a><!-- </a> -->'
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<a>\n  <!-- b -->\n  <b>\n    <c/>\n  </b>\n  <d/>\n</a>", "<a>\n  <!-- b -->\n  <d/>\n</a>"),
        ("<a>\r\n  <b/>\r\n</a>", "<a>\r\n</a>"),
        ("<a><b/></a>", "<a></a>"),
        ("<a> <b/> <d/></a>", "<a>  <d/></a>"),
        ("<a>\n  <b/><d/>\n</a>", "<a>\n  <d/>\n</a>"),
        ("<a>\n  <b/> <!-- why -->\n</a>", "<a>\n   <!-- why -->\n</a>"),
        ("<a>\n  <b/>", None),
    ],
)
def test_only_the_element_is_removed(before, after):
    if after is None:
        with pytest.raises(edit.UneditableError, match="cannot be edited"):
            edit.parse(before.encode())
        return
    source = edit.parse(before.encode())
    assert source.remove(next(source.root.named("b"))) == after.encode()


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("<a b='1' c=\"2\"/>", "3", "<a b='3' c=\"2\"/>"),
        ('<a x=\'b="1"\' b = "1"\n/>', "<&\">'", '<a x=\'b="1"\' b = "&lt;&amp;&quot;>\'"\n/>'),
        ("<a b='1'/>", "\"'\t\n", "<a b='\"&apos;&#9;&#10;'/>"),
        ("<a c='1' />", "ü", "<a c='1' b=\"ü\" />"),
        ("<a></a>", "1", '<a b="1"></a>'),
        ("<a bb='1'/>", "2", "<a bb='1' b=\"2\"/>"),
        ("<a x='1>2' b='1'>b='2'</a>", "2", "<a x='1>2' b='2'>b='2'</a>"),
    ],
)
def test_only_the_value_is_changed(before, value, after):
    source = edit.parse(before.encode())
    assert source.set_attribute(source.root, "b", value) == after.encode()


def test_what_is_not_ascii_stays_and_what_the_encoding_lacks_is_referred_to():
    content = "<?xml version='1.0' encoding='iso-8859-1'?>\n<a b='für'>\n<!-- für -->\n</a>".encode("latin-1")
    source = edit.parse(content)
    assert source.set_attribute(source.root, "b", "für 3 €") == content.replace(b"f\xfcr'", b"f\xfcr 3 &#8364;'")


def test_a_character_with_a_line_feed_byte_is_no_line_end():
    content = codecs.BOM_UTF16_LE + "<a><!-- \u0a00\u000a\u5b0a --></a>".encode("utf-16-le")
    source = edit.parse(content)
    text = source.append(source.root, "<b />\n").decode("utf-16")
    assert text == "<a><!-- \u0a00\n\u5b0a -->\n  <b />\n</a>"


def test_what_cannot_be_written_back_is_refused():
    with pytest.raises(edit.UneditableError, match="encoding is not known"):
        edit.parse(b"<?xml version='1.0' encoding='utf-9'?><a/>")
    with pytest.raises(edit.UneditableError, match="cannot be written back"):
        edit.parse(b"<?xml version='1.0' encoding='iso-2022-jp'?><a>\x1b$B\x1b(B</a>")


@pytest.mark.parametrize(
    ("value", "is_text"), [("a\tb", True), ("\U0001f600", True), ("\x00", False), ("\ufffe", False)]
)
def test_not_every_character_can_stand_in_xml(value, is_text):
    assert edit.is_text(value) == is_text
