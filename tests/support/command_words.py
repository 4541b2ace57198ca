"""Find the programs that shell scripts, a Makefile and the shell blocks of documents call."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

KEYWORDS = {"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"}
WRAPPERS = {"exec", "command", "env", "nohup", "xargs", "run"}
"""Words followed by a command; `run` is defined in deploy/common.sh."""
OPERATORS = "\n;&|()"
NOT_SHELL = ("from ", "import ", "{")


class Shell:
    """A parser of a script: `found` has the command words, and `functions` the functions that the script defines."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.found: set[str] = set()
        self.functions: set[str] = set()
        self.documents: list[str] = []
        """Delimiters of here-documents whose bodies begin on the next line."""
        self.cases = 0

    def peek(self, length: int = 1) -> str:
        """Return the next characters."""
        return self.text[self.at : self.at + length]

    def read(self, end: str = "") -> None:
        """Read commands until an unquoted `end`, or the end of the text."""
        command, wrapped = True, False
        while self.at < len(self.text):
            character = self.peek()
            if end and character == end:
                return
            if character in " \t" or self.peek(2) == "\\\n":
                self.at += 2 if character == "\\" else 1
            elif character == "#":
                self.at = (self.text + "\n").index("\n", self.at)
            elif character in OPERATORS:
                wrapped, command = False, True
                self.operator()
            elif character in "<>":
                self.redirection()
            else:
                word = self.word()
                if word.isdigit() and self.peek() in tuple("<>"):
                    continue
                command, wrapped = self.take(word, command, wrapped)

    def operator(self) -> None:
        """Skip an operator. After a newline, skip the bodies of here-documents; after `;;`, the next pattern of a case."""
        if self.peek(2) == ";;" and self.cases:
            self.at += 2
            self.pattern()
        elif self.peek() == "(":
            self.at += 1
            self.read(")")
            self.at += 1
        else:
            newline = self.peek() == "\n"
            self.at += 1
            while newline and self.documents:
                body = re.compile(rf".*?^\t*{re.escape(self.documents.pop(0))}$\n?", re.MULTILINE | re.DOTALL)
                skipped = body.match(self.text, self.at)
                self.at = skipped.end() if skipped else len(self.text)

    def redirection(self) -> None:
        """Skip a redirection and its target."""
        operator = re.compile(r"<<-?(?!<)|<\(|>\(|[<>]+[&|]?").match(self.text, self.at)
        assert operator
        self.at = operator.end()
        if operator[0] in ("<(", ">("):
            self.read(")")
            self.at += 1
            return
        self.blanks()
        target = self.word()
        if operator[0].startswith("<<") and operator[0] != "<<<":
            self.documents.append(target.strip("'\"\\"))

    def blanks(self) -> None:
        """Skip blanks."""
        while self.peek() in (" ", "\t"):
            self.at += 1

    def word(self) -> str:
        """Return the next word, and read its substitutions as commands."""
        begin = self.at
        while self.at < len(self.text) and self.peek() not in " \t<>" + OPERATORS:
            self.part()
        return self.text[begin : self.at]

    def part(self, quoted: bool = False) -> None:
        """Skip one character of a word, or one quoted or substituted part."""
        character = self.peek()
        if self.peek(3) == "$((":
            self.at = self.text.index("))", self.at) + 2
        elif self.peek(2) == "$(":
            self.at += 2
            self.read(")")
            self.at += 1
        elif self.peek(2) == "${":
            self.at += 2
            while self.at < len(self.text) and self.peek() != "}":
                self.part(quoted)
            self.at += 1
        elif character == "'" and not quoted:
            self.at = self.text.find("'", self.at + 1) + 1 or len(self.text)
        elif character == '"' and not quoted:
            self.at += 1
            while self.at < len(self.text) and self.peek() != '"':
                self.part(quoted=True)
            self.at += 1
        else:
            self.at += 2 if character == "\\" else 1

    def pattern(self) -> None:
        """Skip the pattern of a case up to its parenthesis, or the end of the case."""
        while self.peek() in tuple(" \t\n"):
            self.at += 1
        if self.peek(4) == "esac":
            return
        while self.at < len(self.text) and self.peek() != ")":
            self.part()
        self.at += 1

    def take(self, word: str, command: bool, wrapped: bool) -> tuple[bool, bool]:
        """Record a word. Return whether the next word can be a command, and whether a wrapper precedes it."""
        if not command:
            if word in ("-exec", "-execdir"):
                return True, False
            return False, False
        if word in KEYWORDS or re.match(r"\w+\+?=", word):
            return True, wrapped
        if word.startswith("-") and wrapped:
            return True, True
        if self.peek(2) == "()":
            self.functions.add(word)
            self.at += 2
            return True, False
        if word == "case":
            self.case()
            return True, False
        if word == "esac":
            self.cases -= 1
            return False, False
        if word == "trap":
            self.trap()
            return False, False
        self.found.add(word.strip("'\""))
        return word in WRAPPERS, word in WRAPPERS

    def case(self) -> None:
        """Skip `WORD in` and the first pattern."""
        self.cases += 1
        for _ in range(2):
            self.blanks()
            self.word()
        self.pattern()

    def trap(self) -> None:
        """Read the commands of a trap."""
        self.blanks()
        inner = Shell(self.word().strip("'\""))
        inner.read()
        self.found |= inner.found


def of_script(text: str, sourced: str = "") -> set[str]:
    """Return the commands of a shell script, without its functions and those of a sourced script."""
    shell, other = Shell(text), Shell(sourced)
    shell.read()
    other.read()
    shell.functions |= other.functions
    return {word for word in shell.found - shell.functions if re.fullmatch(r"[A-Za-z_.\[][\w.+/-]*", word)}


def of_makefile(text: str) -> set[str]:
    """Return the commands of a Makefile's recipes and of its `$(shell …)`."""
    text = text.replace("\\\n", " ")
    found: set[str] = set()
    for line in text.splitlines():
        asked = _expanded(line, r"(?!shell )")
        for begin in re.finditer(r"\$\(shell ", asked):
            shell = Shell(asked[begin.end() :])
            shell.read(")")
            found |= shell.found
    for recipe in re.findall(r"^\t[@+-]*(.*)", text, re.MULTILINE):
        found |= of_script(re.sub(r"\$[@<^]", "MADE", _expanded(recipe)).replace("$$", "$"))
    return {word for word in found if "MADE" not in word and "$" not in word}


def _expanded(line: str, kept: str = "") -> str:
    """Replace make's `$(…)` in a line, innermost first, except those that match the lookahead `kept`."""
    while line != (line := re.sub(rf"(?<!\$)\$\({kept}[^()]*\)", "MADE", line)):
        pass
    return line


def blocks(markdown: str) -> Iterator[str]:
    """Iterate over the shell blocks of a document: fenced as `sh`, or indented by four blanks."""
    yield from re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    for block in re.findall(r"(?:\A|\n\n)((?:    .*\n(?:\n(?=    ))?)+)", plain):
        text = re.sub(r"^    ", "", block, flags=re.MULTILINE)
        yield from itertools.takewhile(lambda paragraph: not paragraph.startswith(NOT_SHELL), text.split("\n\n"))


def of_markdown(text: str) -> set[str]:
    """Return the commands of a document's shell blocks."""
    return {word for block in blocks(text) for word in of_script(block)}
