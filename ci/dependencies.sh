#!/usr/bin/env bash
# What this project depends on: licences, known vulnerabilities, where it comes from. The rules for Rust are in deny.toml.
#
#   ci/dependencies.sh
#
# Needs cargo-deny (cargo install cargo-deny --locked), and for what others have found, the network: without it that part is
# skipped.
. "$(dirname "$0")/common.sh"

failed=0

# reaches HOST: whether it answers, which is not to say what.
reaches() { curl --silent --head --max-time 10 --output /dev/null "$1"; }

deny=$(PATH="$cache/tools/bin:$PATH" command -v cargo-deny || true)
if [ -z "$deny" ]; then
  echo "skipped: licences, bans and sources of crates: there is no cargo-deny"
  missing=1
else
  "$deny" --locked check --hide-inclusion-graph bans licenses sources || failed=1
  if reaches https://github.com; then
    "$deny" --locked check --hide-inclusion-graph advisories || failed=1
  else
    echo "skipped: advisories of crates: their database is not in reach"
    missing=1
  fi
fi

# A report is JSON with a summary, whatever it finds; what cannot be asked is an error without one.
report=$(npm audit --audit-level=high --json 2>/dev/null || true)
case $report in
  *'"vulnerabilities"'*)
    npm audit --audit-level=high || failed=1
    npm audit --omit=dev || failed=1
    ;;
  *)
    echo "skipped: npm audit: the registry has no answer"
    missing=1
    ;;
esac

[ "${missing:-0}" = 0 ] || [ "${NO_SKIP:-}" != 1 ] || failed=1
exit "$failed"
