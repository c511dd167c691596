"""A chat sample at a terminal, as a person has it: Ctrl-C stops a reply and the chat goes on; at the prompt it leaves.
One answer into a pipe ends with status 130.

usage: interrupt.py MODEL COMMAND...    COMMAND is run with -m MODEL -n 9000, which must take many seconds

How late this process gets its turn does not matter: a terminal or a small pipe that nobody reads holds the chat up long
before the end of such a reply.
"""
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import time

PATIENCE = 60  # seconds until a test gives up
QUESTION = "Hello there"
TOKENS = "9000"  # they have 36,000 bytes or more
MOST_BYTES = 24000  # of a reply that was stopped; a terminal that nobody reads holds some 4000


def default_interrupt():
    """Whatever the tests themselves were started with."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A process that believes to sit at a terminal."""

    def __init__(self, command):
        self.seen = b""
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            default_interrupt()
            os.execvp(command[0], command)

    def read(self, deadline):
        """Some more of what it shows; False when it has ended."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.end], [], [], left)[0]:
            self.give_up("nothing more came")
        try:
            some = os.read(self.end, 65536)
        except OSError:  # how Linux says that the other end is closed
            some = b""
        self.seen += some
        return bool(some)

    def wait_for(self, text, start=0, most=None):
        """The position behind `text`, which must come, within `most` bytes behind `start`."""
        deadline = time.monotonic() + PATIENCE
        while True:
            at = self.seen.find(text.encode(), start)
            if at >= 0:
                return at + len(text)
            if most and len(self.seen) > start + most:
                self.give_up("the reply was not stopped")
            if not self.read(deadline):
                self.give_up(f"it ended without showing '{text}'")

    def wait_for_more(self, start, count):
        """Until `count` bytes came behind `start`."""
        deadline = time.monotonic() + PATIENCE
        while len(self.seen) < start + count:
            if not self.read(deadline):
                self.give_up("it ended in its reply")

    def type(self, text):
        os.write(self.end, text.encode())

    def status(self):
        """Its exit status once it has ended, minus the signal if one ended it."""
        deadline = time.monotonic() + PATIENCE
        while self.read(deadline):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def give_up(self, why):
        os.kill(self.pid, signal.SIGKILL)
        sys.exit(f"FAILED: {why}; it showed {self.seen[-2000:]!r}")


def ask(chat, start):
    """Asks, stops the reply after some words; the position of the prompt that follows, and the reply's length."""
    chat.type(QUESTION + "\n")
    start = chat.wait_for(QUESTION + "\r\n", start)
    chat.wait_for_more(start, 40)
    chat.type("\x03")
    after = chat.wait_for("> ", start, MOST_BYTES)
    return after, after - start


def stop_one_answer(command):
    """The answer's length and the exit status."""
    with subprocess.Popen(command + [QUESTION], stdout=subprocess.PIPE, preexec_fn=default_interrupt) as chat:
        fcntl.fcntl(chat.stdout, fcntl.F_SETPIPE_SZ, 4096)
        begun = chat.stdout.read(40)
        chat.send_signal(signal.SIGINT)
        return len(begun + chat.stdout.read()), chat.wait()


def main():
    model, command = sys.argv[1], sys.argv[2:]
    chat = Terminal(command + ["-m", model, "-n", TOKENS])
    at = chat.wait_for("> ")
    for turn in ("first", "second"):
        at, bytes_shown = ask(chat, at)
        print(f"{turn} reply stopped after {bytes_shown} bytes, the prompt came back")
    chat.type("/exit\n")
    if (status := chat.status()) != 0:
        sys.exit(f"FAILED: /exit ended it with {status}, expected 0")

    chat = Terminal(command + ["-m", model])
    chat.wait_for("> ")
    chat.type("\x03")
    if (status := chat.status()) not in (-signal.SIGINT, 128 + signal.SIGINT):
        sys.exit(f"FAILED: Ctrl-C at the prompt ended it with {status}, expected SIGINT or 130")
    print("Ctrl-C at the prompt leaves")

    bytes_shown, status = stop_one_answer(command + ["-m", model, "-n", TOKENS])
    if status != 130 or bytes_shown > MOST_BYTES:
        sys.exit(f"FAILED: one answer stopped by Ctrl-C ended with {status}, expected 130, after {bytes_shown} bytes")
    print(f"one answer stopped after {bytes_shown} bytes")


main()
