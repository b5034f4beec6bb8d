import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.nodes.stamp_join import KEPT, RECENT, Joined, StampJoin

TIMEOUT_S = 0.1
PERIOD_S = 1 / 30


def taken(join: StampJoin, now_s: float) -> list[Joined]:
    """All that is ready."""
    result = []
    while (joined := join.take(now_s)) is not None:
        result.append(joined)
    return result


class Schedule:
    """Messages that arrive at given times, and what a join makes of them that is asked whenever a wait ends.

    Args:
        primaries: (arrival, stamp).
        partners: name -> (arrival, stamp).
    """

    def __init__(self, primaries, partners, timeout_s=TIMEOUT_S) -> None:
        self.join = StampJoin(tuple(partners), timeout_s)
        self._due = sorted(at + timeout_s for at, _ in primaries)
        events = [(at, 0, stamp, None) for at, stamp in primaries]
        events += [(at, 1, stamp, name) for name, stream in partners.items() for at, stamp in stream]
        self.came = {stamp: at for at, stamp in primaries}
        self.given: list[tuple[float, Joined]] = []
        for at, _, stamp, name in sorted(events, key=lambda event: event[:3]):
            self._wake_until(at)
            if name is None:
                self.join.put(at, stamp, f"primary {stamp}")
            else:
                self.join.put_partner(at, name, stamp, f"{name} {stamp}")
            self._take(at)
        self._wake_until(float("inf"))

    def _wake_until(self, at: float) -> None:
        while self._due and self._due[0] <= at:
            self._take(self._due.pop(0))

    def _take(self, at: float) -> None:
        self.given += [(at, joined) for joined in taken(self.join, at)]

    def without(self, name: str) -> list[int]:
        """Stamps of the primaries that went on without this partner."""
        return [joined.stamp_ns for _, joined in self.given if name not in joined.partners]


def stream(delays, stamps=None):
    """(arrival, stamp) of messages that are made once a period and under way for these seconds, in order."""
    result, last = [], 0.0
    for index, delay in enumerate(delays):
        last = max(last, index * PERIOD_S + delay)
        result.append((last, index if stamps is None else stamps[index]))
    return result


delays_below_the_timeout = st.lists(st.floats(0.0, 0.05), min_size=30, max_size=30)


@given(delays_below_the_timeout, delays_below_the_timeout, delays_below_the_timeout)
def test_whatever_comes_in_time_is_joined_in_any_order_of_arrival(primary, flow, depth):
    run = Schedule(stream(primary), {"flow": stream(flow), "depth": stream(depth)})
    assert [joined.stamp_ns for _, joined in run.given] == list(range(30))
    for _, joined in run.given:
        assert joined.primary == f"primary {joined.stamp_ns}"
        assert joined.partners == {name: f"{name} {joined.stamp_ns}" for name in ("flow", "depth")}
    assert not run.join.missing
    assert not run.join.late
    assert not run.join.silent


@given(
    st.lists(st.floats(0.0, 0.3), min_size=20, max_size=20),
    st.lists(st.tuples(st.floats(0.0, 0.4), st.booleans()), min_size=20, max_size=20),
    st.lists(st.tuples(st.floats(0.0, 0.4), st.booleans()), min_size=20, max_size=20),
)
def test_late_and_missing_partners_hold_nobody_up_for_longer_than_the_timeout(primary, flow, depth):
    partners = {}
    for name, fate in (("flow", flow), ("depth", depth)):
        sent = stream([delay for delay, _ in fate])
        partners[name] = [message for message, (_, lost) in zip(sent, fate, strict=True) if not lost]
    run = Schedule(stream(primary), partners)
    stamps = [joined.stamp_ns for _, joined in run.given]
    assert stamps == sorted(set(stamps))
    assert len(stamps) == 20
    for at, joined in run.given:
        assert at <= run.came[joined.stamp_ns] + TIMEOUT_S + 1e-9
        assert all(value == f"{name} {joined.stamp_ns}" for name, value in joined.partners.items())
    for name in partners:
        assert run.join.missing[name] == len(run.without(name))


def test_a_partner_that_was_passed_over_is_not_waited_for():
    flow = [message for message in stream([0.05] * 10) if message[1] != 4]
    run = Schedule(stream([0.0] * 10), {"flow": flow})
    assert run.without("flow") == [4]
    ((at, _),) = [given for given in run.given if given[1].stamp_ns == 4]
    assert at == pytest.approx(5 * PERIOD_S + 0.05)  # when flow 5 came, not at the timeout


def test_a_partner_that_is_cut_off_costs_one_timeout_and_is_joined_again_when_it_returns():
    flow = [message for message in stream([0.03] * 60) if not 20 <= message[1] < 40]
    run = Schedule(stream([0.0] * 60), {"flow": flow})
    waits = {joined.stamp_ns: at - run.came[joined.stamp_ns] for at, joined in run.given}
    assert waits[20] == pytest.approx(TIMEOUT_S)
    # Those that came during that wait were given out with it; the ones after it did not wait.
    assert all(waits[stamp] == 0 for stamp in range(24, 41) if stamp in waits)
    # The first message after the gap is late for its own image, and makes the next ones wait.
    assert set(run.without("flow")) <= set(range(20, 41))
    assert run.join.late["flow"] == 1
    assert not run.join.silent


def test_a_partner_that_always_comes_too_late_is_not_waited_for_again_and_again():
    run = Schedule(stream([0.0] * 60), {"depth": stream([0.25] * 60)})
    waits = [at - run.came[joined.stamp_ns] for at, joined in run.given]
    assert sum(wait > 0 for wait in waits) <= TIMEOUT_S / PERIOD_S + 1
    assert run.join.silent == ("depth",)
    assert run.join.late["depth"] > 40


def test_a_partner_that_returns_before_its_primaries_is_waited_for_again():
    flow = [(5 * PERIOD_S - 0.01, 5), (6 * PERIOD_S + 0.05, 6)]  # after a silence, ahead, and then behind
    run = Schedule(stream([0.0] * 7), {"flow": flow})
    assert run.without("flow") == [0, 1, 2, 3, 4]


def test_partners_that_nobody_asks_for_are_passed_over():
    run = Schedule(stream([0.0] * 4, stamps=[0, 3, 6, 9]), {"flow": [(i * PERIOD_S / 3, i) for i in range(10)]})
    assert not run.join.missing
    assert not run.join._streams["flow"].values


def test_buffers_are_bounded_and_a_long_timeout_starves_nobody():
    join = StampJoin(["flow"], 10.0)
    given = []
    for stamp in range(1000):
        join.put_partner(0.0, "flow", -2000 + stamp, b"")  # never asked for
        join.put(stamp * PERIOD_S, stamp, b"")
        given += taken(join, stamp * PERIOD_S)
        assert len(join._waiting) <= KEPT
        assert len(join._streams["flow"].values) <= KEPT
        assert len(join._given) <= KEPT
    assert [joined.stamp_ns for joined in given] == list(range(len(given)))
    assert len(given) > 900


@pytest.mark.parametrize("first", ["primary", "partner"])
def test_a_bag_that_starts_again_is_joined_as_before(first):
    lead = {"primary": (0.0, 0.02), "partner": (0.02, 0.0)}[first]
    stamps = [10 * (i % 15) for i in range(45)]
    run = Schedule(
        [(i * PERIOD_S + lead[0], stamp) for i, stamp in enumerate(stamps)],
        {"flow": [(i * PERIOD_S + lead[1], stamp) for i, stamp in enumerate(stamps)]},
    )
    assert [joined.stamp_ns for _, joined in run.given] == stamps
    assert not run.without("flow")


def test_partners_of_before_a_bag_started_again_are_not_joined():
    join = StampJoin(["flow"], TIMEOUT_S)
    for stamp in (5, 6, 7, 0, 5, 7):  # 6 is lost when the bag runs for the second time
        join.put_partner(0.0, "flow", stamp, f"flow {stamp}")
    join.put(0.0, 5, "")
    join.put(0.0, 6, "")
    assert [joined.partners for joined in taken(join, 0.0)] == [{"flow": "flow 5"}, {}]


def test_without_partners_everything_is_ready_at_once():
    run = Schedule(stream([0.0] * 5), {})
    assert [at for at, _ in run.given] == [i * PERIOD_S for i in range(5)]


def test_a_negative_timeout_and_an_unknown_partner_are_refused():
    with pytest.raises(ValueError, match="expected a timeout of 0 seconds or more, got -1"):
        StampJoin([], -1)
    with pytest.raises(KeyError):
        StampJoin(["flow"], 0.1).put_partner(0.0, "depth", 0, None)


def test_partners_of_other_stamps_are_not_silent_but_rarely_joined():
    join = StampJoin(["flow"], TIMEOUT_S)
    assert join.joined_share("flow") is None  # too early to tell
    for index in range(RECENT):
        join.put(index * PERIOD_S, 2 * index, "keypoints")
        join.put_partner(index * PERIOD_S, "flow", 2 * index + 1, "flow")
        while join.take(index * PERIOD_S):
            pass
    assert join.silent == ()
    assert join.joined_share("flow") == 0.0
    for index in range(RECENT, RECENT + RECENT // 2):
        join.put(index * PERIOD_S, 2 * index, "keypoints")
        join.put_partner(index * PERIOD_S, "flow", 2 * index, "flow")
        while join.take(index * PERIOD_S):
            pass
    assert join.joined_share("flow") == pytest.approx(0.5, abs=0.02)


def test_a_partner_that_was_cut_off_is_judged_by_what_comes_after():
    join = StampJoin(["flow"], TIMEOUT_S)

    def send(stamps: range, flow: bool) -> None:
        for stamp in stamps:
            now_s = stamp * PERIOD_S
            join.put(now_s, stamp, "keypoints")
            if flow:
                join.put_partner(now_s, "flow", stamp, "flow")
            while join.take(now_s):
                pass

    send(range(RECENT), flow=True)
    send(range(RECENT, 2 * RECENT), flow=False)
    assert join.silent == ("flow",)
    send(range(2 * RECENT, 3 * RECENT), flow=True)
    assert join.silent == ()
    assert join.joined_share("flow") > 0.9
