"""Check that a service can listen on a port of this machine: one line and exit code 1 if not. For any Python 3.

python3 scripts/free_port.py 3000
"""

import errno
import socket
import sys

HOST = "127.0.0.1"
TRIED = 100
"""Ports after a busy one among which a free one is looked for."""


def bind(port):
    """Return None when the port is free, else the OSError."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection that just ended does not count
        try:
            listener.bind((HOST, port))
            listener.listen()  # a listener of another program may also allow the reuse
        except OSError as error:
            return error
    return None


def complaint(text):
    """Return what is wrong with a port, or an empty text."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        return f"PORT={text!r} is not a port: give a number from 1 to 65535"
    port = int(text)
    error = bind(port)
    if error is None:
        return ""
    if error.errno == errno.EADDRINUSE:
        other = next((other for other in range(port + 1, min(port + TRIED, 65536)) if bind(other) is None), None)
        return f"port {port} of {HOST} is in use: end the program that uses it, or give another one: PORT={other or 8080}"
    return f"port {port} of {HOST} cannot be used ({error.strerror}): give another one: PORT=3000"


if __name__ == "__main__":
    message = complaint(sys.argv[1] if len(sys.argv) > 1 else "")
    sys.exit(f"error: {message}" if message else 0)
