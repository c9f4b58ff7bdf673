package listen

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxWrongSettings bounds what is remembered; the longest unseen goes first.
	maxWrongSettings = 1000
	// settingMemory is how long it is remembered: as long as a login tells who is behind an address (specification,
	// section 2.7).
	settingMemory = 30 * 24 * time.Hour
)

// WrongSetting is a program that is set to the wrong kind of encryption for its port, as far as the connection tells.
type WrongSetting struct {
	Remote  netip.Addr `json:"rip"` // the last one within the address or /64
	Service Service    `json:"svc"`
	Port    uint16     `json:"lport"`          // ours
	Seen    string     `json:"seen"`           // "tls", "text", "silence", "sslv2", or "credential" sent in clear
	Name    string     `json:"sni,omitempty"`  // the server name that the program asked for; empty if it did not
	User    string     `json:"user,omitempty"` // as it was sent; empty if none was
	Times   int64      `json:"times"`
	First   time.Time  `json:"first"`
	Last    time.Time  `json:"last"`
}

// settingKey tells programs apart.
type settingKey struct {
	network netip.Prefix
	port    uint16
	seen    string
}

// WrongSettings remembers the programs with wrong settings that were seen in the last 30 days. Its zero value is ready, and
// its methods may be called concurrently.
type WrongSettings struct {
	mu    sync.Mutex
	known map[settingKey]*WrongSetting
}

// note adds s, or counts it with what is known of the same program.
func (w *WrongSettings) note(s WrongSetting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.known[s.key()]
	if old == nil || s.Last.Sub(old.Last) >= settingMemory {
		s.First, s.Times = s.Last, 1
		w.put(&s)
		return
	}
	old.Remote, old.Last = s.Remote, s.Last
	old.Name, old.User = cmp.Or(s.Name, old.Name), cmp.Or(s.User, old.User)
	old.Times++
}

func (s *WrongSetting) key() settingKey { return settingKey{prefixOf(s.Remote), s.Port, s.Seen} }

// put remembers s, for which there may have to be made room. mu is held.
func (w *WrongSettings) put(s *WrongSetting) {
	if w.known == nil {
		w.known = map[settingKey]*WrongSetting{}
	}
	if len(w.known) >= maxWrongSettings && w.known[s.key()] == nil {
		w.forgetOldest()
	}
	w.known[s.key()] = s
}

// forgetOldest makes room. mu is held.
func (w *WrongSettings) forgetOldest() {
	var oldest settingKey
	var last time.Time
	for k, s := range w.known {
		if last.IsZero() || s.Last.Before(last) {
			oldest, last = k, s.Last
		}
	}
	delete(w.known, oldest)
}

// Restore remembers what List returned before, such as in an earlier run.
func (w *WrongSettings) Restore(all []WrongSetting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range all {
		w.put(&s)
	}
}

// List returns what is known, the newest first.
func (w *WrongSettings) List(now time.Time) []WrongSetting {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]WrongSetting, 0, len(w.known))
	for _, s := range w.known {
		if now.Sub(s.Last) < settingMemory {
			all = append(all, *s)
		}
	}
	slices.SortFunc(all, func(a, b WrongSetting) int {
		return cmp.Or(b.Last.Compare(a.Last), a.Remote.Compare(b.Remote), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Seen, b.Seen))
	})
	return all
}

// implicitPorts are those with TLS from the start, by service.
var implicitPorts = map[Service]uint16{SMTP: 465, Submission: 465, IMAP: 993, POP3: 995}

// Words are the sentence for the person who uses the program: T-02 and T-03 of the specification. program is its name;
// empty: it is not known.
func (s *WrongSetting) Words(program string) string {
	program = cmp.Or(program, "Your program")
	switch {
	case s.Seen == string(seenSSLv2):
		return fmt.Sprintf("%s is too old: it asks for SSLv2 on port %d. Update it, or use another one.", program, s.Port)
	case s.Seen == string(seenTLS) && s.Service == SMTP:
		return fmt.Sprintf("%s is set to SSL/TLS on port %d; that port is for other servers. Use port 465 and keep SSL/TLS.", program, s.Port)
	case s.Seen == string(seenTLS):
		return fmt.Sprintf("%s is set to SSL/TLS on port %d; that port expects STARTTLS. Use port %d and keep SSL/TLS.", program, s.Port, implicitPorts[s.Service])
	case s.Seen == seenCredential:
		return fmt.Sprintf("%s tries to log in without encryption on port %d. Set *Connection security* to *SSL/TLS*, port %d.", program, s.Port, implicitPorts[s.Service])
	}
	return fmt.Sprintf("%s is set to STARTTLS or none on port %d; that port expects SSL/TLS from the start. Choose SSL/TLS.", program, s.Port)
}

// seenCredential is a login that was tried in clear, where a program was told before that it is not taken.
const seenCredential = "credential"

// maxUser bounds the name that is remembered.
const maxUser = 320

// noteSetting remembers what a person can mend, which other protocols than mail are not.
func (c *Conn) noteSetting(what seen, name string) {
	switch what {
	case seenTLS, seenSSLv2, seenText, seenSilence:
		c.remember(WrongSetting{Seen: string(what), Name: name})
	}
}

// NoteClearLogin remembers that a program tried to log in without encryption, under a name that may be empty.
func (c *Conn) NoteClearLogin(user string) {
	user = strings.ToValidUTF8(user[:min(len(user), maxUser)], "?")
	c.remember(WrongSetting{Seen: seenCredential, User: user})
}

func (c *Conn) remember(s WrongSetting) {
	w := c.server.wrong
	if w == nil {
		return
	}
	s.Remote, s.Service, s.Port, s.Last = c.remote.Addr(), c.listener.Service, c.local.Port(), time.Now()
	w.note(s)
}
