#!/usr/bin/env bash
# lab: --esxi 2 --vcenter
# The main job, as packaging/quickstart --check proves it.
exec "$(dirname "$0")/../../packaging/quickstart-journey" check
