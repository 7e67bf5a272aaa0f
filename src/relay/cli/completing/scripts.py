"""What each shell loads. PROGRAM stands for this program, quoted for a shell."""

from __future__ import annotations

BASH = r"""# completion of relay for bash: eval "$(relay completion bash)"
_relay() {
    local line=${COMP_LINE:0:COMP_POINT} found status value about prefix=''
    found=$(command PROGRAM completion line -- "$line" 2>/dev/null </dev/null)
    status=$?
    # bash completes what follows the last of its word breaks; a candidate is the whole word
    local typed=${line##*[[:space:]]} breaks=${COMP_WORDBREAKS//[^@=:]/}
    [[ -n $breaks ]] && prefix=${typed%"${typed##*[$breaks]}"}
    # readline takes an @ for the beginning of the word that it replaces
    prefix=${prefix%@}
    COMPREPLY=()
    while IFS=$'\t' read -r value about; do
        [[ -n $value ]] || continue
        printf -v value '%q' "${value#"$prefix"}"
        COMPREPLY+=("$value")
    done <<<"$found"
    [[ $status == 3 ]] && compopt -o default 2>/dev/null
    return 0
}
complete -F _relay relay
"""

ZSH = r"""#compdef relay
# completion of relay for zsh, after compinit: eval "$(relay completion zsh)"
_relay() {
    local found code line value about
    local -a described
    found="$(command PROGRAM completion words -- "${(@Q)words[1,CURRENT]}" 2>/dev/null </dev/null)"
    code=$?
    for line in "${(@f)found}"; do
        # _describe takes a backslash for a quote, and a colon for the end of the word
        value=${${line%%$'\t'*}//\\/\\\\} about=${${line#*$'\t'}//\\/\\\\}
        [[ -n $value ]] && described+=("${value//:/\\:}${about:+:$about}")
    done
    if (( $#described )); then
        _describe -t relay relay described
    elif (( code == 3 )); then
        _files
    fi
}
compdef _relay relay
"""

FISH = r"""# completion of relay for fish: relay completion fish > ~/.config/fish/completions/relay.fish
function __relay_candidates
    set -l typed (commandline -opc) (commandline -ct)
    command PROGRAM completion words -- $typed 2>/dev/null </dev/null
    if test $status -eq 3
        __fish_complete_path (commandline -ct)
    end
end
complete -c relay -f -a '(__relay_candidates)'
"""

BY_SHELL = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def script(shell: str, program: str) -> str:
    """The script of a shell.

    Args:
        shell: one of `BY_SHELL`.
        program: what is to be run, as it was called.
    """
    import os
    import shlex

    called = os.path.abspath(program) if os.path.basename(program) == "relay" else "relay"
    return BY_SHELL[shell].replace("PROGRAM", shlex.quote(called))
