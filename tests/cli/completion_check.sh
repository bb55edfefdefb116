#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Asks real shells, with the scripts as they are installed, what comes next. Usage: completion_check.sh BIN_DIR BUILD_DIR
# zsh and fish are asked where they are installed; bash always is.
set -euo pipefail
bin=$1
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$2" --component completions --prefix "$prefix" >/dev/null
export PATH="$bin:$PATH"

failed=0
# expect SHELL "LINE" CANDIDATE... [-- ABSENT...]: LINE ends with the word to complete.
expect() {
  local shell=$1 line=$2 said candidate
  shift 2
  said=$("ask_$shell" "$line")
  for candidate in "$@"; do
    if ! grep -qxF -- "$candidate" <<<"$said"; then
      echo "$shell: \`$line\` does not offer $candidate, but: ${said//$'\n'/ }" >&2
      failed=1
    fi
  done
}
expect_nothing() {
  local said
  said=$("ask_$1" "$2")
  [[ -z $said ]] || { echo "$1: \`$2\` offers: $said" >&2; failed=1; }
}

# One of these is called by its name, and what stands in single quotes is for the other shell.
# shellcheck disable=SC2016,SC2317
ask_bash() {
  bash --norc -c 'source "$1"; read -ra COMP_WORDS <<<"$2"; [[ $2 == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); complete -p ferment | grep -q _ferment && _ferment
    printf "%s\n" "${COMPREPLY[@]}"' bash "$prefix/share/bash-completion/completions/ferment" "$1"
}
# shellcheck disable=SC2016,SC2317
ask_fish() {
  fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$prefix/share/fish/vendor_completions.d/ferment.fish" "$1" | cut -f 1
}
# zsh's completion runs on a terminal only: the words are put where it would put them, and what it would add is printed.
# shellcheck disable=SC2016,SC2317
ask_zsh() {
  zsh -f -c 'compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- "$@" }; _files() { : }
    words=(${(z)2}); [[ $2 == *" " ]] && words+=(""); CURRENT=$#words; source "$1"' \
    zsh "$prefix/share/zsh/site-functions/_ferment" "$1"
}

asked=""
for shell in bash zsh fish; do
  command -v "$shell" >/dev/null || continue
  asked+=" $shell"
  expect "$shell" "ferment " run submit describe health
  expect "$shell" "ferment re" render report resume
  expect "$shell" "ferment data " scan synth
  expect "$shell" "ferment help run --dr" --dry-run
  expect "$shell" "ferment data scan --format a" affwild2 affectnet2017
  expect "$shell" "ferment run x.yaml --set teacher.s" teacher.steps=
done
expect_nothing bash "ferment run "
expect_nothing bash "ferment get --coordinator "
echo "asked:$asked"
exit "$failed"
