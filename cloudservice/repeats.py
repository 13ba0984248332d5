"""What stands twice in a file and may stand once."""

from collections.abc import Callable, Iterable

from cloudservice.document import Document
from cloudservice.element import Element


def unique(
    read: Document,
    elements: Iterable[Element],
    noun: str,
    key: Callable[[Element], str] = lambda element: element.get("name", ""),
) -> None:
    """Fault every element whose key another one before it has, in any case; one without a key is another fault.

    Most names become files, folders or variables, which Windows does not tell apart by case.
    """
    seen: dict[str, int] = {}
    for element in elements:
        name = key(element).lower()
        if name and name in seen:
            remedy = f"Keep one of them, or rename it; the other is in line {seen[name]}"
            read.fault(element, "same-name", f"there is another {noun} '{element.get('name') or key(element)}'", remedy)
        seen.setdefault(name, element.line)


def once(read: Document, elements: Iterable[Element]) -> None:
    """Fault every element after the first."""
    for again in list(elements)[1:]:
        read.fault(again, "repeated-element", f"there is a second {again.owner}", "Make them one")
