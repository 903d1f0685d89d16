//! What shells and kubectl run to ask for candidates.

use std::path::Path;

/// The program that kubectl calls with the words of the line.
pub(super) fn shim(own: &Path) -> String {
    format!("#!/bin/sh\nexec '{}' __complete \"$@\"\n", own.display().to_string().replace('\'', "'\\''"))
}

pub(super) const BASH: &str = r#"_kubectl_aegis() {
    local IFS=$'\n' line
    COMPREPLY=()
    while read -r line; do
        [[ $line == :* ]] || COMPREPLY+=("${line%%$'\t'*}")
    done < <(kubectl-aegis __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _kubectl_aegis kubectl-aegis
"#;

pub(super) const ZSH: &str = r#"#compdef kubectl-aegis
_kubectl_aegis() {
    local -a found
    local line word
    for line in "${(@f)$(kubectl-aegis __complete "${words[@]:1:$((CURRENT-1))}" 2>/dev/null)}"; do
        [[ $line == :* ]] && continue
        word=${line%%$'\t'*}
        found+=("${word//:/\\:}:${line#*$'\t'}")
    done
    _describe 'kubectl aegis' found || _files
}
compdef _kubectl_aegis kubectl-aegis
"#;

pub(super) const FISH: &str = r#"function __kubectl_aegis
    set -l words (commandline -opc) (commandline -ct)
    kubectl-aegis __complete $words[2..-1] 2>/dev/null | string match -v -r '^:'
end
complete -c kubectl-aegis -f -a '(__kubectl_aegis)'
"#;
