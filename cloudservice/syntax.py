"""XML's own rules: where start tags begin, and in plain words what makes a file no XML."""

import contextlib
import re
from xml.parsers import expat

from lxml import etree

from cloudservice.element import Node

_MOST_LINES = 65_535
"""Lines that libxml2 counts for a node."""
_TAG = re.compile(r"""<[^\W\d][^<>"']*+(?:(?:"[^"<]*+"|'[^'<]*+')[^<>"']*+)*+>""")
_CONFLICT = "<" * 7
_MISMATCH = re.compile(r"(?s).*mismatch: (\S+) line (\d+) and ([^\s,]+)")
_UNCLOSED = re.compile(r"(?s).*in tag (\S+) line (\d+)")
_QUOTED = re.compile(r"'([^']+)'|Attribute (\S+) redefined|prefix (\S+)")
_TROUBLES = {
    4: ("there is no element in it", "Begin it with the root element"),
    5: ("there is something after the end of the root element", "Remove it, or move it into the root element"),
    9: ("there is a character that XML does not allow", "Remove it"),
    23: ("an & begins no reference to a character", "Write &amp; for it"),
    26: ("'&{};' is no entity of XML", "Write the character itself"),
    38: ("the value of an attribute holds a <", "Write &lt; for it, or close the value with a quotation mark before"),
    39: ("an attribute has no value in quotation marks", 'Write it as name="value"'),
    40: ("a quotation mark is not closed", "Close the value before the end of the tag"),
    41: ("an attribute has no value", 'Write it as name="value"'),
    42: ("the attribute {} stands twice", "Keep one of them"),
    45: ("a comment is not closed", "Close it with -->"),
    63: ("a CDATA section is not closed", "Close it with ]]>"),
    64: ("the XML declaration is not the first thing in it", "Remove what stands before <?xml"),
    65: ("a tag has a quotation mark too many or too few, or no blank between attributes", "Mend the attributes there"),
    68: ("a < begins no element", "Write &lt; for it, or mend the element's name"),
    73: ("a tag is not closed", "Close it with >"),
    80: ("a comment holds --", "Write it in another way"),
    201: ("the prefix {} is not declared", "Declare it with xmlns on the root element, or remove it"),
}
"""By libxml2's number of an error; {} is the name in its message."""


def trouble(error: etree.XMLSyntaxError, text: str) -> tuple[str, str]:
    """What makes the text no well-formed XML, and what to do about it."""
    message = str(error.msg or "syntax error")
    lines = text.splitlines()
    line = lines[error.lineno - 1] if error.lineno and error.lineno <= len(lines) else ""
    mismatch, unclosed = _MISMATCH.match(message), _UNCLOSED.match(message)
    if line.startswith(_CONFLICT):
        return "a conflict of a merge is left in it", "Settle it, and remove the lines that mark it"
    if mismatch:
        wrong = f"</{mismatch[3]}> stands where <{mismatch[1]}> of line {mismatch[2]} is still open"
        return wrong, "Close that one first, or remove one of the two"
    if unclosed:
        return f"<{unclosed[1]}> of line {unclosed[2]} is not closed", f"Write </{unclosed[1]}> at its end"
    if "EntityRef: no name" in message:
        return _TROUBLES[23]
    if "parsing attribute name" in message:
        return "a tag holds something that is no attribute", 'Write attributes as name="value", or remove it'
    wrong, remedy = _TROUBLES.get(error.code, (f"it is not well-formed XML: {message.partition(', line ')[0]}", ""))
    name = _QUOTED.search(message)
    return wrong.replace("{}", next(filter(None, name.groups())) if name else ""), remedy or "Mend the XML there"


def correct_lines(root: Node, text: str) -> None:
    """Give each element the line where its start tag begins; libxml2 gives the one where it ends."""
    if not any("\n" in tag[0] for tag in _TAG.finditer(text)):
        return
    lines: list[int] = []
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = lambda *_: lines.append(parser.CurrentLineNumber)
    with contextlib.suppress(expat.ExpatError):  # it knows fewer letters than libxml2, whose lines then stay
        parser.Parse(text.encode(), True)
    for node, line in zip(root.iter(etree.Element), lines, strict=False):
        if line < _MOST_LINES:
            node.sourceline = line  # type: ignore[misc]  # its stubs do not know that lxml lets us
