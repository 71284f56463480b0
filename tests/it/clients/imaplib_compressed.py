"""Python's own imaplib on a furnished desk, and COMPRESS=DEFLATE (RFC 4978) by its own zlib.

Arguments: the port of IMAP with TLS, the file with the certificate, the login, the password.
"""

import imaplib
import ssl
import sys
import zlib

port, certificate, login, password = sys.argv[1:5]


class Deflated:
    """A socket's file that is compressed, as far as imaplib uses one."""

    def __init__(self, sock):
        self.sock = sock
        self.inflate = zlib.decompressobj(-15)
        self.deflate = zlib.compressobj(wbits=-15)
        self.came = b""
        self.sent = self.received = 0

    def fill(self):
        octets = self.sock.recv(4096)
        if not octets:
            raise SystemExit("the server closed the connection")
        self.received += len(octets)
        self.came += self.inflate.decompress(octets)

    def read(self, size):
        while len(self.came) < size:
            self.fill()
        taken, self.came = self.came[:size], self.came[size:]
        return taken

    def readline(self, limit=-1):
        while b"\n" not in self.came:
            self.fill()
        return self.read(self.came.index(b"\n") + 1)

    def sendall(self, octets):
        packed = self.deflate.compress(octets) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.sent += len(packed)
        self.sock.sendall(packed)


def is_ok(answer):
    status, data = answer
    if status != "OK":
        raise SystemExit(f"{status} {data}")
    return data


def main():
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    client = imaplib.IMAP4_SSL("127.0.0.1", int(port), ssl_context=context, timeout=60)
    is_ok(client.authenticate("PLAIN", lambda _: f"\0{login}\0{password}".encode()))
    is_ok(client.select("INBOX", readonly=True))
    plain = is_ok(client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])"))
    imaplib.Commands["COMPRESS"] = ("AUTH", "SELECTED")
    is_ok(client._simple_command("COMPRESS", "DEFLATE"))
    compressed = Deflated(client.sock)
    client.read, client.readline, client.send = compressed.read, compressed.readline, compressed.sendall
    again = is_ok(client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])"))
    if plain != again:
        raise SystemExit("compressed, it is something else")
    texts = sum(len(part[1]) for part in again if isinstance(part, tuple))
    if compressed.received > texts * 0.8:
        raise SystemExit(f"{texts} octets of messages took {compressed.received}")
    status, data = client._simple_command("COMPRESS", "DEFLATE")
    if status != "NO" or b"COMPRESSIONACTIVE" not in data[0]:
        raise SystemExit(f"twice compressed: {status} {data}")
    # A message that takes many reads, up and down.
    large = b"Subject: large\r\n\r\n" + b"".join(b"line %d\r\n" % n for n in range(5000))
    is_ok(client.append("Drafts", r"(\Seen \Draft)", None, large))
    is_ok(client.select("Drafts"))
    (_, back), _ = is_ok(client.fetch("1", "(BODY.PEEK[])"))
    if back != large:
        raise SystemExit("what came back is not what was put there")
    is_ok(client.store("1", "+FLAGS", r"(\Deleted)"))
    is_ok(client.expunge())
    is_ok(client.close())
    client.logout()


main()
