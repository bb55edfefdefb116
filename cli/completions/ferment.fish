# SPDX-License-Identifier: Apache-2.0
# fish: put this into share/fish/vendor_completions.d. Nothing to offer: file names.
function __ferment_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete $words[2..-1] 2>/dev/null
end
function __ferment_has_candidates
    test (count (__ferment_complete)) -gt 0
end
complete -c ferment -n __ferment_has_candidates -f -a '(__ferment_complete)'
