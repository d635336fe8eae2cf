"""Colours of lines: the baselines' own on white paper, the same hue and lighter on dark paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Rgb = tuple[float, float, float]
_LAGS = ("#2f6690", "#6a5d9e", "#9c4a86", "#bd3f5c", "#c8501e")
"""From fresh to old: apart to every kind of eye, in lightness or in hue."""


def ramp(count: int) -> list[str]:
    """Colours of so many values of the axis, from the first to the last."""
    if count == 1:
        return [_LAGS[0]]
    places = [i / (count - 1) * (len(_LAGS) - 1) for i in range(count)]
    return [_mixed(_LAGS, place) for place in places]


def name(colour: str) -> str:
    """The class of what has a colour."""
    return f"c-{colour.lstrip('#').lower()}"


def rules(colours: Iterable[str]) -> str:
    """A style sheet's rules of those classes, for light and dark."""
    used = sorted(set(colours))
    light = "\n".join(f".{name(one)} {{ color: {one.lower()}; }}" for one in used)
    dark = "\n".join(f"  .{name(one)} {{ color: {lifted(one)}; }}" for one in used)
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def lifted(colour: str) -> str:
    """The colour for dark paper: the same hue, as light as it was dark, by Oklab."""
    lightness, a, b = _to_oklab(_read(colour))
    lifted_ = max(lightness, 1 - 0.55 * lightness)
    for share in range(20, -1, -1):  # less of the hue until it is a colour that a screen has
        found = _from_oklab((lifted_, a * share / 20, b * share / 20))
        if all(-1e-9 <= x <= 1 + 1e-9 for x in found):
            break
    return _write(found)


def _mixed(colours: Sequence[str], place: float) -> str:
    i = min(int(place), len(colours) - 2)
    low, high = _to_oklab(_read(colours[i])), _to_oklab(_read(colours[i + 1]))
    share = place - i
    l, a, b = (x + share * (y - x) for x, y in zip(low, high, strict=True))  # noqa: E741
    return _write(_from_oklab((l, a, b)))


def _read(colour: str) -> Rgb:
    """Linear light, 0 to 1."""
    r, g, b = (_linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return r, g, b


def _write(rgb: Rgb) -> str:
    return "#" + "".join(f"{round(255 * _gamma(min(max(x, 0.0), 1.0))):02x}" for x in rgb)


def _linear(x: float) -> float:
    return float(x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4)


def _gamma(x: float) -> float:
    return float(12.92 * x if x <= 0.0031308 else 1.055 * x ** (1 / 2.4) - 0.055)


# Björn Ottosson, "A perceptual color space for image processing", 2020.
def _to_oklab(rgb: Rgb) -> Rgb:
    r, g, b = rgb
    l = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)  # noqa: E741
    m = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    s = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
        1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
        0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s,
    )


def _from_oklab(lab: Rgb) -> Rgb:
    lightness, a, b = lab
    l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3  # noqa: E741
    m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    s = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
        -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
        -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
    )
