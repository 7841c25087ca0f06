#!/usr/bin/env bash
# The workflow files, checked by actionlint.
#
#   ci/actionlint.sh
#
# Needs actionlint, or Go to install it with.
. "$(dirname "$0")/common.sh"

version=v1.7.12
PATH=$cache/tools/$version:$PATH
if ! command -v actionlint >/dev/null; then
  command -v go >/dev/null || skip "there is no actionlint, and no Go to install it with"
  GOBIN=$cache/tools/$version go install "github.com/rhysd/actionlint/cmd/actionlint@$version" ||
    skip "actionlint could not be installed"
fi
actionlint
