package directory

import (
	"slices"
	"strings"

	"candor/internal/proto/sasl"
)

// Quirk is what is known of a program's ways to log in (specification, section 3.6).
type Quirk struct {
	Program string `json:"program"`
	Uses    string `json:"uses"` // by itself
	Fact    string `json:"quirk"`
	Sure    string `json:"conf"`    // "H", "M" or "L"
	Setting string `json:"setting"` // what to tell the user to change

	// clients are lower-case parts of the names by which programs call themselves.
	clients []string
	// among are the methods of each service among which the program chooses by itself, so that it does without one of
	// them where another is offered.
	among map[Service][]string
}

// The methods that hand over the password itself.
var plainMethods = map[Service][]string{
	Submission: {sasl.Plain, sasl.Login}, IMAP: {sasl.Plain, sasl.Login, IMAPLogin}, POP3: {sasl.Plain, sasl.Login, POP3User},
}

var scramMethods = []string{sasl.ScramSHA256Plus, sasl.ScramSHA256, sasl.ScramSHA1Plus, sasl.ScramSHA1}

// with returns methods with more of them at each service.
func with(more []string, methods map[Service][]string) map[Service][]string {
	all := map[Service][]string{}
	for s, m := range methods {
		all[s] = slices.Concat(m, more)
	}
	return all
}

// quirks is the table. The first row that fits counts. Rows without clients are for people to read: these programs do
// not say what they are.
var quirks = []Quirk{
	{
		Program: "Outlook (new, mobile)", Uses: "PLAIN, from Microsoft's addresses",
		Fact: "rip is the provider's cloud, and the password is stored there", Sure: "H",
		Setting: `the web page shows "logged in through Microsoft's servers"`,
		clients: []string{"microsoft.exchange", "outlook-ios", "outlook mobile", "outlook for", "microsoft outlook mobile"}, among: plainMethods,
	},
	{
		Program: "Outlook (Windows classic)", Uses: "SMTP AUTH LOGIN; IMAP LOGIN or PLAIN; POP USER",
		Fact: `LOGIN without initial response; "SPA" is NTLM and must be off; the port box does not follow the encryption box`, Sure: "H",
		Setting: `"Require logon using Secure Password Authentication (SPA)" off; incoming 993 SSL/TLS, outgoing 465 SSL/TLS (or 587 STARTTLS)`,
		clients: []string{"outlook"},
		among:   map[Service][]string{Submission: {sasl.Login}, IMAP: {sasl.Plain, IMAPLogin}, POP3: {POP3User}},
	},
	{
		Program: "K-9 Mail, Thunderbird for Android, FairEmail", Uses: "PLAIN; FairEmail also SCRAM",
		Fact: "sends ALPN and SNI properly", Sure: "M", Setting: `Security: "SSL/TLS"; Authentication: "Normal password"`,
		clients: []string{"k-9", "k9", "fairemail", "thunderbird for android"}, among: with(scramMethods, plainMethods),
	},
	{
		Program: "Thunderbird", Uses: `PLAIN; CRAM-MD5 when set to "Encrypted password"`,
		Fact: `tries a wrong setting for long after the server has changed; remembers the method of each account; the old "STARTTLS, if available" is gone`,
		Sure: "H", Setting: `Connection security: "SSL/TLS"; Authentication method: "Normal password"`,
		clients: []string{"thunderbird", "betterbird", "icedove"}, among: plainMethods,
	},
	{
		Program: "Apple Mail, iOS Mail", Uses: `PLAIN or LOGIN ("Password"); CRAM-MD5 ("MD5 Challenge-Response")`,
		Fact: `"Automatically manage connection settings" may change ports and method; probes without TLS`, Sure: "M",
		Setting: `"Automatically manage connection settings" off; ports 993 and 465 with SSL; Authentication: "Password"`,
		clients: []string{"mac os x mail", "macos mail", "iphone mail", "ipad mail", "apple mail", "com.apple", "smtpclient.apple"}, among: plainMethods,
	},
	{
		Program: "mutt, neomutt, msmtp, mbsync, KMail, Evolution", Uses: "SCRAM or SCRAM-PLUS where the library has it, else PLAIN",
		Fact: "some versions of GNU SASL prefer PLUS with tls-unique, which TLS 1.3 does not have", Sure: "M",
		Setting: `update the library, or choose PLAIN (mutt: smtp_authenticators, pop_authenticators and imap_authenticators = "plain"; msmtp: auth plain; mbsync: AuthMechs PLAIN; KMail, Evolution: Authentication: PLAIN)`,
		clients: []string{"mutt", "msmtp", "mbsync", "isync", "kmail", "kontact", "evolution"}, among: with(scramMethods, plainMethods),
	},
	{
		Program: "Delta Chat", Uses: "PLAIN; probes 993 and 465, 143 and 587", Fact: "probes at the same time and tears down what it does not need",
		Sure: "M", Setting: "nothing: it finds what works", clients: []string{"delta chat", "deltachat"}, among: plainMethods,
	},
	{
		Program: "scripts (PHP mailers, webmail, swaks)", Uses: "LOGIN, PLAIN or CRAM-MD5, in the order of the server",
		Fact: "CRAM-MD5 first where it is offered; where it is not, PLAIN works", Sure: "H", Setting: `nothing, or AuthType "PLAIN"`,
		clients: []string{"phpmailer", "php", "swaks", "roundcube", "nextcloud", "imapsync"}, among: with([]string{sasl.CramMD5}, plainMethods),
	},
	{
		Program: "scanners, printers, alarm panels", Uses: "LOGIN or PLAIN, TLS 1.0 to 1.2, old ciphers, no SNI",
		Fact: "port 587 with SSL is a usual mistake", Sure: "H", Setting: "port 465 with SSL, or 587 with STARTTLS; SMTP authentication: LOGIN or PLAIN; else an insecure flag",
	},
}

// Quirks returns the table.
func Quirks() []Quirk { return slices.Clone(quirks) }

// quirkOf finds the row of a program by what it calls itself; nil: it is not known.
func quirkOf(client string) *Quirk {
	client = strings.ToLower(client)
	for i := range quirks {
		for _, part := range quirks[i].clients {
			if strings.Contains(client, part) {
				return &quirks[i]
			}
		}
	}
	return nil
}

// outlookEHLO tells Outlook by its ways, since its EHLO gives no more than the name of the machine.
func outlookEHLO(service Service, client, mechanism string, initial bool) bool {
	return service == Submission && client == "EHLO name" && mechanism == sasl.Login && !initial
}

// outlook is the row of Outlook on Windows.
func outlook() *Quirk {
	i := slices.IndexFunc(quirks, func(q Quirk) bool { return q.Program == "Outlook (Windows classic)" })
	return &quirks[i]
}

// stepsDown returns what the program, which logged in as a row tells, uses by itself where the row's method is not
// offered any more: another one that it could have taken then, and can now; "": nothing.
func (q *Quirk) stepsDown(used *CensusRow, now offeredNow) string {
	among := q.among[used.Service]
	if !slices.Contains(among, used.Mechanism) {
		return ""
	}
	for _, m := range among {
		then := slices.Contains(used.Offered, m) || slices.Contains(passwordCommands, m)
		if m != used.Mechanism && then && slices.Contains(now[used.Service], m) {
			return m
		}
	}
	return ""
}
