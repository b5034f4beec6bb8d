#!/usr/bin/env bash
# Makes .venv/ (everything the package needs) and install/ (the package, built by colcon). Does only what is out of date.
#
#   ROS_DISTRO set   the sourced ROS is used, with its interpreter; .venv has all other Python packages
#   ROS_DISTRO unset rclpy, Fast DDS and the message generators come from PyPI wheels
#   PYTHON=...       interpreter to use instead of the one chosen here
set -euo pipefail
cd "$(dirname "$0")/.."

# From a shell that has sourced scripts/environment.sh, python3 would be the one that is about to be replaced.
PATH=${PATH//"$PWD/.venv/bin:"/}
needed_gib=12
wheel_route_pythons="3.11 3.12 3.10"  # the ROS wheels exist for these; MediaPipe does too

fail() {
  echo "make build: $*" >&2
  exit 1
}

say() {
  echo "== $*"
}

version_of() {  # prints 3.11, or nothing when $1 is no working Python
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

require_python_parts() {  # $1 = interpreter
  "$1" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$1 has no venv module; on Debian or Ubuntu: apt-get install python3-venv"
  [ -f "$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] ||
    fail "$1 has no headers (Python.h); on Debian or Ubuntu: apt-get install python3-dev"
}

choose_python() {  # sets $python
  if [ -n "${PYTHON:-}" ]; then
    python=$PYTHON
    [ -n "$(version_of "$python")" ] || fail "PYTHON=$PYTHON is not a Python interpreter"
    return
  fi
  if [ -n "${ROS_DISTRO:-}" ]; then
    python=python3  # the one that the sourced rclpy was built for
    [ -n "$(version_of "$python")" ] || fail "no python3 found; ROS 2 $ROS_DISTRO needs one"
    return
  fi
  local version candidate
  for version in $wheel_route_pythons; do
    for candidate in "python$version" python3; do
      if [ "$(version_of "$candidate")" = "$version" ]; then
        python=$candidate
        return
      fi
    done
  done
  fail "no Python of version 3.10, 3.11 or 3.12 found (python3 is $(version_of python3 | grep . || echo missing)); the ROS wheels exist for" \
    "these only. Install one (PYTHON=/path/to/python3.11 make build), or source a ROS 2 installation"
}

check_machine() {
  command -v c++ >/dev/null || command -v g++ >/dev/null ||
    fail "no C++ compiler found; on Debian or Ubuntu: apt-get install g++"
  command -v make >/dev/null || fail "no make found; on Debian or Ubuntu: apt-get install make"
  if [ -z "${ROS_DISTRO:-}" ]; then
    [ "$(uname -sm)" = "Linux x86_64" ] ||
      fail "the ROS wheels exist for Linux x86_64 only, this is $(uname -sm); source a ROS 2 installation instead"
  fi
}

check_disk() {
  local free
  free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1048576)}')
  [ "$free" -ge "$needed_gib" ] ||
    fail "$needed_gib GiB of free disk needed (PyTorch with its CUDA libraries, and the package cache), $free GiB left in $PWD"
}

# What a build depends on besides files: where ROS comes from, the interpreter, and the folder, which both stamps name.
route() {
  echo "${ROS_DISTRO:-wheels} $("$python" -c 'import os, sys; print(os.path.realpath(sys.executable), sys.version)') $PWD"
}

check_ros() {  # $1 = stamp of what is there. A forgotten `source` must not replace a robot's environment.
  local built_with
  [ -f "$1" ] || return 0
  read -r built_with _ <"$1"
  [ "$built_with" = "${ROS_DISTRO:-wheels}" ] ||
    fail "this checkout was built with $(ros_called "$built_with"), and this shell has $(ros_called "${ROS_DISTRO:-wheels}");" \
      "use a shell like the one that it was built in, or run \`make clean\` to build anew"
}

ros_called() {  # $1 = distribution, or wheels
  [ "$1" = wheels ] && echo "no ROS" || echo "ROS 2 $1"
}

make_environment() {
  local stamp=.venv/.built-from wanted
  wanted=$(route; cat requirements.lock)  # every change of dependencies changes the lock
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    return
  fi
  check_ros "$stamp"
  check_disk
  local version
  version=$(version_of "$python")
  require_python_parts "$python"
  say "Python $version at $(command -v "$python"); messages and rclpy from $([ -n "${ROS_DISTRO:-}" ] && echo "ROS 2 $ROS_DISTRO" || echo "PyPI wheels")"
  case $version in
    3.10 | 3.11 | 3.12) ;;
    *) say "MediaPipe has no build for Python $version: to find people in images, \`mambapose download keypoint-rcnn\` or \`vitpose-base-simple rtdetr-r18\`, and choose that detector" ;;
  esac
  rm -rf .venv build
  # --system-site-packages only where a sourced ROS brings Python modules through the system's folders.
  "$python" -m venv ${ROS_DISTRO:+--system-site-packages} .venv
  say "installing Python packages (several GB the first time)"
  .venv/bin/pip install --quiet --disable-pip-version-check uv
  local extras=(--extra dev)
  [ -n "${ROS_DISTRO:-}" ] || extras+=(--extra ros)
  # The lock holds versions for every interpreter and route; the requirements pick from it.
  .venv/bin/uv pip install --python .venv/bin/python --constraints requirements.lock --requirements pyproject.toml "${extras[@]}"
  if ! command -v colcon >/dev/null && [ ! -x .venv/bin/colcon ]; then
    .venv/bin/uv pip install --python .venv/bin/python colcon-common-extensions
  fi
  echo "$wanted" >"$stamp"
}

build_package() {
  local stamp=install/.built-from wanted
  wanted=$(route; find CMakeLists.txt package.xml cmake config launch msg mambapose_ros -type f \
    -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    return
  fi
  say "building messages and nodes"
  rm -rf install
  # shellcheck source=scripts/environment.sh
  source scripts/environment.sh
  colcon --log-base .build/log build --base-paths . --packages-select mambapose_ros --event-handlers console_cohesion+ \
    --cmake-args -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF -DPython3_EXECUTABLE="$PWD/.venv/bin/python" \
    >.build/colcon.log 2>&1 || { tail -n 40 .build/colcon.log >&2; fail "colcon build failed; the whole log is .build/colcon.log"; }
  echo "$wanted" >"$stamp"
}

mkdir -p .build
check_machine
choose_python
make_environment
build_package
