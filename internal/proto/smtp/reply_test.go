package smtp

import (
	"bufio"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"candor/internal/mail"
	"candor/internal/mailtest"
)

// TestReplyForKinds asks for the reply to every kind, so that a new kind cannot be forgotten.
func TestReplyForKinds(t *testing.T) {
	for k, row := range mailtest.ErrorTable(t) {
		r := ReplyFor(mail.Errorf(k, "text"))
		if got, want := r.String(), row.SMTP+" "+row.Status+" text"; got != want {
			t.Errorf("%s: got %q; docs/errors.md says %q", k, got, want)
		}
		if r.Class() != int(r.Status.Class) {
			t.Errorf("%s: %s contradicts itself", k, r)
		}
	}
}

func TestReplyForStatus(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"argument":            {argument("x"), "501 5.5.4 x"},
		"login too long":      {mail.Errorf(mail.Syntax, "x").With(5, 5, 6), "500 5.5.6 x"},
		"path":                {mail.Errorf(mail.Syntax, "x").With(5, 1, 3), "501 5.1.3 x"},
		"parameter":           {mail.Errorf(mail.Unsupported, "x").With(5, 5, 4), "504 5.5.4 x"},
		"quota for ever":      {mail.Errorf(mail.OverQuota, "x").With(5, 2, 2), "552 5.2.2 x"},
		"starttls first":      {mail.Errorf(mail.NeedTLS, "x").With(5, 7, 0), "530 5.7.0 x"},
		"refused for now":     {mail.Errorf(mail.Refused, "x").With(4, 7, 1), "451 4.7.1 x"},
		"no address, for now": {mail.Errorf(mail.NoAddress, "x").With(4, 1, 1), "451 4.1.1 x"},
		"unavailable":         {mail.Errorf(mail.Unavailable, "x").With(5, 3, 2), "550 5.3.2 x"},
		"cause":               {mail.Wrap(mail.Forbidden, errors.New("secret"), "x"), "550 5.7.1 x"},
		"unknown":             {errors.New("secret"), "451 4.3.0 internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ReplyFor(c.err).String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestReplyText(t *testing.T) {
	for name, c := range map[string]struct {
		reply Reply
		want  string
	}{
		"greeting":    {NewReply(220, "", "mx ESMTP"), "220 mx ESMTP\r\n"},
		"status":      {OK("2.1.5", "ok"), "250 2.1.5 ok\r\n"},
		"no lines":    {Reply{Code: 250}, "250 \r\n"},
		"lines":       {Reply{Code: 250, Lines: []string{"a", "b"}}, "250-a\r\n250 b\r\n"},
		"status each": {Reply{Code: 550, Status: mail.Status{Class: 5, Subject: 7, Detail: 1}, Lines: []string{"a", "b"}}, "550-5.7.1 a\r\n550 5.7.1 b\r\n"},
		"odd octets":  {OK("2.0.0", "a\r\n550 b\x00\xff"), "250 2.0.0 a??550 b??\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(c.reply.AppendTo(nil)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := OK("2.0.0", strings.Repeat("x", 9999)).AppendTo(nil); len(got) > 512 {
		t.Errorf("a long text makes a line of %d octets", len(got))
	}
}

func readOne(s string) (Reply, error) { return ReadReply(bufio.NewReader(strings.NewReader(s))) }

func TestReadReply(t *testing.T) {
	status := mail.Status{Class: 2, Subject: 1, Detail: 5}
	for in, want := range map[string]Reply{
		"220 mx\r\n":                     {Code: 220, Lines: []string{"mx"}},
		"250\r\n":                        {Code: 250, Lines: []string{""}},
		"250 2.1.5 ok\r\n":               {250, status, []string{"ok"}},
		"250-2.1.5 a\r\n250 2.1.5 b\r\n": {250, status, []string{"a", "b"}},
		"250 5.1.5 ok\r\n":               {Code: 250, Lines: []string{"5.1.5 ok"}},
		"250 lf\n":                       {Code: 250, Lines: []string{"lf"}},
	} {
		if got, err := readOne(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %#v, %v; want %#v", in, got, err, want)
		}
	}
	for _, in := range []string{"\r\n", "25\r\n", "abc x\r\n", "250_x\r\n", "199 x\r\n", "600 x\r\n", "250-a\r\n251 b\r\n", "-50 x\r\n", strings.Repeat("250-x\r\n", 300) + "250 x\r\n", "250 " + strings.Repeat("x", 5000) + "\r\n"} {
		if got, err := readOne(in); !errors.Is(err, ErrBadReply) {
			t.Errorf("%.40q: got %v, %v; want ErrBadReply", in, got, err)
		}
	}
	if _, err := readOne("250-a\r\n"); !errors.Is(err, io.EOF) {
		t.Errorf("a reply that stops: %v, want io.EOF", err)
	}
}

// FuzzReadReply: what was read can be written, and is then read as the same.
func FuzzReadReply(f *testing.F) {
	f.Add("250-2.1.5 a\r\n250 2.1.5 b\r\n")
	f.Add("220\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := readOne(in)
		if err != nil {
			return
		}
		text := string(r.AppendTo(nil))
		again, err := readOne(text)
		if err != nil || again.Code != r.Code || len(again.Lines) != len(r.Lines) {
			t.Fatalf("%q was read as %#v, and its text %q as %#v, %v", in, r, text, again, err)
		}
		if strings.Count(text, "\n") != len(r.Lines) {
			t.Fatalf("%#v was written as %q", r, text)
		}
	})
}
