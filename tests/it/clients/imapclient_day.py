"""IMAPClient at work on a furnished desk (see `furnish`): what a program in Python asks of a mail server.

Arguments: the port of IMAP with TLS, the file with the certificate, the login, the password. Writes a line
`idling` where a new mail is to arrive, and ends without an error where all was as it should be.
"""

import ssl
import sys

import imapclient
from imapclient.exceptions import IMAPClientError
from imapclient.imapclient import ARCHIVE, DRAFTS, JUNK, SENT, TRASH

port, certificate, login, password = sys.argv[1:5]


def connect():
    context = ssl.create_default_context(cafile=certificate)
    # The certificate is for the desk's name, and we go to its address.
    context.check_hostname = False
    client = imapclient.IMAPClient("127.0.0.1", int(port), ssl_context=context, timeout=60)
    client.login(login, password)
    return client


def is_equal(found, expected):
    if found != expected:
        raise SystemExit(f"{found!r} is not {expected!r}")


def folders(client):
    client.id_({"name": "IMAPClient", "version": imapclient.__version__})
    names = {name for _, _, name in client.list_folders()}
    wanted = {"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash", "acme/Open", "acme/Departments/Billing"}
    is_equal(wanted - names, set())
    special = [client.find_special_folder(use) for use in [SENT, DRAFTS, TRASH, JUNK, ARCHIVE]]
    is_equal(special, ["Sent", "Drafts", "Trash", "Junk", "Archive"])
    is_equal(client.namespace().personal, (("", "/"),))
    is_equal(client.folder_status("INBOX", ["MESSAGES", "UNSEEN"]), {b"MESSAGES": 3, b"UNSEEN": 3})


def searches(client):
    selected = client.select_folder("INBOX")
    is_equal(selected[b"EXISTS"], 3)
    one, two, three = client.search("ALL")
    is_equal(client.search(["SUBJECT", "déjà"], charset="UTF-8"), [three])
    is_equal(client.search(["FROM", "Bob", "NOT", "DELETED"]), [two])
    is_equal(client.sort("SUBJECT"), [three, one, two])
    is_equal(client.sort(["REVERSE ARRIVAL"]), [three, two, one])
    is_equal(client.thread("REFERENCES"), ((one, two), (three,)))
    is_equal(client.thread("ORDEREDSUBJECT", "SUBJECT fire"), ((one, two),))
    fetched = client.fetch([three], ["ENVELOPE", "BODYSTRUCTURE", "INTERNALDATE", "RFC822.SIZE", "BODY.PEEK[]", "FLAGS"])
    envelope = fetched[three][b"ENVELOPE"]
    is_equal(envelope.from_[0].name, b"Carol Smith via Acme Support")
    is_equal(len(fetched[three][b"BODY[]"]), fetched[three][b"RFC822.SIZE"])
    structure = fetched[three][b"BODYSTRUCTURE"]
    is_equal(structure.is_multipart, True)
    is_equal(structure[0][1][:2], (b"application", b"pdf"))
    return one, two, three


def condstore(client, one, two, three):
    before = client.select_folder("INBOX")[b"HIGHESTMODSEQ"]
    client.add_flags(three, [imapclient.SEEN])
    changed = client.fetch("1:*", ["FLAGS"], [f"CHANGEDSINCE {before}"])
    is_equal(list(changed), [three])
    (modseq,) = changed[three][b"MODSEQ"]
    is_equal(modseq > before, True)
    is_equal(client.get_flags(three)[three], (imapclient.SEEN,))
    client.add_flags(one, ["refund"])
    is_equal(b"refund" in client.get_flags(two)[two], True)


def idle(client):
    client.select_folder("INBOX")
    client.idle()
    print("idling", flush=True)
    heard = []
    while (4, b"EXISTS") not in heard:
        news = client.idle_check(timeout=60)
        if not news:
            raise SystemExit(f"no new mail was told of, but {heard}")
        heard += news
    client.idle_done()
    newest = client.search("UNSEEN SUBJECT Ribbons")
    is_equal(len(newest), 1)
    return newest[0]


def moves(client, newest):
    client.move([newest], "acme/Members/Bob")
    is_equal(client.search("SUBJECT Ribbons"), [])
    client.select_folder("acme/Members/Bob")
    is_equal(len(client.search("SUBJECT Ribbons")), 1)


def drafts(client):
    uid = client.append("Drafts", b"Subject: later\r\n\r\nI will.\r\n", [imapclient.DRAFT])
    is_equal(b"APPENDUID" in uid, True)
    client.select_folder("Drafts")
    (draft,) = client.search("DRAFT")
    client.delete_messages([draft])
    client.uid_expunge([draft])
    is_equal(client.search("ALL"), [])


def refused(client):
    for refuse in [
        lambda: client.create_folder("Holidays"),
        lambda: client.delete_folder("INBOX"),
        lambda: client.rename_folder("acme/Open", "acme/Shut"),
        lambda: client.select_folder("acme"),
    ]:
        try:
            refuse()
        except IMAPClientError:
            continue
        raise SystemExit("what can't be was done")


def main():
    client = connect()
    folders(client)
    one, two, three = searches(client)
    condstore(client, one, two, three)
    newest = idle(client)
    moves(client, newest)
    drafts(client)
    refused(client)
    client.logout()


main()
