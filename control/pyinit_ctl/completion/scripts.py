"""What each shell is told, so that Tab asks `pyinit-ctl completion` what there is.

A line of the answer is a word; in zsh and fish a tab and what the word is behind it. `:files` and
`:dirs` stand for what the shell itself offers.
"""

from __future__ import annotations

BASH = """\
# Completion of pyinit-ctl for bash. Put this into ~/.bashrc:
#   source <(pyinit-ctl completion bash)
_pyinit_ctl() {
    local word=${COMP_WORDS[COMP_CWORD]} line
    # Bash splits words at : and = too; what it replaces is what is behind the last of them.
    [[ $word == [:=] ]] && word=
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        :files) compopt -o default ;;
        :dirs) compopt -o dirnames ;;
        *[=:]) compopt -o nospace && COMPREPLY+=("$line") ;;
        *) COMPREPLY+=("$line") ;;
        esac
    done < <("${COMP_WORDS[0]}" completion bash \\
        --line "${COMP_LINE:0:COMP_POINT}" --word "$word" 2>/dev/null)
}
complete -F _pyinit_ctl pyinit-ctl
"""

ZSH = """\
#compdef pyinit-ctl
# Completion of pyinit-ctl for zsh. Put this into ~/.zshrc, behind compinit:
#   source <(pyinit-ctl completion zsh)
_pyinit_ctl() {
    local line
    local -a found open
    while IFS= read -r line; do
        case $line in
        :files) _files ;;
        :dirs) _files -/ ;;
        # _describe parts a word from what it is by a colon.
        *[=:]$'\\t'*) open+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}") ;;
        *) found+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}") ;;
        esac
    done < <("${words[1]}" completion zsh --line "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)
    (( $#found )) && _describe pyinit-ctl found
    (( $#open )) && _describe pyinit-ctl open -S ''
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _pyinit_ctl "$@"
else
    compdef _pyinit_ctl pyinit-ctl
fi
"""

FISH = """\
# Completion of pyinit-ctl for fish:
#   pyinit-ctl completion fish > ~/.config/fish/completions/pyinit-ctl.fish
function __pyinit_ctl_complete
    set -l words (commandline -opc)
    for line in ($words[1] completion fish --line (commandline -cp | string collect) 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (commandline -ct)
            case ':dirs'
                __fish_complete_directories (commandline -ct) ''
            case '*'
                printf '%s\\n' $line
        end
    end
end
complete -c pyinit-ctl -f -a '(__pyinit_ctl_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
