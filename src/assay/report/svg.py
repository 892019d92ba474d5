"""A Vega-Lite chart as SVG that may stand inside an HTML page. Knows nothing of what it shows.

The drawing is parsed and written again with only the elements and attributes of a short list, so that no
script, link, style or event handler can pass, whatever text the data holds. Descriptions of marks become
`<title>`, which browsers show as tooltips without any script.
"""

import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

import altair as alt
import vl_convert

_SVG = "http://www.w3.org/2000/svg"
_SHAPES = {"path", "rect", "line", "circle", "text", "tspan"}
_ELEMENTS = _SHAPES | {"svg", "g", "defs", "clipPath"}
_ATTRIBUTES = {
    "viewBox", "width", "height", "transform", "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r",
    "rx", "ry", "dx", "dy", "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity",
    "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "opacity", "text-anchor",
    "font-size", "font-weight", "font-style", "font-family", "clip-path", "id",
}  # fmt: skip
_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_REFERENCE = re.compile(r"^url\(#(\w+)\)$")

ET.register_namespace("", _SVG)


def draw(specification: dict[str, Any], name: str, title: str) -> str:
    """Standalone SVG of a Vega-Lite specification.

    `name` makes its ids unique in a page; `title` is read aloud in place of the picture. Needs no network.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        drawing = vl_convert.vegalite_to_svg(specification, vl_version=_vega_lite_version())
    return clean(drawing, name, title)


def clean(drawing: str, name: str, title: str) -> str:
    """`drawing` with only known elements and attributes, own ids, short numbers and titles."""
    source = ET.fromstring(drawing)
    identifiers = [element.get("id", "") for element in source.iter() if element.get("id")]
    names = {old: f"{name}-{index + 1}" for index, old in enumerate(identifiers)}
    root = _copy(source, names)
    if root is None:
        raise ValueError("the drawing holds nothing that may be shown")
    heading = ET.Element(f"{{{_SVG}}}title")
    heading.text = title
    root.insert(0, heading)
    root.set("role", "img")
    return ET.tostring(root, encoding="unicode")


def inline(drawing: str) -> str:
    """The drawing for a page: as wide as its place, height by its view box."""
    head, rest = drawing.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    return f'{head} class="chart">{rest}'


def _copy(source: ET.Element, names: Mapping[str, str]) -> ET.Element | None:
    tag = source.tag.removeprefix(f"{{{_SVG}}}")
    if tag not in _ELEMENTS or source.get("display") == "none" or _is_empty_shape(tag, source):
        return None
    element = ET.Element(f"{{{_SVG}}}{tag}")
    for key, value in source.attrib.items():
        if key in _ATTRIBUTES:
            element.set(key, _attribute(key, value, names))
    element.text = source.text
    if tag in _SHAPES and source.get("aria-label"):
        tooltip = ET.SubElement(element, f"{{{_SVG}}}title")
        tooltip.text = source.get("aria-label")
    for child in source:
        copied = _copy(child, names)
        if copied is not None:
            element.append(copied)
            copied.tail = child.tail
    if tag == "g" and not len(element):
        return None
    return element


def _is_empty_shape(tag: str, source: ET.Element) -> bool:
    """Vega writes an empty background path for every group."""
    return tag == "path" and source.get("d", "") in ("", "M0,0h0v0h0Z")


def _attribute(key: str, value: str, names: Mapping[str, str]) -> str:
    if key == "id":
        return names[value]
    reference = _REFERENCE.match(value)
    if reference and reference.group(1) in names:
        return f"url(#{names[reference.group(1)]})"
    if "url(" in value.lower():
        return "none"
    return _NUMBER.sub(lambda match: f"{float(match.group()):.2f}".rstrip("0").rstrip("."), value)


def _vega_lite_version() -> str | None:
    """The version altair writes, where the converter says it has it; else the converter's own newest."""
    known = getattr(vl_convert, "get_vegalite_versions", tuple)  # not yet in vl-convert 1.6
    wanted = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return wanted if wanted in known() else None
