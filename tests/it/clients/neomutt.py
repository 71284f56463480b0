"""Drives neomutt through a pseudo-terminal: reads, answers, tags and archives, as somebody who types does.

Arguments: an empty folder for its files, the ports of IMAP and submission with TLS, the file with the
certificate, the login, the password. What it is to do comes on standard input, a line each: `wait TEXT`
(until the screen shows that), `keys KEYS` (as Python writes a string).
"""

import ast
import os
import pty
import re
import select
import signal
import sys

PATIENCE = 60  # seconds without a sign of life

folder, imap, submission, certificate, login, password = sys.argv[1:7]

CONFIG = f"""
set imap_user = "{login}"
set imap_pass = "{password}"
set folder = "imaps://127.0.0.1:{imap}/"
set spoolfile = "+INBOX"
set record = "+Sent"
set postponed = "+Drafts"
set smtp_url = "smtps://{login}@127.0.0.1:{submission}/"
set smtp_pass = "{password}"
set smtp_authenticators = "plain"
set from = "acme@desk.example.org"
set realname = "Alice"
set certificate_file = "{certificate}"
set ssl_verify_host = no
set editor = "{folder}/editor"
set header_cache = "{folder}/cache"
set autoedit = yes
set fast_reply = yes
set reply_to = yes
set include = no
set confirmappend = no
set confirmcreate = no
set delete = yes
set move = no
set quit = yes
set wait_key = no
set mail_check = 1
set sort = mailbox-order
set markers = no
set sleep_time = 0
set wrap = 200
bind index,pager L modify-labels
macro index A "<save-message>=Archive<enter>"
"""

EDITOR = f"""#!/bin/sh
sed '/^$/q' "$1" >"{folder}/head"
{{ cat "{folder}/head"; cat "{folder}/answer"; }} >"$1"
"""


def start():
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/muttrc", "w") as file:
        file.write(CONFIG)
    with open(f"{folder}/editor", "w") as file:
        file.write(EDITOR)
    os.chmod(f"{folder}/editor", 0o755)
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="vt100", HOME=folder, LC_ALL="C.UTF-8", LINES="40", COLUMNS="120")
        os.execvp("neomutt", ["neomutt", "-n", "-F", f"{folder}/muttrc"])
    return child, terminal


class Screen:
    def __init__(self, terminal):
        self.terminal = terminal
        self.shown = ""

    def read(self):
        ready, _, _ = select.select([self.terminal], [], [], PATIENCE)
        if not ready:
            return False
        try:
            octets = os.read(self.terminal, 65536)
        except OSError:
            return False
        self.shown += octets.decode("utf-8", "replace")
        return bool(octets)

    def text(self):
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][0A-B]|\x1b[=>78M]|[\x0e\x0f\x08]", "", self.shown)
        return plain

    def wait(self, wanted):
        while wanted not in self.text():
            if not self.read():
                raise SystemExit(f"{wanted!r} was not shown, but:\n{self.text()}")
        # What comes now is an answer to what is typed next.
        self.shown = ""


def main():
    child, terminal = start()
    screen = Screen(terminal)
    try:
        for line in sys.stdin:
            verb, rest = line.rstrip("\n").split(" ", 1)
            if verb == "wait":
                screen.wait(rest)
            elif verb == "keys":
                os.write(terminal, ast.literal_eval(f'"{rest}"').encode())
            else:
                raise SystemExit(f"what is {line!r}?")
        while screen.read():
            pass
    finally:
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(child, 0)


main()
