"""What a person looks like: shapes on the segments of a body, and their textures, from a seed."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from mambapose_ros.synthetic import textures
from mambapose_ros.synthetic.body import HEAD_BELOW_VERTEX, HEAD_FORWARD, SEGMENT_INDEX, SIDES, Body
from mambapose_ros.synthetic.quadrics import Quadrics, Shape, ellipsoid, limb

SKINS = ((244, 208, 180), (230, 184, 148), (208, 158, 118), (172, 118, 82), (128, 84, 58), (94, 62, 46))
HAIRS = ((38, 28, 24), (70, 46, 30), (112, 76, 44), (186, 146, 88), (150, 148, 146), (120, 52, 28))
SHOES = ((46, 42, 42), (225, 222, 216), (110, 70, 44), (60, 76, 110))

TILES = ("skin", "face", "hair", "shirt", "sleeve", "trousers", "shoe", "sole")
TILE = {name: i for i, name in enumerate(TILES)}


@dataclass(frozen=True)
class Appearance:
    """Surfaces of a person or thing.

    Attributes:
        quadrics: on the segments of a body.
        atlas: textures one under the other, see ``textures.atlas``.
    """

    quadrics: Quadrics
    atlas: np.ndarray

    @classmethod
    def random(cls, body: Body, rng: np.random.Generator) -> Appearance:
        """Clothes, skin and hair drawn from ``rng``, cut to ``body``."""
        tiles, style = _wardrobe(rng)
        shapes = [*_head(body, style), *_trunk(body), *_arms(body, style), *_legs(body, style)]
        return cls(Quadrics.of(shapes), textures.atlas([tiles[name] for name in TILES]))


@dataclass(frozen=True)
class _Style:
    """The cut of hair and clothes."""

    long_hair: bool
    long_sleeves: bool
    shorts: bool


def stool(height: float) -> Appearance:
    """Round wooden stool on the floor of its only segment, behind somebody who stands at the origin."""
    x, radius = -0.43, 0.185
    legs = [
        limb(0, (x + 0.10 * a, 0.10 * b, height - 0.03), (x + 0.15 * a, 0.15 * b, 0.012), (0.016, 0.012), 0)
        for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))
    ]
    top = ellipsoid(0, (x, 0.0, height - 0.02), (radius, radius, 0.03), 1)
    rim = limb(0, (x, 0, height - 0.021), (x, 0, height - 0.045), (radius, radius * 0.97), 0, caps=(False, False))
    under = ellipsoid(0, (x, 0.0, height - 0.045), (radius * 0.97, radius * 0.97, 0.008), 0)
    rng = np.random.default_rng(0)
    wood, cushion = textures.plain((150, 106, 66), rng, 0.1), textures.cloth((150, 62, 52), rng)
    return Appearance(Quadrics.of([*legs, top, rim, under]), textures.atlas([wood, cushion]))


def _wardrobe(rng: np.random.Generator) -> tuple[dict[str, np.ndarray], _Style]:
    skin, hair, shoe = (np.array(p[rng.integers(len(p))], float) for p in (SKINS, HAIRS, SHOES))
    shirt_hue = rng.uniform()
    shirt = _hsv(shirt_hue, rng.uniform(0.35, 0.8), rng.uniform(0.55, 0.92))
    accent = _hsv(shirt_hue + rng.uniform(0.3, 0.7), rng.uniform(0.1, 0.5), rng.uniform(0.8, 1.0))
    trousers = _hsv(rng.choice([0.6, 0.61, 0.09, 0.0]), rng.uniform(0.08, 0.5), rng.uniform(0.28, 0.58))
    style = _Style(*(bool(rng.uniform() < share) for share in (0.45, 0.4, 0.25)))

    sleeve = textures.cloth(shirt, rng)
    pattern = rng.integers(3)
    front = textures.cloth(shirt, rng)
    if pattern == 1:
        front = textures.striped(front, accent, stripes=9, width=0.4)
    elif pattern == 2:
        front = textures.checked(front, accent, around=14, along=8)
    front = textures.ending(sleeve, front, 0.30)  # Patterned from under the arms down.
    tiles = {
        "skin": textures.plain(skin, rng),
        "face": textures.face(skin, hair, rng),
        "hair": textures.cloth(hair, rng, weave=0.10, folds=0.08),
        "shirt": front,
        "sleeve": sleeve,
        "trousers": textures.cloth(trousers, rng),
        "shoe": textures.cloth(shoe, rng, weave=0.02, folds=0.03),
        "sole": textures.plain((235, 232, 226) if shoe.mean() < 150 else (90, 86, 84), rng),
    }
    return tiles, style


def _hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    return 255.0 * np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def _head(body: Body, style: _Style) -> list[Shape]:
    segment, s = SEGMENT_INDEX["head"], body.scale
    x, top = HEAD_FORWARD, body.head + HEAD_BELOW_VERTEX
    skull, chin = top - 0.088 * s, top - 0.176 * s
    shapes = [
        limb(segment, (-0.020, 0, -0.05), (x - 0.016, 0, chin), (0.054 * s, 0.050 * s), TILE["skin"]),
        limb(
            segment,
            (x - 0.004, 0, skull),
            (x + 0.016, 0, chin),
            (0.088 * s, 0.055 * s),
            TILE["face"],
            stretch=(1.08, 0.88),
        ),
        limb(
            segment,
            (x + 0.079 * s, 0, top - 0.118 * s),
            (x + 0.089 * s, 0, top - 0.148 * s),
            (0.007, 0.0125),
            TILE["skin"],
        ),
        ellipsoid(segment, (x - 0.014, 0, skull + 0.014 * s), (0.100 * s, 0.087 * s, 0.092 * s), TILE["hair"]),
    ]
    shapes += [
        ellipsoid(segment, (x - 0.006, y * 0.077 * s, top - 0.128 * s), (0.017, 0.009, 0.029), TILE["skin"])
        for y in SIDES.values()
    ]
    if style.long_hair:
        shapes.append(
            limb(
                segment,
                (x - 0.045, 0, top - 0.10 * s),
                (x - 0.062, 0, top - 0.275 * s),
                (0.068 * s, 0.044 * s),
                TILE["hair"],
                stretch=(0.85, 1.25),
            )
        )
    return shapes


def _trunk(body: Body) -> list[Shape]:
    trunk, pelvis = SEGMENT_INDEX["trunk"], SEGMENT_INDEX["pelvis"]
    s, g = body.scale, body.flesh
    top, shoulder = body.trunk, body.trunk - body.shoulder_drop
    chest, waist, hem = top - 0.128 * s, 0.15 * s, 0.005 * s
    shapes = [
        limb(trunk, (-0.012, 0, chest), (0.002, 0, waist), (0.114 * g, 0.097 * g), TILE["shirt"], stretch=(1.0, 1.42)),
        limb(
            trunk,
            (0.002, 0, waist),
            (-0.002, 0, hem),
            (0.097 * g, 0.124 * g),
            TILE["sleeve"],
            stretch=(1.02, 1.42),
            caps=(False, False),
        ),
        ellipsoid(
            trunk, (-0.014, 0, shoulder - 0.012 * s), (0.080 * g, 1.14 * body.shoulder, 0.068 * g), TILE["sleeve"]
        ),
        # The muscles from the neck to the shoulders, under the collar.
        ellipsoid(trunk, (-0.020, 0, top - 0.022 * s), (0.066 * g, 0.120 * s, 0.058 * s), TILE["sleeve"]),
        limb(
            trunk,
            (-0.016, 0, top + 0.030 * s),
            (-0.012, 0, top - 0.05 * s),
            (0.057 * s, 0.084 * s),
            TILE["sleeve"],
            caps=(False, False),
        ),
        ellipsoid(pelvis, (-0.004, 0, 0.03 * s), (0.108 * g, 0.156 * g, 0.120 * g), TILE["trousers"]),
    ]
    shapes += [
        ellipsoid(pelvis, (-0.026 * s, y * 0.070 * s, -0.045 * s), (0.084 * g, 0.084 * g, 0.092 * g), TILE["trousers"])
        for y in SIDES.values()
    ]
    return shapes


def _arms(body: Body, style: _Style) -> list[Shape]:
    s, g = body.scale, body.flesh
    shapes = []
    for side, y in SIDES.items():
        upper, fore = SEGMENT_INDEX[f"{side}_upper_arm"], SEGMENT_INDEX[f"{side}_forearm"]
        elbow, wrist = (0.0, 0.0, -body.upper_arm), (0.0, 0.0, -body.forearm)
        loose, tile = (1.14, TILE["sleeve"]) if style.long_sleeves else (1.0, TILE["skin"])
        start = (0.0, -0.010 * y, -0.012)
        shapes += [
            limb(upper, start, elbow, (0.058 * g, 0.040 * g * loose), tile),
            limb(fore, (0.0, 0.0, 0.0), wrist, (0.040 * g * loose, 0.027 * g * loose), tile),
            ellipsoid(fore, (0.0, 0.004 * y, -0.075 * s), (0.041 * g, 0.038 * g, 0.080 * s), tile),
        ]
        if not style.long_sleeves:
            hem = (0.0, 0.0, -0.55 * body.upper_arm)
            shapes += [
                limb(upper, start, hem, (0.061 * g, 0.057 * g), TILE["sleeve"], caps=(True, False)),
                ellipsoid(upper, hem, (0.057 * g, 0.057 * g, 0.009), TILE["sleeve"]),
            ]
        shapes += _hand(body, fore, y)
    return shapes


def _hand(body: Body, segment: int, y: float) -> list[Shape]:
    """Palm, slightly bent fingers and thumb of a hand whose palm faces the thigh."""
    wrist, hand = -body.forearm, body.hand
    knuckles = (0.004, -0.004 * y, wrist - 0.50 * hand)
    shapes = [
        limb(segment, (0.0, 0.0, wrist), knuckles, (0.024, 0.027), TILE["skin"], stretch=(1.35, 0.62)),
        limb(
            segment,
            (0.022, -0.008 * y, wrist - 0.12 * hand),
            (0.046, -0.018 * y, wrist - 0.50 * hand),
            (0.013, 0.009),
            TILE["skin"],
        ),
    ]
    for x, reach in ((0.025, 0.88), (0.009, 0.97), (-0.008, 0.93), (-0.023, 0.80)):
        tip = (0.8 * x + 0.004, -0.020 * y, wrist - (reach - 0.05) * hand)
        shapes.append(limb(segment, (x + 0.004, -0.005 * y, knuckles[2]), tip, (0.0105, 0.008), TILE["skin"]))
    return shapes


def _legs(body: Body, style: _Style) -> list[Shape]:
    s, g = body.scale, body.flesh
    loose, tile = (1.0, TILE["skin"]) if style.shorts else (1.12, TILE["trousers"])
    shapes = []
    for side, y in SIDES.items():
        thigh, shank, foot = (SEGMENT_INDEX[f"{side}_{name}"] for name in ("thigh", "shank", "foot"))
        hip, knee, ankle = (-0.004, -0.008 * y, 0.0), (0.0, 0.0, -body.thigh), (0.0, 0.0, -body.shank)
        shapes += [
            limb(thigh, hip, knee, (0.095 * g, 0.055 * g * loose), tile),
            ellipsoid(shank, (-0.016, 0.0, -0.12 * s), (0.050 * g, 0.050 * g, 0.11 * s), tile),
        ]
        if style.shorts:
            hem = (0.0, 0.0, -0.68 * body.thigh)
            shapes += [
                limb(shank, (0.0, 0.0, 0.0), ankle, (0.055 * g, 0.038 * g), tile),
                limb(thigh, hip, hem, (0.100 * g, 0.082 * g), TILE["trousers"], caps=(True, False)),
                ellipsoid(thigh, hem, (0.082 * g, 0.082 * g, 0.010), TILE["trousers"]),
            ]
        else:
            hem = (0.0, 0.0, -body.shank - 0.012)
            shapes += [
                limb(shank, (0.0, 0.0, 0.0), hem, (0.055 * g * loose, 0.053 * g), tile, caps=(True, False)),
                ellipsoid(shank, hem, (0.053 * g, 0.053 * g, 0.010), tile),
            ]
        shapes += _shoe(body, foot)
    return shapes


def _shoe(body: Body, segment: int) -> list[Shape]:
    heel, toe, floor = -body.heel + 0.022, 0.75 * body.foot - 0.03, -body.ankle
    sole = floor + 0.012
    return [
        limb(
            segment, (heel + 0.012, 0.0, floor + 0.046), (0.55 * toe, 0.0, floor + 0.042), (0.037, 0.036), TILE["shoe"]
        ),
        limb(
            segment,
            (0.45 * toe, 0.0, floor + 0.040),
            (toe, 0.0, floor + 0.034),
            (0.040, 0.027),
            TILE["shoe"],
            stretch=(1.0, 1.15),
        ),
        limb(segment, (0.004, 0.0, -0.005), (0.02, 0.0, floor + 0.045), (0.038, 0.040), TILE["shoe"]),
        limb(segment, (heel, 0, sole), (0.6 * toe, 0, sole), (0.012, 0.012), TILE["sole"], stretch=(1.0, 3.1)),
        limb(segment, (0.5 * toe, 0, sole), (toe, 0, sole), (0.012, 0.009), TILE["sole"], stretch=(1.0, 3.5)),
    ]
