// What Thunderbird is told to do by its own windows and commands, as somebody at its screen would: a function
// of `hands` each. `thunderbird.py` has one of them run in the main window, and hands on what it gives.

const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");

const PATIENCE = 120_000;

const hands = {
  // Believes an authority, in PEM, of servers.
  async trust(pem) {
    const certificates = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
    certificates.addCertFromBase64(pem.replace(/-----[A-Z ]+-----|\s/g, ""), "CTu,,");
  },

  // Makes an account in the account hub, which opens by itself where there is none: from a name, an address
  // and a password. Gives what was found for the address.
  async setUp(name, address, password) {
    const hub = await until("the account hub", () =>
      document.querySelector("account-hub-container")?.modal?.querySelector("account-hub-email")
    );
    await hub.ready;
    const step = id => until(id, () => {
      const view = hub.querySelector(`#${id}`);
      return !view.hidden && !hub.classList.contains("busy") && view;
    });
    const type = (view, field, text) => {
      const input = view.querySelector(field);
      input.value = text;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    };
    const goOn = () => hub.querySelector("account-hub-footer #forward").click();

    let view = await step("emailAutoConfigSubview");
    type(view, "#realName", name);
    type(view, "#email", address);
    goOn();
    view = await step("emailConfigFoundSubview");
    const fields = ["incomingType", "incomingHost", "incomingPort", "outgoingHost", "outgoingPort", "sharedUsername"];
    const found = fields.map(field => view.querySelector(`#${field}`).textContent);
    goOn();
    view = await step("emailPasswordSubview");
    type(view, "#password", password);
    goOn();
    await step("emailAddedSuccessSubview");
    goOn();
    await until("the end of it", () => !document.querySelector("account-hub-container").modal.open);
    return found;
  },

  async prefer(name, value) {
    if (typeof value == "boolean") {
      Services.prefs.setBoolPref(name, value);
    } else {
      Services.prefs.setIntPref(name, value);
    }
  },

  // The folders of the account by their paths, and what each is for.
  async folders() {
    const uses = ["Inbox", "Drafts", "SentMail", "Archive", "Junk", "Trash", "Templates"];
    const folders = account().rootFolder.descendants.map(folder => [
      pathOf(folder),
      uses.filter(use => folder.flags & Ci.nsMsgFolderFlags[use]).join(" "),
    ]);
    return Object.fromEntries(folders);
  },

  // Where what he sends, keeps for later and archives goes.
  async filing() {
    const identity = MailServices.accounts.defaultAccount.defaultIdentity;
    const folders = [identity.fccFolderURI, identity.draftsFolderURI, identity.archivesFolderURI];
    return [identity.doFcc, ...folders.map(uri => uri.slice(account().rootFolder.URI.length + 1))];
  },

  // What the dialog of subscriptions does when it is left with one more.
  async subscribe(path) {
    window.SubscribeOKCallback({ [account().serverURI]: { [path]: true } });
    await until(`${path} to be there`, () => find(path));
  },

  // Takes everything onto its own disk, as the menu says; from a folder that is busy it takes nothing, so more
  // than once. It is done when each of these folders has so many messages whole.
  async download(counts) {
    let asked = 0;
    await until("everything to be here", () => {
      if (Date.now() > asked + 5_000) {
        asked = Date.now();
        window.MailOfflineMgr.offlineManager.synchronizeForOffline(false, true, false, false, window.msgWindow);
      }
      return Object.entries(counts).every(([path, count]) => like(path, { flags: "Offline" }).length == count);
    });
  },

  async workOffline(off) {
    Services.prefs.setIntPref("offline.download.download_messages", 2);
    window.MailOfflineMgr.toggleOfflineStatus();
    await until("the other state", () => Services.io.offline === off);
  },

  // Plays what was done in a folder without a line, which going online does not always.
  async play(path) {
    await until("it to be played", async () => {
      window.MailOfflineMgr.offlineManager.goOnline(false, true, window.msgWindow);
      await pause(1_000);
      return !(folderAt(path).flags & Ci.nsMsgFolderFlags.OfflineEvents);
    });
  },

  // Shows a folder.
  async show(path) {
    await shown(path);
  },

  // Waits until its database has so many messages like this one in a folder, without asking the server.
  async hears(path, what, count) {
    await until(wanted(path, what, count), () => like(path, what).length == count);
  },

  // The same, not for long; whether it was so.
  async hearsSoon(path, what, count) {
    const end = Date.now() + 5_000;
    await until("it, or the end", () => like(path, what).length == count || Date.now() > end);
    return like(path, what).length == count;
  },

  // The same, asking the server again and again.
  async finds(path, what, count) {
    await until(wanted(path, what, count), async () => {
      await Promise.race([update(path), pause(2_000)]);
      return like(path, what).length == count;
    });
  },

  // Shows a message, which is read by that.
  async read(path, what) {
    await select(path, what);
    await until("it to be read", () => like(path, what).every(message => message.isRead));
  },

  // Does with a message what a command of the menus does.
  async command(path, what, name, ...rest) {
    const pane = await select(path, what);
    await until(`${name} to be possible`, () => pane.commandController.isCommandEnabled(name));
    pane.commandController.doCommand(name, ...rest);
  },

  async move(path, what, to) {
    await hands.command(path, what, "cmd_moveMessage", folderAt(to));
  },

  // Makes a tag of one's own, and puts it on a message.
  async tag(path, what, name) {
    MailServices.tags.addTag(name, "#336699", "");
    const item = { value: MailServices.tags.getKeyForTag(name), hasAttribute: () => true };
    await hands.command(path, what, "cmd_toggleTag", { target: item });
  },

  async undo() {
    await until("something to undo", () => window.messenger.canUndo());
    window.messenger.undo(window.msgWindow);
  },

  // Writes in a window that a command opens for a message, and sends that, or keeps it as a draft.
  async write(path, what, command, text, end) {
    const opened = composeWindow();
    await hands.command(path, what, command);
    const compose = await opened;
    await until("a window to write in", () => compose.composeEditorReady && compose.gMsgCompose?.editor);
    compose.GetCurrentEditor().beginningOfDocument();
    compose.GetCurrentEditor().insertText(text);
    if (end == "send") {
      compose.goDoCommand("cmd_sendNow");
      await until("it to be sent", () => compose.closed);
      return;
    }
    const saved = new Promise((resolve, reject) =>
      compose.gMsgCompose.RegisterStateListener({
        ComposeProcessDone: status => (Components.isSuccessCode(status) ? resolve() : reject(new Error(`${status}`))),
      })
    );
    compose.goDoCommand("cmd_saveAsDraft");
    await saved;
    await until("it to be saved", () => !compose.gWindowLocked);
    compose.close();
  },
};

// In words, with what there is in its place.
function wanted(path, what, count) {
  return () => `${count} of ${JSON.stringify(what)} in ${path}: ${JSON.stringify(like(path, {}).map(said))}`;
}

// Waits until there is something, and gives it.
async function until(what, look) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (found) {
      return found;
    }
    if (Date.now() > end) {
      throw new Error(`waited in vain for ${typeof what == "function" ? what() : what}`);
    }
    await pause(20);
  }
}

function pause(milliseconds) {
  return new Promise(resolve => setTimeout(resolve, milliseconds));
}

function account() {
  return MailServices.accounts.allServers.find(server => server.type == "imap");
}

function pathOf(folder) {
  return decodeURIComponent(folder.URI.slice(folder.rootFolder.URI.length + 1));
}

function find(path) {
  return account().rootFolder.descendants.find(folder => pathOf(folder) == path);
}

function folderAt(path) {
  const found = find(path);
  if (!found) {
    throw new Error(`there is no folder ${path}`);
  }
  return found;
}

// What its database says of a message.
function said(message) {
  const flags = ["Read", "Replied", "Marked", "Offline"];
  return {
    subject: message.mime2DecodedSubject,
    from: message.mime2DecodedAuthor,
    flags: flags.filter(flag => message.flags & Ci.nsMsgMessageFlags[flag]).join(" "),
    junk: message.getStringProperty("junkscore"),
  };
}

// The messages of a folder that have these words in these fields, or with a `!` before them have not.
function like(path, what) {
  const fits = (text, word) => (word.startsWith("!") ? !text.includes(word.slice(1)) : text.includes(word));
  return Array.from(folderAt(path).messages).filter(message => {
    const known = said(message);
    return Object.entries(what).every(([field, word]) => fits(known[field], word));
  });
}

// Asks what is new in a folder. A folder that is busy says no, or nothing at all: whoever waits asks again.
function update(path) {
  return new Promise(resolve => {
    const listener = { OnStartRunningUrl() {}, OnStopRunningUrl: resolve };
    folderAt(path)
      .QueryInterface(Ci.nsIMsgImapMailFolder)
      .updateFolderWithListener(window.msgWindow, listener);
  });
}

async function shown(path) {
  const tabs = document.getElementById("tabmail");
  const pane = await until("the mail window", () => tabs.currentAbout3Pane?.folderTree && tabs.currentAbout3Pane);
  const folder = folderAt(path);
  if (pane.gFolder != folder) {
    pane.displayFolder(folder.URI);
  }
  await until(`${path} to be shown`, () => pane.gFolder == folder && pane.gViewWrapper?.dbView);
  return pane;
}

async function select(path, what) {
  const pane = await shown(path);
  await until(`${JSON.stringify(what)} to be selected`, () => {
    const [message] = like(path, what);
    if (message) {
      pane.selectMessage(message);
    }
    return message && pane.gDBView.numSelected == 1 && pane.gDBView.hdrForFirstSelectedMessage == message;
  });
  return pane;
}

// The next window to write in.
function composeWindow() {
  return new Promise(resolve => {
    const observe = (opened, topic) => {
      if (topic != "domwindowopened") {
        return;
      }
      opened.addEventListener("load", () => {
        if (opened.location.href == "chrome://messenger/content/messengercompose/messengercompose.xhtml") {
          Services.ww.unregisterNotification(observe);
          resolve(opened);
        }
      }, { once: true });
    };
    Services.ww.registerNotification(observe);
  });
}

async function call(name, given) {
  try {
    return { done: (await hands[name](...given)) ?? null };
  } catch (error) {
    return { failed: `${error}\n${error.stack}` };
  }
}
