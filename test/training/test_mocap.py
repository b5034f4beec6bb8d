import json

import numpy as np
import pytest

from mambapose_ros.training.mocap import MocapError, MotionSequence, load_folder, load_npz, select_split


def write(path, **changes):
    """A small file of two sequences of two subjects."""
    rng = np.random.default_rng(0)
    content = {
        "rel": rng.normal(size=(7, 17, 3)).astype(np.float16),
        "root": rng.normal(size=(7, 3)).astype(np.float32),
        "extra": rng.normal(size=(7, 3, 3)).astype(np.float16),
        "start": np.array([0, 3]),
        "length": np.array([3, 4]),
        "fps": np.float32(30.0),
        "index": json.dumps(
            [{"name": "one", "subject": "a", "split": "train"}, {"name": "two", "subject": "b", "split": "val"}]
        ),
    } | changes
    np.savez(path, **{name: value for name, value in content.items() if value is not None})
    return content


def test_reads_sequences(tmp_path):
    content = write(tmp_path / "some.npz")
    one, two = load_npz(tmp_path / "some.npz")
    assert (one.name, one.subject, one.split, one.fps) == ("one", "a", "train", 30.0)
    assert two.joints.shape == (4, 17, 3)
    expected = content["rel"].astype(np.float32) + content["root"][:, None]
    np.testing.assert_array_equal(two.joints, expected[3:])
    np.testing.assert_array_equal(one.head_forward, content["extra"][:3, 0].astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"root": None}, "root"),
        ({"rel": np.zeros((7, 16, 3))}, r"rel to have shape \(7, 17, 3\)"),
        ({"length": np.array([3, 5])}, "inside 7 frames"),
        ({"start": np.array([0])}, "same number"),
        ({"index": "no json"}, "JSONDecodeError"),
        ({"index": "[]", "start": np.array([], int), "length": np.array([], int)}, "at least one, inside 7 frames"),
        ({"index": json.dumps([{"name": "one"}, {}])}, "name, subject and split"),
        ({"root": np.full((7, 3), np.nan)}, "finite"),
    ],
)
def test_bad_files_are_named_with_what_was_expected(tmp_path, changes, told):
    write(tmp_path / "bad.npz", **changes)
    with pytest.raises(MocapError, match=told):
        load_npz(tmp_path / "bad.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"text"])
def test_garbage_is_refused(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(MocapError, match=r"bad\.npz"):
        load_npz(tmp_path / "bad.npz")


def test_missing_files_and_splits_are_named(tmp_path):
    with pytest.raises(MocapError, match="found none"):
        load_folder(tmp_path)
    write(tmp_path / "some.npz")
    with pytest.raises(MocapError, match="'test'"):
        select_split(load_folder(tmp_path), "test")


def test_a_subject_in_two_splits_is_refused(tmp_path):
    index = [{"name": name, "subject": "a", "split": split} for name, split in (("one", "train"), ("two", "val"))]
    write(tmp_path / "some.npz", index=json.dumps(index))
    with pytest.raises(MocapError, match="split by subject"):
        load_folder(tmp_path)


def test_a_sequence_of_the_wrong_shape_is_refused():
    with pytest.raises(MocapError, match="expected joints"):
        MotionSequence("one", "a", "train", 30.0, np.zeros((5, 16, 3)), np.zeros((5, 3)))


def test_recorded_people_are_people(recorded):
    assert len(recorded) == 222
    assert len(select_split(recorded, "val")) == 18
    head = np.concatenate([sequence.head_forward for sequence in recorded])
    np.testing.assert_allclose(np.linalg.norm(head, axis=1), 1.0, atol=2e-3)
