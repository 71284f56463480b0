// ImapFlow and Nodemailer at work on a furnished desk (see `furnish`): what a program on Node asks of a mail
// server, and how it answers.
//
// Arguments: the ports of IMAP and submission with TLS, the file with the certificate, the login, the password;
// `GUICHET_TEST_NODE` names the folder with the packages. Writes a line `idling` where a new mail is to arrive,
// and ends without an error where all was as it should be.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.GUICHET_TEST_NODE}/`);
const { ImapFlow } = require("imapflow");
const { createTransport } = require("nodemailer");

const [imap, submission, certificate, user, pass] = process.argv.slice(2);
// The certificate is for the desk's name, and we go to its address.
const server = { host: "127.0.0.1", secure: true };
const tls = { ca: readFileSync(certificate), servername: "mx.desk.example.org" };
const auth = { user, pass };

async function connect(options) {
    const client = new ImapFlow({
        ...server,
        port: Number(imap),
        servername: tls.servername,
        tls,
        auth,
        clientInfo: { name: "Ticket reader" },
        logger: false,
        emitLogs: true,
        ...options,
    });
    // What goes wrong beside a command.
    client.on("error", error => {
        throw error;
    });
    await client.connect();
    return client;
}

async function text(stream) {
    const chunks = [];
    for await (const chunk of stream) {
        chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString();
}

async function folders(client) {
    const list = await client.list({ statusQuery: { messages: true, unseen: true } });
    const uses = new Map(list.filter(box => box.specialUse).map(box => [box.path, box.specialUse]));
    assert.deepEqual(
        Object.fromEntries(uses),
        {
            INBOX: "\\Inbox",
            Archive: "\\Archive",
            Drafts: "\\Drafts",
            Junk: "\\Junk",
            Sent: "\\Sent",
            Trash: "\\Trash",
        },
    );
    const inbox = list.find(box => box.path === "INBOX");
    assert.deepEqual([inbox.status.messages, inbox.status.unseen], [3, 3]);
    const billing = list.find(box => box.path === "acme/Departments/Billing");
    assert.deepEqual([billing.name, billing.parentPath, billing.status.messages], ["Billing", "acme/Departments", 1]);
    const tree = await client.listTree();
    const acme = tree.folders.find(folder => folder.path === "acme");
    assert.equal(acme.disabled, true);
    await assert.rejects(client.mailboxCreate("Holidays"));
    await assert.rejects(client.mailboxOpen("acme"));
}

async function reads(client) {
    const opened = await client.mailboxOpen("INBOX");
    assert.deepEqual([opened.exists, opened.readOnly ?? false, opened.mailboxId], [3, false, "inbox"]);
    const seen = { envelope: true, bodyStructure: true, threadId: true, flags: true, internalDate: true };
    const messages = [];
    for await (const message of client.fetch("1:*", { ...seen, size: true, source: true })) {
        messages.push(message);
    }
    const [question, answer, invoice] = messages;
    assert.equal(question.envelope.subject, "Printer on fire");
    const carol = { name: "Carol Smith via Acme Support", address: "acme@desk.example.org" };
    assert.deepEqual(question.envelope.from, [carol]);
    assert.equal(answer.envelope.inReplyTo, question.envelope.messageId);
    assert.equal(answer.threadId, question.threadId);
    assert.notEqual(invoice.threadId, question.threadId);
    assert.equal(new Set(messages.map(message => message.emailId)).size, 3);
    assert.equal(invoice.envelope.subject, "Invoice 42 is wrong — déjà payé");
    assert.equal(invoice.bodyStructure.type, "multipart/mixed");
    const [body, file] = invoice.bodyStructure.childNodes;
    assert.deepEqual([body.part, body.type, body.encoding], ["1", "text/plain", "quoted-printable"]);
    const { type, disposition, dispositionParameters } = file;
    assert.deepEqual([type, disposition], ["application/pdf", "attachment"]);
    assert.equal(dispositionParameters.filename, "invoice.pdf");
    for (const message of messages) {
        assert.equal(message.source.length, message.size);
        assert.equal(message.flags.size, 0);
        assert.ok(message.internalDate instanceof Date && message.modseq > 0n);
    }

    const downloaded = await client.download(invoice.uid, file.part, { uid: true });
    assert.deepEqual([downloaded.meta.contentType, downloaded.meta.filename], ["application/pdf", "invoice.pdf"]);
    assert.equal(await text(downloaded.content), "%PDF-1.4\n\0\x01\x02\x03\x04\x05\x06\x07\x08\t\n");
    // A few octets at a time.
    const sipped = await client.download(invoice.uid, body.part, { uid: true, chunkSize: 7 });
    assert.match(await text(sipped.content), /The café was paid in October\./);
    return { question, answer, invoice };
}

async function searches(client, { question, answer, invoice }) {
    const uids = async query => await client.search(query, { uid: true });
    assert.deepEqual(await uids({ subject: "déjà" }), [invoice.uid]);
    assert.deepEqual(await uids({ from: "Bob", not: { deleted: true } }), [answer.uid]);
    assert.deepEqual(await uids({ threadId: question.threadId }), [question.uid, answer.uid]);
    assert.deepEqual(await uids({ emailId: invoice.emailId }), [invoice.uid]);
    const either = [{ body: "second floor" }, { header: { subject: "invoice" } }];
    assert.deepEqual(await uids({ or: either, larger: 10 }), [question.uid, invoice.uid]);
    assert.deepEqual(await uids({ seen: true }), []);
    assert.deepEqual(await uids({ modseq: invoice.modseq }), [invoice.uid]);
}

async function flags(client, { question, answer, invoice }) {
    const before = client.mailbox.highestModseq;
    assert.equal(await client.messageFlagsAdd(invoice.uid, ["\\Seen"], { uid: true }), true);
    const changed = [];
    for await (const message of client.fetch("1:*", { flags: true }, { uid: true, changedSince: before })) {
        changed.push(message);
    }
    assert.deepEqual(changed.map(message => message.uid), [invoice.uid]);
    assert.deepEqual([...changed[0].flags], ["\\Seen"]);
    assert.ok(changed[0].modseq > before);
    // A tag is its ticket's, on all of its messages; who wrote it hears of the others, too.
    const told = [];
    client.on("flags", event => told.push(event));
    await client.messageFlagsAdd(question.uid, ["refund"], { uid: true });
    assert.deepEqual([...told.find(event => event.uid === answer.uid).flags], ["refund"]);
    // Nobody overwrites what has changed meanwhile.
    await client.messageFlagsSet(invoice.uid, [], { uid: true, unchangedSince: before });
    assert.deepEqual([...(await client.fetchOne(invoice.uid, { flags: true }, { uid: true })).flags], ["\\Seen"]);
    return before;
}

async function idle(client) {
    const begun = new Promise(resolve => client.on("log", entry => /^Initiated IDLE/.test(entry.msg) && resolve()));
    const idling = client.idle();
    await begun;
    const arrived = once(client, "exists");
    console.log("idling");
    const [news] = await arrived;
    assert.deepEqual([news.path, news.count, news.prevCount], ["INBOX", 4, 3]);
    const message = await client.fetchOne("*", { envelope: true });
    await idling;
    assert.equal(message.envelope.subject, "Ribbons");
    return message;
}

async function moves(client, newest, invoice) {
    const moved = await client.messageMove(newest.uid, "acme/Members/Bob", { uid: true });
    assert.deepEqual([moved.path, moved.destination], ["INBOX", "acme/Members/Bob"]);
    assert.deepEqual([...moved.uidMap.keys()], [newest.uid]);
    assert.deepEqual(await client.search({ subject: "Ribbons" }), []);
    await client.mailboxOpen("acme/Members/Bob");
    const there = await client.fetchOne(moved.uidMap.get(newest.uid), { envelope: true }, { uid: true });
    assert.deepEqual([there.envelope.subject, there.emailId], ["Ribbons", newest.emailId]);
    // A copy says what a move does.
    await client.mailboxOpen("INBOX");
    const copied = await client.messageCopy(invoice.uid, "Archive", { uid: true });
    assert.equal(copied.uidMap.size, 1);
    assert.deepEqual(await client.search({ subject: "Invoice" }), []);
    await client.mailboxOpen("Archive");
    const back = await client.messageMove(copied.uidMap.get(invoice.uid), "INBOX", { uid: true });
    assert.equal(back.uidMap.size, 1);
}

async function drafts(client) {
    const kept = await client.append("Drafts", "Subject: later\r\n\r\nI will.\r\n", ["\\Draft", "\\Seen"]);
    assert.ok(kept.uid > 0 && kept.uidValidity > 0n);
    await client.mailboxOpen("Drafts");
    const query = { envelope: true, flags: true, threadId: true, source: true };
    const draft = await client.fetchOne(kept.uid, query, { uid: true });
    assert.deepEqual([draft.envelope.subject, draft.flags.has("\\Draft")], ["later", true]);
    assert.equal(draft.source.toString(), "Subject: later\r\n\r\nI will.\r\n");
    assert.equal(await client.messageDelete(kept.uid, { uid: true }), true);
    assert.deepEqual(await client.search({ all: true }), []);
}

// Whoever was away is told what he missed (QRESYNC).
async function resyncs(question, { uidValidity, changedSince }) {
    const gone = [];
    const client = await connect({ qresync: true, expungeHandler: event => gone.push(event) });
    const seen = new Map();
    client.on("flags", event => seen.set(event.uid, event.flags));
    await client.mailboxOpen("INBOX", { uidValidity, changedSince });
    assert.ok(seen.get(question.uid).has("refund"));
    assert.ok(gone.every(event => event.earlier && event.vanished && event.uid > 0) && gone.length > 0);
    await client.logout();
}

async function answers(client) {
    await client.mailboxOpen("INBOX");
    const [uid] = await client.search({ subject: "Invoice" }, { uid: true });
    const query = { envelope: true, headers: ["references"] };
    const { envelope, headers } = await client.fetchOne(uid, query, { uid: true });
    const transport = createTransport({ ...server, port: Number(submission), tls, auth });
    const sent = await transport.sendMail({
        from: "Alice <acme@desk.example.org>",
        to: envelope.replyTo[0].address,
        subject: `Re: ${envelope.subject}`,
        inReplyTo: envelope.messageId,
        references: `${headers.toString().replace(/^references:/i, "")} ${envelope.messageId}`.trim(),
        text: "It was a mistake of ours — sorry.\n",
        html: "<p>It was a mistake of ours — sorry.</p>",
        attachments: [{ filename: "credit note.txt", content: "-42.00\n" }],
    });
    assert.deepEqual(sent.accepted, [envelope.replyTo[0].address]);
    transport.close();
}

const client = await connect();
await folders(client);
const messages = await reads(client);
const { uidValidity } = client.mailbox;
await searches(client, messages);
const changedSince = await flags(client, messages);
const newest = await idle(client);
await moves(client, newest, messages.invoice);
await drafts(client);
await resyncs(messages.question, { uidValidity, changedSince });
await answers(client);
await client.logout();
