import pytest

from mambapose_ros.nodes.localhost import stay_on_this_machine


@pytest.mark.parametrize(
    ("distribution", "variable"),
    [
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),  # of Fast DDS 2.14, which does not read the other one
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_fast_dds_finds_the_profile_under_the_name_that_it_reads(distribution, variable):
    environment = {"ROS_DISTRO": distribution}
    stay_on_this_machine(environment)
    (profile,) = (name for name in environment if name.endswith("_PROFILES_FILE"))
    assert profile == variable
    assert environment[variable].endswith("config/fastdds_localhost.xml")


def test_what_the_user_has_set_stays():
    environment = {"ROS_DISTRO": "jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE": "mine.xml"}
    stay_on_this_machine(environment)
    assert environment["FASTRTPS_DEFAULT_PROFILES_FILE"] == "mine.xml"


@pytest.mark.parametrize(("distribution", "only"), [("humble", "1"), ("jazzy", None)])
def test_other_middleware_stays_on_this_machine_too(distribution, only):
    environment = {"ROS_DISTRO": distribution, "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    stay_on_this_machine(environment)
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert environment.get("ROS_LOCALHOST_ONLY") == only
