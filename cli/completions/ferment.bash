# SPDX-License-Identifier: Apache-2.0
# bash: source this, or put it into share/bash-completion/completions as `ferment`.
_ferment() {
  local IFS=$'\n'
  # shellcheck disable=SC2207  # a candidate a line, none with a blank in it
  COMPREPLY=($("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  if [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
  return 0
}
# Nothing to offer: a file name.
complete -o default -F _ferment ferment
