"""The text of the XML documents that rolepack writes itself."""

from xml.etree import ElementTree


def render(root: ElementTree.Element) -> bytes:
    """The document with its declaration, indented, in UTF-8."""
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()
