import json

import pytest

from mambapose_ros.weights import WeightsError
from mambapose_ros.weights.transformers_folder import read_config

WHOLE = {"model_type": "rt_detr", "backbone": None, "backbone_config": {"model_type": "rt_detr_resnet"}}


def test_settings_of_a_whole_network_are_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(WHOLE))
    assert read_config(tmp_path) == WHOLE


@pytest.mark.parametrize(
    "lacking",
    [
        {"backbone": "someone/resnet", "backbone_config": None, "use_pretrained_backbone": True},
        {"backbone_config": {"model_type": "timm_backbone", "backbone": "resnet18"}},
    ],
)
def test_a_network_of_which_a_part_is_on_the_hub_is_refused(tmp_path, lacking):
    (tmp_path / "config.json").write_text(json.dumps({**WHOLE, **lacking}))
    with pytest.raises(WeightsError, match=r"config\.json.*backbone '.*resnet.*' is elsewhere"):
        read_config(tmp_path)


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_what_is_no_settings_is_refused_by_name(tmp_path, text):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json: expected the settings"):
        read_config(tmp_path)
