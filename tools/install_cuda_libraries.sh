#!/usr/bin/env bash
# Adds to .deps/libtorch what computing on GPUs needs: NVIDIA's libraries, from their PyPI wheels, 2.3 GB. Nothing else needs them; the driver
# must be on the machine already. FERMENT_CUDA_LIBRARIES names another list than tools/cuda_libraries.txt.
# Does nothing that is already done.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -n ${FERMENT_TORCH_ROOT:-} ]]; then
  echo "FERMENT_TORCH_ROOT is set: an official LibTorch brings its CUDA libraries; NCCL is looked for with -DNCCL_ROOT=DIR"
  exit 0
fi
tools/install_dependencies.sh

list=${FERMENT_CUDA_LIBRARIES:-tools/cuda_libraries.txt}
wanted=$(sha256sum "$list" | cut -d' ' -f1)
# The mark lies in the folder that a newer LibTorch replaces, so that the libraries come again with it.
mark=.deps/libtorch/.cuda_libraries_installed
[[ $(cat "$mark" 2>/dev/null) != "$wanted" ]] || exit 0
echo "fetching NVIDIA's libraries into .deps/libtorch/nvidia (2.3 GB)"
part=.deps/cuda_libraries.part
rm -rf "$part"
# As in install_dependencies.sh: not by a version manager's shim.
python=$(python3 -c 'import sys; print(sys.executable)')
"$python" -m pip install --quiet --no-deps --no-compile --require-hashes --only-binary=:all: \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 --platform manylinux_2_18_x86_64 \
  --platform manylinux_2_17_x86_64 --platform manylinux1_x86_64 --python-version 3.11 --implementation cp --abi none \
  --target "$part" -r "$list"
# pip would replace the folder that LibTorch's own two libraries lie in.
cp -r "$part/nvidia/." .deps/libtorch/nvidia/
rm -rf "$part"
echo "$wanted" >"$mark"
