package message

import (
	"strings"
	"testing"
)

func TestDowngrade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"ASCII":           {"Subject: x\r\nnonsense\r\n\r\n", "Subject: x\r\nnonsense\r\n\r\n"},
		"subject":         {"A: b\r\nSubject: Grüße\r\n\r\n", "A: b\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n"},
		"folded":          {"Subject: a\r\n ü\r\n\r\n", "Subject: =?utf-8?q?a_=C3=BC?=\r\n\r\n"},
		"not UTF-8":       {"Subject: a\xff\r\n\r\n", "Subject: =?utf-8?q?a=EF=BF=BD?=\r\n\r\n"},
		"name":            {"To: Jürg <j@example.org>, b@example.org\r\n\r\n", "To: =?utf-8?b?SsO8cmc=?= <j@example.org>,\r\n <b@example.org>\r\n\r\n"},
		"address":         {"From: jürg@example.org\r\n\r\n", "From: =?utf-8?b?asO8cmdAZXhhbXBsZS5vcmc=?= <invalid@internationalized-address.invalid>\r\n\r\n"},
		"name of address": {"Resent-From: Ann <jürg@example.org>\r\n\r\n", "Resent-From: \"Ann\" <invalid@internationalized-address.invalid>\r\n\r\n"},
		"parameter":       {"Content-Type: text/plain; charset=utf-8; name=\"ü\"\r\n\r\n", "Content-Type: TEXT/PLAIN;\r\n charset=\"utf-8\"\r\n\r\n"},
		"disposition":     {"Content-Disposition: attachment; filename=ü\r\n\r\n", "Content-Disposition: ATTACHMENT\r\n\r\n"},
		"others":          {"References: <ü@x>\r\nÜ: x\r\nDate: now\r\n\r\n", "Date: now\r\n\r\n"},
	} {
		if got := string(Downgrade(Header(c.in))); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, c.want)
		}
	}
}

func FuzzDowngrade(f *testing.F) {
	f.Add("Subject: ü\r\nTo: ü <a@b>, g: c;\r\nContent-Type: a/b; c=\"\xff\"\r\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		h, _, err := ReadHeader(strings.NewReader(in), 1<<20)
		if err != nil {
			return
		}
		if got := Downgrade(h); !isASCII(string(got)) || string(Downgrade(got)) != string(got) {
			t.Errorf("%q becomes %q", h, got)
		}
	})
}
