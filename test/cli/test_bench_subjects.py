from itertools import islice

import numpy as np
import pytest

from mambapose_ros.cli.bench_subjects import RATE, SUBJECTS, play, record
from mambapose_ros.perception.pipeline import PipelineOptions

OPTIONS = PipelineOptions(device="cpu")


@pytest.fixture(scope="module")
def shots():
    return {people: record(people) for people in (1, 4)}


def process(subject, shots, count):
    """What the subject answers to so many shots."""
    loaded = subject.load(OPTIONS)
    return [loaded.process(shot) for shot in islice(play(shots[subject.people]), count)]


def named(name):
    return next(subject for subject in SUBJECTS if subject.name == name)


def test_a_recording_repeats_without_a_jump(shots):
    two_periods = list(islice(play(shots[1]), 2 * len(shots[1])))
    stamps = np.array([shot.frame.stamp_ns for shot in two_periods])
    np.testing.assert_allclose(np.diff(stamps), 1e9 / RATE, atol=1.0)
    steps = np.diff(np.stack([shot.people[0].xy for shot in two_periods]), axis=0)
    np.testing.assert_allclose(steps[len(shots[1]) - 1], -steps[0])  # back to where it began, and on from there


def test_flow_belongs_to_the_images_also_on_the_way_back(shots):
    errors, still = [], []
    for before, now in zip(shots[1], shots[1][1:], strict=False):
        moved = now.people[0].xy - before.people[0].xy
        there = np.isfinite(moved).all(axis=1)
        x, y = now.people[0].xy[there].round().astype(int).T
        errors.append(np.linalg.norm(now.flow[y, x] - moved[there], axis=1))
        still.append(np.linalg.norm(moved[there], axis=1))
    assert np.median(np.concatenate(errors)) < 0.6 * np.median(np.concatenate(still))


@pytest.mark.parametrize("subject", [s for s in SUBJECTS if s.name.startswith("lifter")], ids=lambda s: f"{s.people}")
def test_the_lifter_lifts_everybody(shots, subject):
    assert [len(lifted.skeletons) for lifted in process(subject, shots, 3)] == [subject.people] * 3


def test_the_tracker_keeps_the_person(shots):
    ids = {person.id for people in process(named("tracker"), shots, 2 * len(shots[1])) for person in people}
    assert len(ids) == 1


def test_the_pipeline_finds_and_lifts_the_person(shots):
    results = process(named("pipeline"), shots, 5)
    assert all(not result.reset_reason for result in results)
    assert [len(result.lifted.skeletons) for result in results] == [1] * 5


def test_the_baseline_answers_with_heatmaps(shots):
    assert process(named("ViTPose-B"), shots, 1)[0].shape == (1, 17, 64, 48)
