# Prints the help from the `##` comments of the Makefile and the files it includes:
#
#     ##@ Title of a section
#     target: prerequisites ## What it does
#
# Variables: `columns`, the maximum width; `only`, names of the targets to list, separated by blanks (then without empty lines).
# A long description continues in its own column.

BEGIN { FS = ":.*## "; many = split(only, names, " "); for (i = 1; i <= many; i++) chosen[names[i]] = 1 }

/^##@ / { title = substr($0, 5) }

/^[a-z][a-zA-Z0-9_-]*:.*## / && (!many || $1 in chosen) {
    count++
    section[count] = title
    name[count] = $1
    description[count] = $2
    if (length($1) > width) width = length($1)
}

END {
    for (i = 1; i <= count; i++) {
        if (section[i] != section[i - 1]) {
            if (!many && i > 1) print ""
            wrap("", section[i], 4)
        }
        wrap(sprintf("  make %-" width "s  ", name[i]), description[i], width + 9)
    }
}

# Prints `start` and the words of `text` after it; further lines are indented by `indent`.
function wrap(start, text, indent,    words, last, i, line, filled) {
    last = split(text, words, " ")
    line = start
    for (i = 1; i <= last; i++) {
        if (filled && length(line) + 1 + length(words[i]) > columns) {
            print line
            line = sprintf("%" indent "s", "")
            filled = 0
        }
        line = line (filled ? " " : "") words[i]
        filled = 1
    }
    print line
}
