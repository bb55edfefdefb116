#!/usr/bin/env bash
# Installs what ferment is built from: Debian packages by apt, LibTorch from its PyPI wheel into .deps/.
# Does nothing that is already done; a second run takes well under a second.
# With the word lint: also the programs that tools/lint.sh calls; with s3: an S3 server that tests start; with bench: the
# peers that come as Debian packages; with fuzz: the compiler that has libFuzzer; with coverage: what reads gcov's counts.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  g++ cmake ninja-build make pkg-config git ccache mold
  libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev protobuf-compiler
  libopenmpi-dev openmpi-bin openssh-client openssh-server iproute2
  prometheus-cpp-dev libboost1.81-dev libsqlite3-dev libpq-dev postgresql-15
  slurm-wlm slurm-client munge
  libturbojpeg0-dev libjpeg62-turbo-dev libyaml-cpp-dev libspdlog-dev nlohmann-json3-dev
  libcli11-dev libexpected-dev libjemalloc-dev libssl-dev libcurl4-openssl-dev zlib1g-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  python3 python3-pip python3-venv ca-certificates
)

if [[ ${1:-} == lint ]]; then
  packages+=(clang-format clang-tidy shellcheck prometheus)
elif [[ ${1:-} == s3 ]]; then
  packages+=(ceph-mon ceph-osd radosgw)
elif [[ ${1:-} == bench ]]; then
  packages+=(redis-server libhiredis-dev)
elif [[ ${1:-} == fuzz ]]; then
  packages+=(clang)
elif [[ ${1:-} == coverage ]]; then
  packages+=(gcovr)
fi

missing=()
if command -v dpkg-query >/dev/null; then
  installed=$(dpkg-query -W -f '${Package} ${Status}\n' "${packages[@]}" 2>/dev/null | awk '$4 == "installed" { print $1 }' || true)
  for package in "${packages[@]}"; do
    grep -qxF "$package" <<<"$installed" || missing+=("$package")
  done
fi

if ! command -v apt-get >/dev/null; then
  printf 'This is not a Debian system. Install the equivalents of these Debian 12 packages, then run again with FERMENT_SKIP_APT=1:\n' >&2
  printf '  %s\n' "${packages[@]}" >&2
  [[ ${FERMENT_SKIP_APT:-} == 1 ]] || exit 69
elif ((${#missing[@]})); then
  as_root=()
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || { printf 'sudo is needed to install: %s\n' "${missing[*]}" >&2; exit 69; }
    as_root=(sudo)
  fi
  echo "installing ${#missing[@]} Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# FERMENT_TORCH_ROOT points at an official LibTorch that is already there.
if [[ -z ${FERMENT_TORCH_ROOT:-} ]]; then
  wanted=$(sha256sum tools/libtorch.txt | cut -d' ' -f1)
  if [[ $(cat .deps/libtorch/.installed 2>/dev/null) != "$wanted" ]]; then
    echo "fetching LibTorch 2.11.0 into .deps/libtorch (about 540 MB)"
    rm -rf .deps/libtorch .deps/libtorch.part
    mkdir -p .deps
    # The interpreter itself: a version manager's shim such as pyenv's writes all shims anew after pip, and fails where another holds their lock.
    python=$(python3 -c 'import sys; print(sys.executable)')
    "$python" -m pip install --quiet --no-deps --no-compile --require-hashes --only-binary=:all: \
      --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --platform manylinux_2_25_x86_64 \
      --python-version 3.11 --implementation cp --abi cp311 --abi none \
      --target .deps/libtorch.part -r tools/libtorch.txt
    mv .deps/libtorch.part .deps/libtorch
    echo "$wanted" >.deps/libtorch/.installed
  fi
fi
