// Runs within Thunderbird. window.candor.start begins what its rows ask for, window.candor.state tells how far it is.
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const [{ host, user, password, certificate }] = arguments;

// told is what the person at the screen is told, in alerts and in dialogs, which are closed at once.
const told = [];
MailServices.mailSession.addUserFeedbackListener({
  QueryInterface: ChromeUtils.generateQI(["nsIMsgUserFeedbackListener"]),
  onAlert(message) {
    told.push(message);
    return true;
  },
  onCertError(secInfo, uri) {
    told.push(`certificate of ${uri.asciiHostPort}`);
    return true;
  },
});
Services.obs.addObserver(win => {
  told.push(win.document.getElementById("infoBody").textContent);
  win.setTimeout(() => win.document.querySelector("dialog").cancelDialog(), 0);
}, "common-dialog-loaded");

// trust lets the program take the certificate, as a person does in its dialog.
function trust(port) {
  const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
  const overrides = Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService);
  overrides.rememberValidityOverride(host, port, {}, database.constructX509FromBase64(certificate), true);
}

async function savePassword(origin) {
  const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
  login.init(origin, null, origin, user, password, "", "");
  await Services.logins.addLoginAsync(login);
}

const outcome = status => (status ? (status >>> 0).toString(16) : "ok");

// ended runs something that tells a URL listener of its end.
const ended = run =>
  new Promise(resolve => {
    run({
      QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
      OnStartRunningUrl() {},
      OnStopRunningUrl(url, status) {
        resolve(outcome(status));
      },
    });
  });

const text = (folder, message) =>
  new Promise((resolve, reject) => {
    let all = "";
    const uri = folder.getUriForMsg(message);
    const listener = {
      QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]),
      onStartRequest() {},
      onStopRequest(request, status) {
        status ? reject(new Error(outcome(status))) : resolve(all);
      },
      onDataAvailable(request, stream, offset, count) {
        const input = Cc["@mozilla.org/scriptableinputstream;1"].createInstance(Ci.nsIScriptableInputStream);
        input.init(stream);
        all += input.readBytes(count);
      },
    };
    MailServices.messageServiceFromURI(uri).streamMessage(uri, listener, null, null, false, "", false);
  });

// receive sets up an account and reads what is in its inbox.
async function receive({ type, port, security, method }) {
  const server = MailServices.accounts.createIncomingServer(user, host, type);
  Object.assign(server, { port, socketType: security, authMethod: method, valid: true, doBiff: false, loginAtStartUp: false });
  const account = MailServices.accounts.createAccount();
  account.incomingServer = server;
  const root = server.rootFolder;
  const inbox = () => [...root.subFolders].find(f => f.getFlag(Ci.nsMsgFolderFlags.Inbox));
  let status;
  if (type == "imap") {
    status = await ended(l => MailServices.imap.discoverAllFolders(root, l, window.msgWindow));
    if (status == "ok") {
      status = await ended(l => MailServices.imap.selectFolder(inbox(), l, window.msgWindow));
    }
  } else {
    server.QueryInterface(Ci.nsIPop3IncomingServer).leaveMessagesOnServer = true;
    status = await ended(l => server.getNewMessages(inbox(), window.msgWindow, l));
  }
  const messages = [];
  if (status == "ok") {
    for (const m of inbox().messages) {
      messages.push({ subject: m.subject, keywords: m.getStringProperty("keywords"), text: await text(inbox(), m) });
    }
  }
  MailServices.accounts.removeAccount(account, true);
  return { status, messages };
}

// send sets up an outgoing server and sends a message from the person to himself.
async function send({ port, security, method, subject }) {
  const server = MailServices.outgoingServer.createServer("smtp");
  Object.assign(server.QueryInterface(Ci.nsISmtpServer), { hostname: host, port });
  Object.assign(server, { socketType: security, authMethod: method, username: user });
  const identity = MailServices.accounts.createIdentity();
  identity.email = user;
  const file = Services.dirsvc.get("TmpD", Ci.nsIFile);
  file.append("message.eml");
  file.createUnique(Ci.nsIFile.NORMAL_FILE_TYPE, 0o600);
  await IOUtils.writeUTF8(file.path, `From: ${user}\r\nTo: ${user}\r\nSubject: ${subject}\r\n\r\nHello\r\n`);
  const status = await new Promise(resolve => {
    server.sendMailMessage(file, MailServices.headerParser.makeFromDisplayAddress(user), [], identity, user, "", null, false, `<${port}@${host}>`, {
      QueryInterface: ChromeUtils.generateQI(["nsIMsgOutgoingListener"]),
      onSendStart() {},
      onSendStop(uri, code, secInfo, message) {
        told.push(message ?? "");
        resolve(outcome(code));
      },
    });
  });
  file.remove(false);
  MailServices.outgoingServer.deleteServer(server);
  return { status, messages: [] };
}

let passwords;
let job = {};

async function work(rows) {
  passwords ??= Promise.all(["imap", "mailbox", "smtp"].map(scheme => savePassword(`${scheme}://${host}`)));
  await passwords;
  rows.forEach(row => trust(row.port));
  return Promise.all(rows.map(row => (row.type == "smtp" ? send(row) : receive(row))));
}

window.candor = {
  start(rows) {
    told.length = 0;
    const mine = (job = {});
    work(rows).then(
      results => Object.assign(mine, { results }),
      e => Object.assign(mine, { failed: `${e}\n${e.stack}` })
    );
  },
  state: () => ({ ...job, told }),
};
