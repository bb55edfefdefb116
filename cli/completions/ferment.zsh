#compdef ferment
# SPDX-License-Identifier: Apache-2.0
# zsh: put this into a folder of $fpath as `_ferment`.
local -a candidates
candidates=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
candidates=("${(@)candidates:#}")
if (( $#candidates == 0 )); then
  _files
elif [[ $candidates[1] == *= ]]; then
  compadd -S '' -- $candidates
else
  compadd -- $candidates
fi
