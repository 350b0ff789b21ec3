"""The label goes into XMP of every shape, leaves the rest to the byte, and comes out again."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from vqcodec.image.xmp import DIGITAL_SOURCE_TYPE, NAMESPACE, label_in, with_label, without_label

SAID = {"Version": "0.1.0", "Model": "53be162d"}
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
OF_IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def packet_of(inside: str) -> bytes:
    return f"<rdf:RDF xmlns:rdf='{RDF}'>{inside}</rdf:RDF>".encode()


CAMERA = (
    """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Toolkit 5.6">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <!-- a comment > with " signs -->
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="a &gt; 'b'"
    xmp:Rating='5'>
   <dc:title xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Alt><rdf:li>Überblick</rdf:li></rdf:Alt></dc:title>
  </rdf:Description>
  <rdf:Description rdf:about="" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Köln"/>
 </rdf:RDF>
</x:xmpmeta>
"""
    + 40 * (" " * 99 + "\n")
    + '<?xpacket end="w"?>'
)

SHAPES = {
    "of a camera": CAMERA.encode(),
    "with a byte order mark": b"\xef\xbb\xbf" + CAMERA.encode(),
    "filled up with zeros": CAMERA.encode() + bytes(100),
    "with other line ends": CAMERA.replace("\n", "\r\n").encode(),
    "without xmpmeta": f"<rdf:RDF xmlns:rdf='{RDF}'><rdf:Description rdf:about='' /></rdf:RDF>".encode(),
    "with other prefixes": f"<m:xapmeta xmlns:m='adobe:ns:meta/'><RDF xmlns='{RDF}'> </RDF></m:xapmeta>".encode(),
    "in Latin-1": f"<?xml version='1.0' encoding='iso-8859-1'?><rdf:RDF xmlns:rdf='{RDF}'>\n"
    f"<rdf:Description rdf:about='' a='\xfc'/>\n</rdf:RDF >\n".encode("latin-1"),
    "about something": f"<r:RDF xmlns:r='{RDF}'><r:Description r:about='uuid:&lt;ä&quot;'/></r:RDF>".encode(),
    "of a megabyte and more": CAMERA.replace("Überblick", "Ü" * 2_000_000).encode(),
}
# The first label turns `<a/>` into `<a></a>` here.
EMPTY_SHAPES = {
    "empty": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    "without RDF": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>\n</x:xmpmeta>",
    "with empty RDF": f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><r:RDF xmlns:r='{RDF}' /></x:xmpmeta>".encode(),
    "nothing": None,
}
BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>&b;</x:xmpmeta>"
)
UNREADABLE = {
    "malformed": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>",
    "cut short": CAMERA.encode()[:500],
    "unknown prefix": b"<x:xmpmeta><rdf:RDF/></x:xmpmeta>",
    "two roots": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/><x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    "other XML": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "text": b"no XML",
    "zeros": bytes(9),
    "UTF-16": CAMERA.encode("utf-16"),
    "unknown encoding": b"<?xml version='1.0' encoding='none'?><x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    "entities": BOMB,
    "too many elements": packet_of("<a/>" * 200_000),
    "too deep": packet_of("<a>" * 200 + "</a>" * 200),
    "too long": packet_of(" " * (1 << 22)),
    "document type": b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
}


def labels(xmp: bytes) -> list[dict[str, str]]:
    """What any reader of XML finds: the attributes of each description that has one of ours, by local name."""
    found = []
    for node in ElementTree.fromstring(xmp.rstrip(b"\0")).iter(f"{{{RDF}}}Description"):
        if any(name.startswith(f"{{{NAMESPACE}}}") for name in node.attrib):
            found.append({name.rpartition("}")[2]: value for name, value in node.attrib.items()})
            assert node.attrib[f"{{{IPTC}}}DigitalSourceType"]
    return found


@pytest.mark.parametrize("shape", SHAPES | EMPTY_SHAPES)
def test_a_label_is_put_in_once_and_can_be_read(shape: str) -> None:
    source = (SHAPES | EMPTY_SHAPES)[shape]
    xmp = with_label(source, SAID)
    expected = SAID | {"DigitalSourceType": DIGITAL_SOURCE_TYPE}
    about = 'uuid:<ä"' if shape == "about something" else ""
    assert labels(xmp) == [expected | {"about": about}]
    assert label_in(xmp) == expected
    assert with_label(xmp, SAID) == xmp
    newer = with_label(xmp, {"Version": "9", "Bpp": "0.1"})
    assert labels(newer) == [
        {"Version": "9", "Bpp": "0.1", "DigitalSourceType": DIGITAL_SOURCE_TYPE, "about": about}
    ]
    assert with_label(newer, SAID) == xmp


@pytest.mark.parametrize("shape", SHAPES)
def test_everything_else_stays_to_the_byte(shape: str) -> None:
    source = SHAPES[shape]
    xmp = with_label(source, SAID)
    assert without_label(xmp) == source
    start = next(at for at in range(len(source)) if source[at] != xmp[at])
    assert xmp.endswith(source[start:])
    assert label_in(source) == {}
    assert without_label(source) == source


@pytest.mark.parametrize("shape", UNREADABLE)
def test_what_cannot_be_read_gets_no_label(shape: str) -> None:
    source = UNREADABLE[shape]
    assert with_label(source, SAID) is None
    assert without_label(source) == source
    assert label_in(source) == {}


def packet(attributes: str = "", inside: str = "") -> bytes:
    return (
        f"<rdf:RDF xmlns:rdf='{RDF}' xmlns:e='{IPTC}' xmlns:v='{NAMESPACE}' xmlns:dc='dc/'>\n"
        f"<rdf:Description rdf:about='' dc:title=\" e:DigitalSourceType='no'\"{attributes}>{inside}</rdf:Description>\n"
        "</rdf:RDF>"
    ).encode()


@pytest.mark.parametrize(
    "source",
    [
        packet(f" e:DigitalSourceType='{OF_IPTC}digitalCapture'"),
        packet(f'\n\te:DigitalSourceType = "{OF_IPTC}digitalCapture"'),
        packet(inside=f"<e:DigitalSourceType>\n{OF_IPTC}digitalCapture</e:DigitalSourceType>"),
        packet(inside=f"<e:DigitalSourceType rdf:resource='{OF_IPTC}digitalCapture'/>"),
    ],
)
def test_the_source_type_of_a_camera_is_replaced_and_remembered(source: bytes) -> None:
    xmp = with_label(source, SAID)
    assert xmp.count(b"DigitalSourceType=") == 1 + 1
    (found,) = labels(xmp)
    assert found["DigitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert found["DigitalSourceTypeBefore"] == f"{OF_IPTC}digitalCapture"
    assert without_label(xmp) == without_label(source) == packet()
    assert with_label(xmp, SAID) == xmp


@pytest.mark.parametrize("kind", ["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"])
def test_a_picture_that_an_algorithm_made_altogether_stays_one(kind: str) -> None:
    (found,) = labels(with_label(packet(f" e:DigitalSourceType='{OF_IPTC}{kind}'"), SAID))
    assert found["DigitalSourceType"] == OF_IPTC + kind
    assert "DigitalSourceTypeBefore" not in found


def test_source_types_of_other_things_stay() -> None:
    inside = f"<e:ArtworkOrObject><e:DigitalSourceType>{OF_IPTC}digitalArt</e:DigitalSourceType></e:ArtworkOrObject>"
    source = packet(inside=inside)
    xmp = with_label(source, SAID)
    assert inside.encode() in xmp
    assert "DigitalSourceTypeBefore" not in label_in(xmp)
    assert without_label(xmp) == source


def test_a_label_that_another_program_has_moved_is_found_and_replaced() -> None:
    moved = packet(
        f" v:Model='00000000' e:DigitalSourceType='{DIGITAL_SOURCE_TYPE}'",
        "<v:Bpp>0.5</v:Bpp><dc:x>kept</dc:x>",
    )
    assert label_in(moved) == {"Model": "00000000", "Bpp": "0.5", "DigitalSourceType": DIGITAL_SOURCE_TYPE}
    xmp = with_label(moved, SAID)
    assert label_in(xmp) == SAID | {"DigitalSourceType": DIGITAL_SOURCE_TYPE}
    assert without_label(xmp) == packet(inside="<dc:x>kept</dc:x>")


def test_a_source_type_alone_is_no_label() -> None:
    assert label_in(packet(f" e:DigitalSourceType='{DIGITAL_SOURCE_TYPE}'")) == {}


def test_values_are_escaped() -> None:
    said = {"Model": "<&\"'>ü\u2028"}
    assert label_in(with_label(CAMERA.encode(), said)) == said | {"DigitalSourceType": DIGITAL_SOURCE_TYPE}


def test_long_packets_take_no_more_than_their_length() -> None:
    label = f" xmlns:v='{NAMESPACE}' v:Bpp='1'"
    hostile = [
        f"<rdf:Description{label} b=''" + " " * 3_000_000 + "/>",
        f"<rdf:Description{label}/>" * 30_000,
        f"<rdf:Description{label}>" + f"<v:Model xmlns:v='{NAMESPACE}'/>" * 50_000 + "</rdf:Description>",
        f"<rdf:Description{label} b='" + ">" * 3_000_000 + "'/>",
        f"<rdf:Description{label} " + " ".join(f"a{number}=''" for number in range(300_000)) + "/>",
        "<!--" + "<" * 3_000_000 + "-->",
    ]
    for inside in hostile:
        xmp = with_label(packet_of(inside), SAID)
        assert with_label(xmp, SAID) == xmp
        assert label_in(without_label(xmp)) == {}


def test_damage_anywhere_is_no_fault() -> None:
    rng = np.random.default_rng(0)
    whole = with_label(packet("", "<v:Bpp>1</v:Bpp>"), SAID)
    for _ in range(2000):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            data[at] = rng.choice(list(b"<>/\"'= \0:ax&\xff"))
        data = bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.2 else data)
        xmp = with_label(data, SAID)
        label_in(data)
        without_label(data)
        if xmp is not None:
            ElementTree.fromstring(xmp)
            assert with_label(xmp, SAID) == xmp
