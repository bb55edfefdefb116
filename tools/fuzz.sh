#!/usr/bin/env bash
# Runs every fuzz target under libFuzzer with AddressSanitizer and UBSan, each for some seconds: tools/fuzz.sh [SECONDS] [TARGET...].
# What is found lies in build/fuzz/found/TARGET, with the inputs that reached new code; the next run goes on from there.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
corpora=(
  spec_loader_fuzz:examples
  insightface_pack_fuzz:tests/fuzz/packs
  picture_decoder_fuzz:tests/fixtures/jpeg:tests/fixtures/png
  label_set_fuzz:tests/fixtures/numpy
  safetensors_file_fuzz:tests/fixtures/safetensors:tests/fixtures/safetensors/malformed
  face_list_fuzz:tests/fuzz/lists
  video_list_fuzz:tests/fuzz/video_lists
  torch_file_fuzz:tests/fixtures/torch:tests/fuzz/pickles
  rpc_request_fuzz:tests/fuzz/calls
  admin_server_fuzz:tests/fuzz/http
  object_answer_fuzz:tests/fuzz/object_answers
  credentials_fuzz:tests/fuzz/credentials
  audit_log_fuzz:tests/fuzz/audit_logs
  command_line_fuzz:tests/fuzz/command_lines
  slurm_words_fuzz:tests/fuzz/slurm
  event_codec_fuzz:tests/fuzz/events
  run_folder_fuzz:tests/fuzz/run_folders
  side_file_fuzz:tests/fuzz/side_files
)
targets=("$@")
((${#targets[@]})) || targets=("${corpora[@]%%:*}")

CC=clang CXX=clang++ cmake --preset fuzz
cmake --build --preset fuzz -j "$(nproc)" --target "${targets[@]}"
failed=()
for entry in "${corpora[@]}"; do
  target=${entry%%:*}
  [[ " ${targets[*]} " == *" $target "* ]] || continue
  IFS=: read -r -a folders <<<"${entry#*:}"
  found=build/fuzz/found/$target
  mkdir -p "$found"
  printf '%s: %s s\n' "$target" "$seconds"
  if ! build/fuzz/tests/"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$found/" \
    -print_final_stats=1 "$found" "${folders[@]}" >"$found.log" 2>&1; then
    failed+=("$target")
  fi
  grep -E 'inline 8-bit counters|number_of_executed_units|new_units_added' "$found.log" || tail -20 "$found.log"
done
if ((${#failed[@]})); then
  printf 'failed: %s; see build/fuzz/found/*.log\n' "${failed[*]}" >&2
  exit 1
fi
