package listen

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWrongSettings: TS-2.7. Whoever can be told what to change is remembered with what the connection tells of him;
// other protocols than mail are not.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	var wrong WrongSettings
	ts := serve(t, Options{
		Listeners:     []Listener{{Service: Submission, Mode: Required}, {Service: POP3, Mode: Implicit}},
		Handlers:      map[Service]Handler{Submission: echo, POP3: echo},
		Limits:        Limits{FirstByte: 50 * time.Millisecond, Exempt: loopbackNet},
		WrongSettings: &wrong,
	})
	var hello recorder
	tls.Client(&hello, &tls.Config{ServerName: "mail.example.test", MinVersion: tls.VersionTLS12}).Handshake()
	for _, c := range []struct {
		listener int
		text     string
	}{{0, hello.String()}, {0, hello.String()}, {0, "\x80\x2e\x01\x03\x01\x00"}, {0, "GET / HTTP/1.1\r\n"}, {1, "USER x\r\n"}, {1, ""}, {1, "SSH-2.0-x\r\n"}} {
		raw := ts.dial(t, c.listener)
		if c.listener == 0 {
			expect(t, raw, "hello\r\n")
		}
		send(t, raw, c.text)
		var rest strings.Builder
		buffer := make([]byte, 1000)
		for {
			n, err := raw.Read(buffer)
			rest.Write(buffer[:n])
			if err != nil {
				break
			}
		}
	}
	ts.stop()
	got := map[string]WrongSetting{}
	for _, s := range wrong.List(time.Now()) {
		got[s.Seen] = s
	}
	if len(got) != 4 {
		t.Errorf("got %+v", got)
	}
	if s := got["tls"]; s.Times != 2 || s.Name != "mail.example.test" || s.Service != Submission || !s.Remote.IsLoopback() || s.Last.Before(s.First) {
		t.Errorf("got %+v", s)
	}
	for seen, port := range map[string]int{"sslv2": 0, "text": 1, "silence": 1} {
		if s := got[seen]; s.Times != 1 || s.Port != addrPort(ts.Addrs()[port]).Port() {
			t.Errorf("%s: got %+v", seen, s)
		}
	}
}

// TestWrongSettingWords: T-02 and T-03, with the port to use.
func TestWrongSettingWords(t *testing.T) {
	for _, c := range []struct {
		s             WrongSetting
		program, want string
	}{
		{WrongSetting{Service: Submission, Port: 587, Seen: "tls"}, "Thunderbird", "Thunderbird is set to SSL/TLS on port 587; that port expects STARTTLS. Use port 465 and keep SSL/TLS."},
		{WrongSetting{Service: IMAP, Port: 143, Seen: "tls"}, "", "Your program is set to SSL/TLS on port 143; that port expects STARTTLS. Use port 993 and keep SSL/TLS."},
		{WrongSetting{Service: POP3, Port: 110, Seen: "tls"}, "", "Your program is set to SSL/TLS on port 110; that port expects STARTTLS. Use port 995 and keep SSL/TLS."},
		{WrongSetting{Service: SMTP, Port: 25, Seen: "tls"}, "", "Your program is set to SSL/TLS on port 25; that port is for other servers. Use port 465 and keep SSL/TLS."},
		{WrongSetting{Service: IMAP, Port: 993, Seen: "silence"}, "", "Your program is set to STARTTLS or none on port 993; that port expects SSL/TLS from the start. Choose SSL/TLS."},
		{WrongSetting{Service: Submission, Port: 465, Seen: "text"}, "", "Your program is set to STARTTLS or none on port 465; that port expects SSL/TLS from the start. Choose SSL/TLS."},
		{WrongSetting{Service: IMAP, Port: 143, Seen: "credential"}, "", "Your program tries to log in without encryption on port 143. Set *Connection security* to *SSL/TLS*, port 993."},
		{WrongSetting{Service: POP3, Port: 110, Seen: "sslv2"}, "", "Your program is too old: it asks for SSLv2 on port 110. Update it, or use another one."},
	} {
		if got := c.s.Words(c.program); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// TestWrongSettingsBound: strangers cannot fill the memory; the newest are kept, for 30 days, also over a restart.
func TestWrongSettingsBound(t *testing.T) {
	start := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	setting := func(i int) WrongSetting {
		return WrongSetting{
			Remote: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Port: 143, Seen: "tls", Last: start.Add(time.Duration(i) * time.Second),
		}
	}
	var before WrongSettings
	for i := range maxWrongSettings + 10 {
		before.note(setting(i))
	}
	now := start.Add(time.Hour)
	var w WrongSettings
	w.Restore(before.List(now))
	for name, w := range map[string]*WrongSettings{"before": &before, "restored": &w} {
		all := w.List(now)
		if len(all) != maxWrongSettings || all[0] != before.List(now)[0] || all[0].Remote != setting(maxWrongSettings+9).Remote || all[len(all)-1].Remote != setting(10).Remote {
			t.Errorf("%s: %d remembered, from %v to %v", name, len(all), all[len(all)-1].Remote, all[0].Remote)
		}
	}
	w.note(setting(20))
	w.note(setting(maxWrongSettings + 10))
	again := slices.IndexFunc(w.List(now), func(s WrongSetting) bool { return s.Times == 2 })
	if all := w.List(now); len(all) != maxWrongSettings || again < 0 || all[again].Remote != setting(20).Remote {
		t.Errorf("%d remembered; the one at %d came again", len(all), again)
	}
	if all := w.List(setting(maxWrongSettings + 9).Last.Add(settingMemory)); len(all) != 1 {
		t.Errorf("%d remembered after 30 days", len(all))
	}
	late := setting(30)
	late.Last = late.Last.Add(settingMemory)
	w.note(late)
	if all := w.List(late.Last); all[0].Times != 1 || all[0].First != late.Last {
		t.Errorf("after 30 days it is not new: %+v", all[0])
	}
}
