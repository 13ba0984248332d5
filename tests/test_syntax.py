"""What is told of a file that is no XML, and at which lines things are told."""

from pathlib import Path

import pytest

from cloudservice import definition, document
from cloudservice.errors import ServiceError

MARKER = "<" * 7


def parsed(text: str) -> document.Document:
    return document.parse(Path("some.xml"), text.encode(), "a", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('<a b="R&D"/>', "1: an & begins no reference to a character. Write &amp; for it."),
        ("<a>\nR & D</a>", "2: an & begins no reference to a character. Write &amp; for it."),
        ("<a>&nbsp;</a>", "1: '&nbsp;' is no entity of XML. Write the character itself."),
        ("<a>\n\x01</a>", "2: there is a character that XML does not allow. Remove it."),
        ('<a b="x c="y"/>', "quotation mark too many or too few, or no blank between"),
        ("<a b=x/>", 'an attribute has no value in quotation marks. Write it as name="value".'),
        ("<a b/>", 'an attribute has no value. Write it as name="value".'),
        ('<a b="<"/>', "the value of an attribute holds a <. Write &lt; for it, or close the value"),
        ('<a b="x/>', "a quotation mark is not closed. Close the value before the end of the tag."),
        ('<a b="1" b="2"/>', "the attribute b stands twice. Keep one of them."),
        ("<a><1/></a>", "a < begins no element. Write &lt; for it, or mend the element's name."),
        (f"<a>\n{MARKER} HEAD\n</a>", "2: a conflict of a merge is left in it. Settle it, and remove the lines"),
        ("<a>\n<b>\n</a>", "3: </a> stands where <b> of line 2 is still open. Close that one first,"),
        ("<a>\n", "<a> of line 1 is not closed. Write </a> at its end."),
        ("<a/>\n<b/>", "there is something after the end of the root element. Remove it, or move it"),
        ("", "there is no element in it. Begin it with the root element."),
        ("text", "there is no element in it. Begin it with the root element."),
        (' <?xml version="1.0"?><a/>', "the XML declaration is not the first thing in it. Remove what stands before"),
        ("<a><!-- a -- b --></a>", "a comment holds --. Write it in another way."),
        ("<a><!-- a </a>", "a comment is not closed. Close it with -->."),
        ("<a><![CDATA[ </a>", "a CDATA section is not closed. Close it with ]]>."),
        ("<p:a/>", "the prefix p is not declared. Declare it with xmlns on the root element, or remove it."),
        (
            '<a xmlns="urn:{x"/>',
            "1: it is not well-formed XML: xmlns: 'urn:{x' is not a valid URI. Mend the XML there.",
        ),
        ("<half", "a tag is not closed. Close it with >."),
        ("<a>]]></a>", "it is not well-formed XML: Sequence ']]>' not allowed in content. Mend the XML there."),
        ("<b/>", "1: the root element is b. It must be a; perhaps this is another file."),
        ('<a xmlns="urn:x"/>', "the root element is in the namespace urn:x. Remove its xmlns."),
    ],
)
def test_what_is_no_xml_is_told_in_plain_words(text, told):
    with pytest.raises(ServiceError) as error:
        parsed(text)
    assert told in str(error.value)


def test_a_definition_without_a_namespace_is_told_which():
    with pytest.raises(ServiceError) as error:
        document.parse(Path("x.csdef"), b'<ServiceDefinition name="x"/>', definition.ROOT, definition.NAMESPACE)
    assert f'the root element is in no namespace. Write xmlns="{definition.NAMESPACE}" in it.' in str(error.value)


def test_an_element_is_at_the_line_where_its_start_tag_begins():
    read = parsed(
        '<?xml version="1.0"?>\n<!-- <c\n -->\n<a\n  x="1"\n  y="2">\n  <b/><b\n\n/><!--\n--><?p i?>\n  <b />\n</a>'
    )
    assert read.root.line == 4
    assert [element.line for element in read.root.all("b")] == [7, 7, 11]


def test_what_else_there_is_does_not_move_lines():
    read = parsed('<a>\n<b\n c="x > y"\n d=\'">\'\n/><!-- <z\n --><b/>\r<b/><![CDATA[\n<y]]></a>')
    assert [element.line for element in read.root.all("b")] == [2, 6, 7]


def test_letters_that_not_every_parser_knows_leave_the_lines_as_they_are():
    assert parsed('<a\n b="1">\n<\u0221oo\n/></a>').root.children[0].name == "\u0221oo"


def test_lines_of_carriage_returns_are_counted_as_editors_do():
    assert parsed('<a\r\n x="1"\r\n>\r\n<b\r\n/></a>').root.all("b")[0].line == 4
