# Source this: puts .venv/ and, once built, install/ in front of the shell's paths. `make build` makes both.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="$root/.venv/bin:$PATH"
if [ -z "${ROS_DISTRO:-}" ]; then
  # The ROS wheels install into the virtual environment as ROS installs into /opt/ros.
  export AMENT_PREFIX_PATH="$root/.venv" CMAKE_PREFIX_PATH="$root/.venv"
  export LD_LIBRARY_PATH="$root/.venv/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
  # Python packages of the environment come before the system's, those of ROS stay.
  PYTHONPATH="$("$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')${PYTHONPATH:+:$PYTHONPATH}"
  export PYTHONPATH
fi
if [ -f "$root/install/local_setup.bash" ]; then
  set +u  # the generated file uses unset variables
  # shellcheck disable=SC1091
  source "$root/install/local_setup.bash"
fi
unset root
