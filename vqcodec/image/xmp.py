"""Put the label of a decoded picture into an XMP packet, read it, and take it out, without touching the rest.

The packet is parsed to find the places, and edited as text. So whatever else is in it stays to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

# What the International Press Telecommunications Council calls a picture that a trained algorithm made in part.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
# The namespace of the label's own properties. A name, not a page.
NAMESPACE = "https://pypi.org/project/vqcodec/ns/1.0/"
SOURCE_TYPE = "DigitalSourceType"
SOURCE_TYPE_BEFORE = "DigitalSourceTypeBefore"

_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
# Source types that say at least as much as `DIGITAL_SOURCE_TYPE`. The label leaves them as they are.
_STAYS = re.compile(r".*/(trainedAlgorithmicMedia|compositeWithTrainedAlgorithmicMedia)")
# A few kilobytes of a file may unfold to a packet of 16 MB. Beyond these limits it is not parsed.
_MOST_BYTES, _MOST_ELEMENTS, _DEEPEST = 1 << 22, 100_000, 100
# Stands between the parts of the parser's names. XML has no such character.
_BETWEEN = "\1"
_TAG = re.compile(rb"<[^\"'>]*(?:(?:\"[^\"]*\"|'[^']*')[^\"'>]*)*>")
_NAME = re.compile(rb"<[^\s/>]+")
_ATTRIBUTE = re.compile(rb"\s+([^\s=]+)\s*=\s*(?:\"[^\"]*\"|'[^']*')")
_EMPTY = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    b'</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
)


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    """The packet is malformed, too large, or not XMP."""


def with_label(xmp: bytes | None, properties: Mapping[str, str]) -> bytes | None:
    """Return a packet with a label in place of the one that it has; `None` if the packet cannot be read.

    The label is an `rdf:Description` of its own, with the IPTC's `DigitalSourceType` and with `properties` in
    `NAMESPACE`. A source type that the packet has is replaced, and kept as `DigitalSourceTypeBefore`, unless
    it says already that a trained algorithm made the picture.

    Args:
        xmp: XMP packet, or `None` for a new one.
        properties: values by name.
    """
    try:
        packet = _Packet(xmp or _EMPTY)
        label = packet.label
        source_type = label.get(SOURCE_TYPE, "")
        before = label.get(SOURCE_TYPE_BEFORE)
        if not _STAYS.fullmatch(source_type):
            before, source_type = source_type or before, DIGITAL_SOURCE_TYPE
        said = dict(properties) | ({SOURCE_TYPE_BEFORE: before} if before else {})
        own = "".join(f"\n  vqcodec:{name}={quoteattr(value)}" for name, value in said.items())
        text = (
            f'<rdf:Description rdf:about={quoteattr(packet.about)} xmlns:rdf="{_RDF}"\n'
            f'  xmlns:Iptc4xmpExt="{_IPTC}" xmlns:vqcodec="{NAMESPACE}"\n'
            f"  Iptc4xmpExt:{SOURCE_TYPE}={quoteattr(source_type)}{own}/>\n"
        )
        # Other characters are written as numbers, which holds in every encoding.
        return _Packet(packet.without_label()).with_node(text.encode("ascii", "xmlcharrefreplace"))
    except _Unreadable:
        return None


def without_label(xmp: bytes) -> bytes:
    """Return a packet without its label, or as it is if it has none or cannot be read."""
    try:
        return _Packet(xmp).without_label()
    except _Unreadable:
        return xmp


def label_in(xmp: bytes) -> dict[str, str]:
    """Return the properties of the label in a packet by name, with `DigitalSourceType`; empty without a label."""
    try:
        found = _Packet(xmp).label
    except _Unreadable:
        return {}
    return found if found.keys() - {SOURCE_TYPE} else {}


@dataclass
class _Element:
    """An element in a packet: offsets of its start tag and end, and of the start tag's end."""

    start: int
    head_end: int
    end: int = 0


@dataclass
class _Node(_Element):
    """An `rdf:Description`: attributes of the label by name as written, and numbers of the other properties."""

    attributes: set[bytes] = field(default_factory=set)
    labels: list[_Element] = field(default_factory=list)
    others: int = 0


class _Packet:
    """An XMP packet that has been parsed.

    Attributes:
        data: the packet.
        about: what its descriptions are about, usually nothing.
        label: properties of the label, by name.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.about = ""
        self.label: dict[str, str] = {}
        self._nodes: list[_Node] = []
        self._root: _Element | None = None
        self._rdf: _Element | None = None
        self._elements = 0
        # Open elements: their namespace and name, what is known of them, and their text.
        self._open: list[tuple[str, str, _Element, list[str]]] = []
        # Some writers fill up with zeros. In UTF-16, zeros are everywhere.
        text = data.rstrip(b"\0")
        if b"\0" in text or len(text) > _MOST_BYTES:
            raise _Unreadable
        self._parser = expat.ParserCreate(namespace_separator=_BETWEEN)
        self._parser.namespace_prefixes = True
        self._parser.StartElementHandler = self._starts
        self._parser.EndElementHandler = self._ends
        self._parser.CharacterDataHandler = self._says
        self._parser.StartDoctypeDeclHandler = self._declares
        try:
            self._parser.Parse(text, True)
        except (expat.ExpatError, LookupError, ValueError) as error:
            # Of an encoding that Python does not know, or in which the packet is wrong.
            raise _Unreadable from error
        if self._root is None:
            raise _Unreadable

    def without_label(self) -> bytes:
        """Return the packet without the label. Descriptions that held nothing else go too."""
        cuts = []
        for node in self._nodes:
            if not (node.attributes or node.labels):
                continue
            if not node.others:
                cuts.append((node.start, node.end + self.data.startswith(b"\n", node.end)))
                continue
            at = self._name_end(node)
            while match := _ATTRIBUTE.match(self.data, at, node.head_end):
                at = match.end()
                if match[1] in node.attributes:
                    cuts.append(match.span())
            cuts += [(element.start, element.end) for element in node.labels]
        out, done = [], 0
        for start, end in cuts:
            out.append(self.data[done:start])
            done = end
        return b"".join([*out, self.data[done:]])

    def with_node(self, node: bytes) -> bytes:
        """Return the packet with one more node behind the others."""
        place = self._rdf
        if place is None:
            assert self._root is not None
            place, node = self._root, f'<rdf:RDF xmlns:rdf="{_RDF}">\n'.encode() + node + b"</rdf:RDF>\n"
        head = self.data[place.start : place.head_end]
        if not head.endswith(b"/>"):
            at = self.data.rindex(b"<", place.head_end, place.end)
            return self.data[:at] + node + self.data[at:]
        name = self.data[place.start + 1 : self._name_end(place)]
        opened = head.removesuffix(b"/>") + b">\n" + node + b"</" + name + b">"
        return self.data[: place.start] + opened + self.data[place.end :]

    def _name_end(self, element: _Element) -> int:
        match = _NAME.match(self.data, element.start)
        assert match
        return match.end()

    def _starts(self, full: str, attributes: dict[str, str]) -> None:
        namespace, name, _ = _parts(full)
        start = self._parser.CurrentByteIndex
        match = _TAG.match(self.data, start)
        if match is None:
            raise _Unreadable
        depth = len(self._open)
        self._elements += 1
        if depth > _DEEPEST or self._elements > _MOST_ELEMENTS:
            raise _Unreadable
        element = _Element(start, match.end())
        if depth == 0:
            if (namespace, name) not in ((_RDF, "RDF"), (_META, "xmpmeta"), (_META, "xapmeta")):
                raise _Unreadable
            self._root = element
        if self._rdf is None and depth <= 1 and (namespace, name) == (_RDF, "RDF"):
            self._rdf = element
        elif depth and self._rdf is self._open[-1][2]:
            element = self._node(start, match.end(), attributes)
        elif depth and isinstance(parent := self._open[-1][2], _Node):
            if _is_label(namespace, name):
                parent.labels.append(element)
                linked = [value for key, value in attributes.items() if _parts(key)[:2] == (_RDF, "resource")]
                self.label.setdefault(name, linked[0] if linked else "")
            else:
                parent.others += 1
        self._open.append((namespace, name, element, []))

    def _node(self, start: int, head_end: int, attributes: dict[str, str]) -> _Node:
        node = _Node(start, head_end)
        for full, value in attributes.items():
            namespace, name, prefix = _parts(full)
            if _is_label(namespace, name):
                node.attributes.add(f"{prefix}:{name}".encode())
                self.label.setdefault(name, value)
            elif namespace in (_RDF, "") and name == "about":
                self.about = self.about or value
            else:
                node.others += 1
        self._nodes.append(node)
        return node

    def _ends(self, _: str) -> None:
        namespace, name, element, text = self._open.pop()
        at = self._parser.CurrentByteIndex
        empty = self.data[element.start : element.head_end].endswith(b"/>")
        element.end = element.head_end if empty else self.data.index(b">", at) + 1
        if _is_label(namespace, name) and self._open and isinstance(self._open[-1][2], _Node):
            self.label[name] = self.label.get(name) or "".join(text).strip()

    def _says(self, text: str) -> None:
        if self._open and _is_label(*self._open[-1][:2]):
            self._open[-1][3].append(text)

    def _declares(self, *_: object) -> None:
        # A document type may define entities that unfold to gigabytes. XMP has none.
        raise _Unreadable


def _parts(full: str) -> tuple[str, str, str]:
    """Split a name of expat into namespace, name and prefix."""
    parts = full.split(_BETWEEN)
    if len(parts) == 1:
        return "", full, ""
    return parts[0], parts[1], parts[2] if len(parts) > 2 else ""


def _is_label(namespace: str, name: str) -> bool:
    return namespace == NAMESPACE or (namespace == _IPTC and name == SOURCE_TYPE)
