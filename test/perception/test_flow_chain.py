import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.perception.flow_chain import StampedFlow, chain_flow


def uniform(stamp_ns: int, since_ns: int, x: float, y: float, shape=(12, 16)) -> StampedFlow:
    return StampedFlow(stamp_ns, since_ns, np.full((*shape, 2), (x, y), np.float32))


def test_one_link_is_given_as_it_is():
    link = uniform(2, 1, 3.0, 4.0)
    assert chain_flow([uniform(1, 0, 1.0, 1.0), link], 1, 2) is link.values


@given(
    ways=st.lists(st.tuples(st.floats(-2, 2, width=32), st.floats(-2, 2, width=32)), min_size=1, max_size=4),
    order=st.randoms(),
)
def test_uniform_motion_adds_up_in_the_middle_and_is_unknown_where_it_leaves_the_image(ways, order):
    links = [uniform(i + 1, i, *way, shape=(40, 40)) for i, way in enumerate(ways)]
    order.shuffle(links)
    total = chain_flow(links, 0, len(ways))
    assert total.shape == (40, 40, 2)
    assert total.dtype == np.float32
    np.testing.assert_allclose(total[20, 20], np.sum(ways, axis=0), atol=1e-4)
    # Where the point was in the earliest image but one; the links are uniform, so ways there are straight.
    place = np.stack(np.meshgrid(np.arange(40.0), np.arange(40.0)), axis=-1)
    left = np.zeros((40, 40), bool)
    for way in ways[:0:-1]:
        place -= way
        left |= ((place < -0.52) | (place > 39.52)).any(axis=2)
    assert np.isnan(total[left]).all()


def test_earlier_flow_is_read_where_the_point_was():
    # A turn by 3 degrees about (60, 50), once, and then a shift.
    y, x = np.mgrid[:100, :120].astype(np.float32)
    cos, sin = np.cos(np.radians(3)), np.sin(np.radians(3))
    was_x, was_y = 60 + cos * (x - 60) + sin * (y - 50), 50 - sin * (x - 60) + cos * (y - 50)
    turn = StampedFlow(1, 0, np.stack([x - was_x, y - was_y], axis=-1))
    total = chain_flow([turn, uniform(2, 1, 8.0, -5.0, (100, 120))], 0, 2)
    # (30, 40) was at (22, 45), and before the turn at:
    before = (60 + cos * (22 - 60) + sin * (45 - 50), 50 - sin * (22 - 60) + cos * (45 - 50))
    np.testing.assert_allclose(total[40, 30], np.subtract((30, 40), before), atol=0.01)


@pytest.mark.parametrize(
    "flows",
    [
        [],
        [uniform(4, 3, 0, 0), uniform(2, 1, 0, 0)],
        [uniform(3, 2, 0, 0), uniform(2, 1, 0, 0)],
        [uniform(4, 3, 0, 0), uniform(3, 2, 0, 0)],
        [uniform(4, 0, 0, 0)],
        [uniform(4, 3, 0, 0), uniform(3, 3, 0, 0)],
        [uniform(4, 3, 0, 0), uniform(3, 1, 0, 0, (6, 8))],
    ],
    ids=["none", "one between missing", "last missing", "first missing", "too far", "in a circle", "other grid"],
)
def test_what_does_not_link_gives_none(flows):
    assert chain_flow(flows, 1, 4) is None
